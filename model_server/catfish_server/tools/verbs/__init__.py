"""One module for each verb of `catfish`."""
