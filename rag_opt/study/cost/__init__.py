"""Costs of trials and of whole searches: measured and forecast."""
