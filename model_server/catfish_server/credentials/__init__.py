"""Credentials of the clouds' stores, from the variables and files that each store's own tools read."""
