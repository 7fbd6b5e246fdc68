"""What reorders candidates."""
