"""What answers from the context."""
