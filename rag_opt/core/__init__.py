"""Documents, questions, spans and ranked lists; the registry, errors, digests and strict loading of settings."""
