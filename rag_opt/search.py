"""python -m rag_opt.search [key=value ...]: find the best RAG pipeline for your documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.cli.composing import compose_and_run
from rag_opt.cli.leaving import run_program

if TYPE_CHECKING:
    from rag_opt.core.strict import PlainDict


def main() -> None:
    """Compose the config of the command line and search."""
    compose_and_run(search)


def search(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> Path:
    """Search with a composed config, and return the study's folder."""
    from rag_opt.cli.search_session import search_command  # imported after `--help` was answered

    return search_command(composed, conf_folders, name_suffix)


if __name__ == "__main__":
    run_program(main)
