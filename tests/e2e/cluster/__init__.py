"""A real Kubernetes cluster in a box of namespaces on one machine."""
