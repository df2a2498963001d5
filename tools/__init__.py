"""Commands for those who develop Catfish."""
