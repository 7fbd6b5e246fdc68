"""python -m rag_opt.estimate [key=value ...]: forecast what a search would build, cost and be able to show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.cli.composing import compose_and_run
from rag_opt.cli.leaving import run_program

if TYPE_CHECKING:
    from rag_opt.core.strict import PlainDict


def main() -> None:
    """Compose the config of the command line and print the forecast of its search."""
    compose_and_run(estimate)


def estimate(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> None:
    """Print the forecast of a composed config."""
    from rag_opt.cli.estimate_command import estimate_command  # imported after `--help` was answered

    estimate_command(composed, conf_folders, name_suffix)


if __name__ == "__main__":
    run_program(main)
