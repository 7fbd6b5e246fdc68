"""python -m rag_opt.estimate [key=value ...]: forecast what a search would build, cost and be able to show."""

from __future__ import annotations

from rag_opt.cli.composing import run
from rag_opt.cli.estimate_command import estimate


def main() -> None:
    """Compose the config of the command line and print the estimate of its search."""
    run(estimate)


if __name__ == "__main__":
    main()
