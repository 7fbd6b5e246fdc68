"""The pieces of a pipeline: one file, one part. Parts never import one another."""
