"""Readers: files of one format as text. Every offset of the system refers to what they return."""

from rag_opt.data import readers as readers  # the slot is declared before any reader registers
