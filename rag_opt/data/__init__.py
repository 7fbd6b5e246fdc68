"""Documents and questions: one reader per format, evidence resolved to offsets, the split into parts."""
