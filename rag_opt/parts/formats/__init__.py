"""Formats: files of one kind as readings. Every offset of the system refers to what they return."""

from rag_opt.data import formats as formats  # the slot is declared before any format registers
