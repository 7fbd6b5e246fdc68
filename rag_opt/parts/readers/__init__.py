"""Readers: ways to make files into text, of which a search may compare several."""

from rag_opt.data import file_readers as file_readers  # the slot is declared before any reader registers
