"""Data sets: one file for each format of documents with questions."""

from rag_opt.data.datasets import interfaces as interfaces  # the slot is declared before any data set registers
