"""The pieces of a pipeline: one file, one part. Parts never import one another."""

from rag_opt.parts import interfaces as interfaces  # the slots are declared before any part registers
