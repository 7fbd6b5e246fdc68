"""Whether a pipeline may take the place of another: both are scored on the same questions."""
