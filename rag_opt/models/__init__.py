"""Models that run here or behind a server: their cards, runtimes and clients."""
