"""python -m rag_opt.search [key=value ...]: find the best RAG pipeline for your documents."""

from __future__ import annotations

from rag_opt.cli.composing import run
from rag_opt.cli.search_session import search


def main() -> None:
    """Compose the config of the command line and search."""
    run(search)


if __name__ == "__main__":
    main()
