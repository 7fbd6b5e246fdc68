"""The embedded data set keeps what it promises, on every Python that this project runs on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from rag_opt.core.documents import Span
from rag_opt.core.questions import Dataset
from rag_opt.data.datasets.python_reference import QUESTIONS, PythonReference

ROOT = Path(__file__).parent.parent.parent
# words that carry no topic: a paraphrase may share these with its passage
STOP = set(
    re.findall(
        r"\w+",
        """
a about all always an and any are as at be because been before being but by can cannot could did do does doing
done for from get give given gives go goes got had happen happens has have how i if in into is it its just let
lets like made make makes may me might more most much must my need needs no not now of on one only or other
our out over own python same say says should so some such tell tells than that the their them then there these
they thing things this those through to too under until up us use used uses using want was way ways we were
what when where which while who whom whose why will with without would you your
""",
    )
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return PythonReference().read()


def test_the_corpus(data: Dataset) -> None:
    assert 50 <= len(data.corpus.documents) <= 60
    assert 140_000 < sum(len(d.text) for d in data.corpus.documents) < 200_000
    assert max(len(d.text) for d in data.corpus.documents) <= 14_000


def test_the_questions(data: Dataset) -> None:
    kinds = Counter(question.kind for question in data.questions)
    assert len(data.questions) >= 200 and kinds["unanswerable"] >= 40
    assert min(kinds[kind] for kind in ("direct", "paraphrased", "two_passage")) >= 30
    assert len(set().union(*(question.document_ids for question in data.questions))) >= 40
    texts = [question.text for question in data.questions]
    assert len(set(texts)) == len(texts)
    for question in data.questions:
        assert question.answerable == (question.kind != "unanswerable")
        if question.answerable:
            assert question.reference_answer and question.evidence
            assert len(question.evidence) == 2 or question.kind != "two_passage"


def test_evidence_is_short_and_exact(data: Dataset) -> None:
    for question in data.questions:
        for need in question.evidence or ():
            contents = set()
            for span in need:
                assert isinstance(span, Span)
                assert 40 <= span.end - span.start <= 900, question.id
                contents.add(" ".join(data.corpus.text(span).split()))
            assert len(contents) == 1, "alternatives of an embedded question are twins"


def test_paraphrases_share_no_key_term_with_their_passage(data: Dataset) -> None:
    def terms(text: str) -> set[str]:
        words = {word for word in re.findall(r"[a-z][a-z_0-9]+", text.lower()) if word not in STOP}
        return {re.sub(r"(ing|ed|es|s)$", "", word) for word in words}

    for question in data.questions:
        if question.kind == "paraphrased":
            (need,) = question.evidence or ((),)
            assert isinstance(need[0], Span)
            assert not terms(question.text) & terms(data.corpus.text(need[0])), question.id


def test_no_prose_is_copied_into_the_repository() -> None:
    import orjson

    for line in QUESTIONS.read_bytes().splitlines():
        for locator in orjson.loads(line).get("evidence", []):
            assert set(locator) == {"document", "from", "to"}
            assert len(locator["from"].split()) <= 7 and len(locator["to"].split()) <= 7


# Without the project's dependencies: another interpreter shows only whether its topics hold every locator.
_LOCATE = """
import json, re, sys
from pydoc_data.topics import topics
def pattern(phrase): return re.compile(r"\\s+".join(map(re.escape, phrase.split())))
lost = []
for line in open(sys.argv[1], encoding="utf-8"):
    question = json.loads(line)
    for e in question.get("evidence", []):
        found = list(pattern(e["from"]).finditer(topics.get(e["document"], "")))
        if len(found) != 1 or not pattern(e["to"]).search(topics[e["document"]], found[0].start()):
            lost.append(question["id"])
print(lost)
"""


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_locator_resolves_on_every_python(version: str) -> None:
    import shutil

    interpreter = (
        sys.executable if version == ".".join(map(str, sys.version_info[:2])) else shutil.which(f"python{version}")
    )
    if interpreter is None:
        pytest.skip(f"there is no python{version} on this machine")
    done = subprocess.run(
        [interpreter, "-c", _LOCATE, str(QUESTIONS)],
        env={**os.environ, "PYENV_VERSION": version},  # where pyenv holds them, it must be told which is meant
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"python{version} does not run here: {done.stderr[:100]}")
    assert done.stdout.strip() == "[]"


def test_a_locator_that_this_python_lacks_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rag_opt.data.datasets.python_reference as module

    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    locator = '{"document": "assert", "from": "no such words", "to": "here"}'
    gone = f'{{"id": "gone-1", "question": "Gone?", "answer": "Yes.", "evidence": [{locator}]}}'
    other = tmp_path / "questions.jsonl"
    other.write_text("\n".join([*lines[:20], gone]), encoding="utf-8")
    monkeypatch.setattr(module, "QUESTIONS", other)
    data = PythonReference().read()
    assert len(data.questions) == 20
    assert data.notes == ("1 questions have no evidence in this Python's reference: gone-1",)


def test_no_question_is_lost_on_this_python() -> None:
    data = PythonReference().read()
    assert data.notes == () and len(data.questions) == 235
