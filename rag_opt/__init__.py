"""Find the best RAG pipeline for your own documents. `load` opens an exported winner."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rag_opt.production.bundle import Bundle

__version__ = "0.1.0"


def load(bundle: str | Path, *, check: bool = True, allow_code: Sequence[str] = ()) -> Bundle:
    """Open a bundle made by `python -m rag_opt.export`; `.ask("…")` answers from it.

    `check` compares every file with the manifest. Raises BadBundle when one is missing or differs. `allow_code`: models
    whose custom code may run here, as `id@revision`.
    """
    from rag_opt.production.bundle import load_bundle

    return load_bundle(bundle, check=check, allow_code=allow_code)
