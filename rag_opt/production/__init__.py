"""The winner, outside the search: a bundle that answers, with nothing of the search installed."""
