"""The models that weights are loaded into."""
