"""Drift: topics of a log that the test set lacks are found, and those that it has are not."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from rag_opt.core.errors import BadBundle
from rag_opt.core.questions import Dataset
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.gate.drift import find_drift, write_questions
from tests.production.bundles import write_asked

TAXES = ["How do I declare income tax?", "When must the tax return be filed?", "Which taxes does a company pay?"]
KNOWN = [
    "How do bees tell each other where the nectar is?",
    "What makes the dough rise?",
    "May one castle when in check?",
]


def test_topics_that_the_test_set_lacks_are_named_with_what_to_label(
    builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec, tmp_path: Path
) -> None:
    write_asked(tmp_path / "bundle", builder, spec, dataset.questions)
    lines = [{"question": text, "answer": "Yes."} for text in KNOWN * 2]
    lines += [{"question": text, "answer": ""} for text in [*TAXES, TAXES[0]]]
    lines += [{"question": "zebra xylophone 17", "answer": "Blue."}]
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    found = find_drift(log, tmp_path / "bundle")
    assert (found.asked, found.distinct) == (11, 7) and found.far == pytest.approx(5 / 11)
    first, second = found.topics
    assert {one.text for one in first.questions} == set(TAXES) and first.asked == 4 and first.refused == 1.0
    assert second.questions[0].text.startswith("zebra") and second.refused == 0.0
    assert found.log_score < found.test_score and found.refused == pytest.approx(4 / 11)
    assert "asked 4 times, 100% refused" in found.describe()
    write_questions(tmp_path / "next.jsonl", found)
    labelled = [orjson.loads(line)["question"] for line in (tmp_path / "next.jsonl").read_bytes().splitlines()]
    assert len(labelled) == 4 and labelled[1].startswith("zebra") and set(TAXES) < set(labelled)


def test_a_bundle_without_questions_has_no_test_set(
    builder: PipelineBuilder, spec: PipelineSpec, tmp_path: Path
) -> None:
    write_asked(tmp_path / "bundle", builder, spec, [])
    log = tmp_path / "log.jsonl"
    log.write_bytes(orjson.dumps({"question": "What?"}))
    with pytest.raises(BadBundle, match="has 0 questions"):
        find_drift(log, tmp_path / "bundle")
