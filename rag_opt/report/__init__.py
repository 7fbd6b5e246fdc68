"""What a person sees of a search: the live display and the summary at its end."""
