"""python -m rag_opt.card MODEL: print the card of an embedding model, as it is or as its own files say."""

from __future__ import annotations

from rag_opt.cli.card_command import card_command
from rag_opt.cli.doors import run_command
from rag_opt.cli.leaving import run_program


def main() -> None:
    """Read the options and print or write the card."""
    run_command(card_command, "card")


if __name__ == "__main__":
    run_program(main)
