"""What of the hits reaches the context."""
