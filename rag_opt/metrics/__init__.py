"""Evidence against rankings, in arrays: spans, documents, whole grids."""
