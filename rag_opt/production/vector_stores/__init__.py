"""Collections of a bundle's chunks in vector stores that other programs run."""
