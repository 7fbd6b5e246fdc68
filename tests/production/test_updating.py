"""A bundle over documents that changed."""

from __future__ import annotations

from pathlib import Path

import pytest

import rag_opt
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.questions import Dataset
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.parity import find_differences
from rag_opt.production.updating import prepare_update
from rag_opt.store.artifacts import Store
from tests.conftest import TEXTS
from tests.production.bundles import write_asked

NEW = {
    **{name: text for name, text in TEXTS.items() if name != "chess.md"},
    "rivers.md": "# Rivers\n\nA word before.\n\n" + TEXTS["rivers.md"].partition("\n\n")[2],
    "go.md": "# Go\n\nA group of stones without liberties is taken from the board.",
}


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for name, text in NEW.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("changes", [{}, {"embedder": {"model": {"name": "minilm", "dimensions": 128}}}], ids=str)
def test_what_stayed_is_not_embedded_again_and_the_lists_are_those_of_a_full_build(
    changes: dict[str, object],
    tmp_path: Path,
    documents: Path,
    builder: PipelineBuilder,
    dataset: Dataset,
    cards: EmbedderCards,
    default_pipeline: dict[str, object],
) -> None:
    spec = PipelineSpec.from_dict({**default_pipeline, **changes})
    facts = BundleFacts(trial=7, scores={"objective": "evidence_recall", "objective_settings": {}})
    write_asked(tmp_path / "old", builder, spec, dataset.questions, facts)
    old = rag_opt.load(tmp_path / "old")
    (tmp_path / "up").mkdir()
    with prepare_update(tmp_path / "old", old, documents, scratch=tmp_path / "up") as new:
        write_bundle(tmp_path / "new", new.builder, new.spec, new.facts)
        encoded = new.builder.encoder(spec.embedder).encoded
    bundle = rag_opt.load(tmp_path / "new")
    told = "\n".join(new.said)
    assert "2 documents the same, 1 changed, 1 new, 1 gone" in told
    assert "lost: chess-1: the quote does not stand in any document" in told and "lost: chess-2" in told
    assert [one.seen.id for one in bundle.questions] == [q.id for q in dataset.questions if "chess" not in q.id]
    moved = next(one for one in bundle.questions if one.seen.id == "rivers-2").line.evidence
    start = NEW["rivers.md"].index("Meanders form")
    assert moved is not None and moved[0][0]["start"] == start  # type: ignore[index]
    # eight questions, the chunks that are new or changed, their sentences that were not there, and nothing else
    assert 8 < encoded <= 8 + 3 + 3
    assert find_differences(bundle, bundle.questions) == []
    full = PipelineBuilder(
        Corpus(tuple(Document(name, NEW[name]) for name in sorted(NEW))), Store(tmp_path / "store"), cards
    )
    write_bundle(tmp_path / "full", full, spec, BundleFacts())
    for ours, theirs in zip(
        bundle.ask_many([q.text for q in dataset.questions]),
        rag_opt.load(tmp_path / "full").ask_many([q.text for q in dataset.questions]),
        strict=True,
    ):
        assert [(h.document, h.start, h.end) for h in ours.hits] == [(h.document, h.start, h.end) for h in theirs.hits]
        assert ours.answer == theirs.answer
    full.close()
    assert bundle.manifest.made_from["lost"] == ["chess-1", "chess-2"] and bundle.manifest.trial == 7


def test_the_questions_are_compared_in_pairs(
    tmp_path: Path, documents: Path, builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec
) -> None:
    write_asked(tmp_path / "old", builder, spec, dataset.questions)
    (tmp_path / "up").mkdir()
    old = rag_opt.load(tmp_path / "old")
    with prepare_update(tmp_path / "old", old, documents, scratch=tmp_path / "up") as first:
        write_bundle(tmp_path / "first", first.builder, first.spec, first.facts)
    assert "the bundle does not say what it was optimised for: evidence recall is compared" in first.said
    # the first had no scores to be compared with; the second has those of the first
    (tmp_path / "again").mkdir()
    again = rag_opt.load(tmp_path / "first")
    with prepare_update(tmp_path / "first", again, documents, scratch=tmp_path / "again") as second:
        told = "\n".join(second.said)
        assert "retrieval/evidence_recall: +0.0 points against the old bundle" in told and "6 questions" in told
        assert "4 documents the same, 0 changed, 0 new, 0 gone; 0.0% of the chunks' tokens were embedded" in told
