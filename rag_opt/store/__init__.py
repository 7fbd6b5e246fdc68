"""Content-addressed artifacts and values: what a stage produced, under the hash of everything that determined it."""
