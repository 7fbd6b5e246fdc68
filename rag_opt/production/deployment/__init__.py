"""Files that deploy a bundle: a Docker image, Compose, Kubernetes, Modal."""
