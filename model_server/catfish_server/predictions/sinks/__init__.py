"""Where batches of the prediction log are written to; each sink is used by one thread."""
