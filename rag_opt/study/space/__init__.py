"""The search space: what may be proposed."""
