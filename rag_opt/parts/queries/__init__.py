"""What is searched for: the question, or something made of it."""
