"""The table of all parts: whole, and the same in the docs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt

from rag_opt.cli.cards_table import cards_markdown
from rag_opt.cli.composing import conf_folder
from rag_opt.cli.parts_table import list_parts, to_markdown
from rag_opt.cli.setting_tables import describe_type
from rag_opt.cli.settings_reference import list_sections, settings_markdown
from rag_opt.core.registry import kinds

DOCS = Path(__file__).parent.parent.parent / "docs" / "parts.md"


def test_the_docs_hold_the_table_as_it_is() -> None:
    assert DOCS.read_text(encoding="utf-8") == to_markdown(list_parts(["objectives"])) + "\n" + settings_markdown(), (
        "python -m rag_opt.parts --markdown > docs/parts.md"
    )


def test_the_docs_hold_the_cards_as_they_are() -> None:
    assert DOCS.with_name("cards.md").read_text(encoding="utf-8") == cards_markdown([conf_folder()]), (
        "python -m rag_opt.card --markdown > docs/cards.md"
    )


def test_every_part_is_in_it_with_all_its_settings() -> None:
    found = {(part.slot, part.kind): part for part in list_parts(["objectives"])}
    for slot in (
        "chunker",
        "embedder",
        "query",
        "retriever",
        "expander",
        "reranker",
        "objective",
        "dataset",
        "sampler",
    ):
        for kind in kinds(slot):
            assert found[slot, kind].help, (slot, kind)
    mmr = found["reranker", "mmr"]
    assert [(s.name, s.default, s.allowed) for s in mmr.settings] == [("trade_off", "0.7", "from 0 to 1")]


def test_every_setting_of_every_part_and_of_the_config_has_a_description() -> None:
    parts = [(f"{part.slot}.{part.kind}", part.settings) for part in list_parts(["objectives"])]
    sections = [(name, settings) for name, _, settings in list_sections()]
    undescribed = [f"{of}.{s.name}" for of, settings in [*parts, *sections] for s in settings if not s.description]
    assert undescribed == []


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (Annotated[int, Ge(8), Le(9)], "from 8 to 9, whole"),
        (Annotated[float, Gt(0), Lt(1)], "above 0 below 1"),
        (Annotated[int, Ge(2)] | None, "null, or from 2, whole"),
        (Literal["a", "b", True], "a | b | true"),
        (list[str], "a list of text"),
        (dict[str, int], "settings"),
        (bool, "true | false"),
    ],
)
def test_types_in_words(hint: object, words: str) -> None:
    assert describe_type(hint) == words


def test_the_command_prints_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rag_opt.parts", "expander"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "parent" in done.stdout and "from 16 to 32768, whole" in done.stdout
    assert "reranker" not in done.stdout.split("expander:")[0]
