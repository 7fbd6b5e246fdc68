"""Find the best RAG pipeline for your own documents.

`run_search` searches, `Study` reads what came out, `load` opens an exported winner; `register` makes a part of your own
known. The nouns of a pipeline (Document, Span, Question, …) are importable from here as well.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag_opt.cli.run_search import run_search
    from rag_opt.core.documents import Answer, Chunk, Corpus, Document, Span
    from rag_opt.core.errors import RagOptError
    from rag_opt.core.questions import Dataset, Question, WholeDocument
    from rag_opt.core.ranked_lists import RankedLists
    from rag_opt.core.registry import register
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.production.bundle import Bundle
    from rag_opt.production.bundle_reading import load_bundle as load
    from rag_opt.production.passages import Reply
    from rag_opt.report.study import Study
    from rag_opt.study.trials import Trial

__version__ = "0.1.0"

# name -> the module that holds it: nothing heavy is imported before it is asked for
_HOMES = {
    "run_search": "cli.run_search",
    "Study": "report.study",
    "Trial": "study.trials",
    "load": "production.bundle_reading:load_bundle",
    "Bundle": "production.bundle",
    "Reply": "production.passages",
    "register": "core.registry",
    "PipelineSpec": "pipeline.spec",
    "Document": "core.documents",
    "Span": "core.documents",
    "Chunk": "core.documents",
    "Answer": "core.documents",
    "Corpus": "core.documents",
    "Question": "core.questions",
    "WholeDocument": "core.questions",
    "Dataset": "core.questions",
    "RankedLists": "core.ranked_lists",
    "RagOptError": "core.errors",
}
__all__ = [
    "Answer",
    "Bundle",
    "Chunk",
    "Corpus",
    "Dataset",
    "Document",
    "PipelineSpec",
    "Question",
    "RagOptError",
    "RankedLists",
    "Reply",
    "Span",
    "Study",
    "Trial",
    "WholeDocument",
    "load",
    "register",
    "run_search",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rag_opt' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    if name == "register":  # the slots are declared before a part of somebody else's registers
        importlib.import_module("rag_opt.setup.builtins").declare_slots()
    found = getattr(importlib.import_module(f"rag_opt.{module}"), attribute or name)
    globals()[name] = found
    return found
