"""The weights: where they are, how they come here, and how they are read without trusting them."""
