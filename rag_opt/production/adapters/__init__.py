"""A bundle as a retriever of other frameworks, one file for each; imported only when it is asked for."""
