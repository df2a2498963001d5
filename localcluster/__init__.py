"""A real Kubernetes cluster on one Linux machine, without a container engine."""
