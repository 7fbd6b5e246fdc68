"""Web pages, by their elements."""
