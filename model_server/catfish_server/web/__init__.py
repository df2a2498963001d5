"""HTTP: the API on one port, probes and metrics on another."""
