"""`kubectl catfish`: a client of the API like any other. Nothing of the operator imports it."""
