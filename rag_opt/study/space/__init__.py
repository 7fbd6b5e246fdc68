"""The search space: which pipelines may be proposed."""
