"""Content-addressed artifacts: what a stage produced, under the hash of everything that determined it."""

from rag_opt.store.artifacts import Store
from rag_opt.store.values import MemoryValues, Values

__all__ = ["MemoryValues", "Store", "Values"]
