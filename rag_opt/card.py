"""python -m rag_opt.card MODEL: the card of an embedding model, as it is or as its own files say, to be kept and read.

MODEL is the name of a card, an id on the hub, or a folder.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import yaml

from rag_opt import config
from rag_opt.composing import conf_folder
from rag_opt.errors import BadInput, exit_with
from rag_opt.parts.embedders import golden
from rag_opt.parts.embedders.cards import Card, card_folders
from rag_opt.parts.embedders.encoder import Encoder
from rag_opt.parts.embedders.purposes import Purpose
from rag_opt.parts.models.runtimes import Machine
from rag_opt.store.values import MemoryValues

_PURPOSES: tuple[Purpose, ...] = ("query", "document")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rag_opt.card", description=__doc__.split("\n\n")[0])
    parser.add_argument("model", help="name of a card, id on the hub (org/model), or folder")
    parser.add_argument("--golden", action="store_true", help="run the model, and add the vectors that it must give")
    parser.add_argument("--config-dir", type=Path, help="a folder of your own with embedder/*.yaml")
    parser.add_argument("--out", type=Path, help="write the card there, as conf/embedder/<name>.yaml")
    given = parser.parse_args()
    folders = [conf_folder(), *([given.config_dir] if given.config_dir else [])]
    card = card_folders(folders).read(given.model)
    if card.path is not None and not card.path.startswith("package:"):
        card = dataclasses.replace(card, path=str(Path(card.path).resolve()))  # it is read from anywhere
    if given.out is not None and given.out.exists():
        raise BadInput(f"{given.out} exists; it may have been corrected by hand. Remove it first, or name another file")
    text = written(card, vectors(card) if given.golden else dict(card.golden))
    if given.out is None:
        print(text, end="")
        return 0
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text, encoding="utf-8")
    unread = "" if card.verified else "; read it, correct it, and take out `verified: false`"
    print(f"{given.out} is written{unread}")
    return 0


def vectors(card: Card) -> dict[str, str]:
    """The golden vectors of a model, in float32 by plain torch."""
    plain = Machine(runtime="torch", document_precision="float32")
    encoder = Encoder(card, values=MemoryValues(), machine=plain)
    return {purpose: golden.written(encoder.vectors([golden.TEXT], purpose)[0]) for purpose in _PURPOSES}


def written(card: Card, found: dict[str, str]) -> str:
    """The card as YAML: what differs from what a card says by itself, in the order of its settings."""
    said = config.told(Card, config.dump(card), always=("id", "dimensions", "reads_tokens"))
    kept = {name: value for name, value in said.items() if value not in ({}, []) and name != "golden"}
    return yaml.safe_dump(
        {**kept, **({"golden": found} if found else {})}, sort_keys=False, allow_unicode=True, width=110
    )


if __name__ == "__main__":
    exit_with(main)
