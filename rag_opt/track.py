"""python -m rag_opt.track outputs/<study>: deliver to MLflow what still waits, each run once."""

from __future__ import annotations

from rag_opt.cli.doors import run_command
from rag_opt.cli.leaving import run_program
from rag_opt.cli.track_command import track_command


def main() -> None:
    """Read the options and deliver."""
    run_command(track_command, "track")


if __name__ == "__main__":
    run_program(main)
