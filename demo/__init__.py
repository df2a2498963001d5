"""From nothing to a prediction on a real cluster: `python3 -m demo`."""
