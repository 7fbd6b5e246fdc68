"""The command `card`: the card of an embedding model, as it is or as its own files say."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
import yaml

from rag_opt.cli.cards_table import cards_markdown
from rag_opt.cli.composing import conf_folder
from rag_opt.core import strict
from rag_opt.core.errors import BadInput
from rag_opt.models import golden_vectors as golden
from rag_opt.models.embedder_cards import EmbedderCard, embedder_card_library
from rag_opt.models.encoder import Encoder
from rag_opt.models.purposes import Purpose
from rag_opt.models.runtimes import Machine
from rag_opt.store.values import MemoryValues

_PURPOSES: tuple[Purpose, ...] = ("query", "document")


def card_command(
    model: Annotated[str | None, typer.Argument(help="Name of a card, id on the hub (org/model), or folder.")] = None,
    golden_vectors: Annotated[
        bool, typer.Option("--golden", help="Run the model, and add the vectors that it must give.")
    ] = False,
    config_dir: Annotated[Path | None, typer.Option(help="A folder of your own with embedder/*.yaml.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the card there, as conf/embedder/<name>.yaml.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table of all cards instead.")] = False,
) -> None:
    """Print the card of an embedding model, as it is or as its own files say, to be kept and read."""
    folders = [conf_folder(), *([config_dir] if config_dir else [])]
    if markdown:
        print(cards_markdown(folders), end="")
        return
    if model is None:
        raise BadInput("which model? Name a card, an id on the hub (org/model) or a folder; --markdown lists all cards")
    card = embedder_card_library(folders).read(model)
    if card.path is not None and not card.path.startswith("package:"):
        card = dataclasses.replace(card, path=str(Path(card.path).resolve()))  # it is read from anywhere
    if out is not None and out.exists():
        raise BadInput(f"{out} exists; it may have been corrected by hand. Remove it first, or name another file")
    text = to_yaml(card, golden_vectors_of(card) if golden_vectors else dict(card.golden))
    if out is None:
        print(text, end="")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    unread = "" if card.verified else "; read it, correct it, and take out `verified: false`"
    print(f"{out} is written{unread}")


def golden_vectors_of(card: EmbedderCard) -> dict[str, str]:
    """Return the golden vectors of a model, in float32 by plain torch."""
    plain = Machine(runtime="torch", document_precision="float32")
    encoder = Encoder(card, values=MemoryValues(), machine=plain)
    return {purpose: golden.to_base64(encoder.vectors([golden.TEXT], purpose)[0]) for purpose in _PURPOSES}


def to_yaml(card: EmbedderCard, found: dict[str, str]) -> str:
    """Return the card as YAML: the settings that are not their defaults, in their order."""
    said = strict.drop_defaults(EmbedderCard, strict.dump(card), always=("id", "dimensions", "reads_tokens"))
    kept = {name: value for name, value in said.items() if value not in ({}, []) and name != "golden"}
    return yaml.safe_dump(
        {**kept, **({"golden": found} if found else {})}, sort_keys=False, allow_unicode=True, width=110
    )
