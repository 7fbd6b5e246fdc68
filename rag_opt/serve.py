"""python -m rag_opt.serve bundle/: answer over HTTP; or check that a bundle returns what the search saw."""

from __future__ import annotations

from rag_opt.cli.doors import run_command
from rag_opt.cli.leaving import SPINNING_BRIEFLY, run_program
from rag_opt.cli.serve_command import serve_command


def main() -> None:
    """Read the options and serve."""
    run_command(serve_command, "serve")


if __name__ == "__main__":
    run_program(main, waiting=SPINNING_BRIEFLY)
