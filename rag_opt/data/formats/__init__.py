"""Files that are no plain text, as text: one file per format."""
