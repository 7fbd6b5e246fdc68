"""A bundle over documents that changed: what stayed is not embedded again, and the questions are scored on both."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import yaml

from rag_opt.core import strict
from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadBundle
from rag_opt.core.questions import Dataset, Question
from rag_opt.core.registry import lookup
from rag_opt.core.strict import PlainDict
from rag_opt.data.datasets.files import read_documents_alone
from rag_opt.data.file_readers import FileReader
from rag_opt.data.quotes import QuoteResolver
from rag_opt.evaluation.interfaces import Objective
from rag_opt.evaluation.intervals import paired_gain
from rag_opt.models.encoder import VECTORS, Encoder
from rag_opt.models.llm.prompts import prompt_library
from rag_opt.models.runtimes import Machine
from rag_opt.parts.interfaces import LateChunkingEmbedder, ProjectingEmbedder
from rag_opt.parts.open_indexes import OpenVectorIndex
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_layout import PROMPT
from rag_opt.production.bundle_reading import read_card, read_embedders, read_language_model, read_rerankers
from rag_opt.production.bundle_writing import BundleFacts
from rag_opt.production.measured_scores import (
    measure_scores,
    plain_interval,
    read_logged_objectives,
    read_objective,
)
from rag_opt.production.sentence_vectors import ShippedValues
from rag_opt.production.stored_questions import OBJECTIVE, SEARCH, StoredQuestion, build_stored_questions, find_again
from rag_opt.store.artifacts import Store
from rag_opt.study.evaluation import ObjectiveSet, evaluate
from rag_opt.study.folder import StudyFolder

_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class Update:
    """A pipeline over other documents, ready to be written. `said`: what came of it, in lines."""

    builder: PipelineBuilder
    spec: PipelineSpec
    facts: BundleFacts
    said: Sequence[str]


@contextlib.contextmanager
def prepare_update(
    folder: Path, old: Bundle, documents: Path, *, scratch: Path, allow_code: Sequence[str] = ()
) -> Iterator[Update]:
    """Give the pipeline of a bundle over other documents, with the questions asked on it.

    `folder`: the old bundle's. `scratch`: an empty folder on a disk with room; what is built lies there meanwhile.
    Chunks and sentences whose text was in the old bundle keep their vectors. Raises BadInput for documents that cannot
    be read, BadBundle for a bundle whose model was made for it: that is made of all documents.
    """
    if old.manifest.carries_model:
        raise BadBundle(f"{folder}: its embedding model was made for it; search, or export, on the new documents")
    spec = old.spec
    corpus, notes = read_documents_alone(documents, FileReader(spec.reader))
    corpus = Corpus(corpus.documents, old.manifest.language)
    builder = _new_builder(folder, old, corpus, scratch, allow_code)
    try:
        builder.pipeline(spec)  # a pipeline that cannot exist over these is said before anything is embedded
        reused = _keep_vectors(old, builder.encoder(spec.embedder), builder.store)
        questions, lost = find_again([one.line for one in old.questions], QuoteResolver(corpus))
        stored, compared = _ask(old, builder, spec, questions, scratch)
        facts, said = _describe(old, builder, spec, stored, compared, lost)
        yield Update(builder=builder, spec=spec, facts=facts, said=[*notes, *said, *([] if reused else [_NOT_KEPT])])
    finally:
        builder.close()
        builder.store.close()


_NOT_KEPT = "vectors of this embedder depend on all documents: every chunk was embedded again"


def _new_builder(folder: Path, old: Bundle, corpus: Corpus, scratch: Path, code: Sequence[str]) -> PipelineBuilder:
    """Return a builder with the cards, prompt and language model of a bundle."""
    cards = scratch / "conf" / "embedder"
    cards.mkdir(parents=True)
    if old.spec.embedding_model is not None:
        # the bundle's card is the model's as its part had adapted it; the part adapts it again, to the same
        name = old.spec.embedding_model.replace("/", "--")
        (cards / f"{name}.yaml").write_text(yaml.safe_dump(strict.dump(read_card(folder))), encoding="utf-8")
    return PipelineBuilder(
        corpus,
        Store(scratch / "store"),
        read_embedders(folder, old.manifest, scratch / "conf"),
        rerankers=read_rerankers(folder, old.manifest),
        machine=Machine(allow_code=tuple(code)),
        language_model=read_language_model(folder),
        prompts=prompt_library([folder]) if (folder / PROMPT).exists() else None,
    )


def _keep_vectors(old: Bundle, encoder: Encoder, store: Store) -> bool:
    """Put the vectors of a bundle's chunks and sentences where the encoder looks; return False where chunks' depend
    on all documents."""
    values, pipeline = old.pipeline.values, old.pipeline
    if isinstance(values, ShippedValues):
        for some in values.shipped():
            store.values.put(VECTORS, some)
    if old.spec.embedding_model is None or "dense" not in pipeline.index_keys:
        return True
    if isinstance(old.spec.embedder, LateChunkingEmbedder | ProjectingEmbedder):
        return False
    index, chunks = cast(OpenVectorIndex, pipeline.open_index("dense")), pipeline.chunks
    for first in range(0, len(chunks), _AT_ONCE):
        rows = np.arange(first, min(first + _AT_ONCE, len(chunks)), dtype=np.int32)
        keys = encoder.keys(chunks.texts_of(pipeline.corpus, rows.tolist()), "document")
        store.values.put(VECTORS, dict(zip(keys, encoder.to_stored(index.vectors(rows)), strict=True)))
    return True


def _ask(
    old: Bundle, builder: PipelineBuilder, spec: PipelineSpec, questions: Sequence[Question], scratch: Path
) -> tuple[list[StoredQuestion], PlainDict]:
    """Return the questions with what the new pipeline returns and scores, and the paired comparison with the old."""
    objective_set, why = _objectives(old)
    if not questions:
        return [], {"compared": 0, "why": "no question is left"}
    study = StudyFolder(scratch / "asked")
    study.path.mkdir()
    evaluation = evaluate(builder, spec, questions, objective_set)
    study.save_rows(0, evaluation.run, evaluation.columns)
    units = {one.seen.id: one.seen.unit for one in old.questions}
    parts: dict[str, list[PlainDict]] = {}
    sides = {one.seen.id: one.seen.part for one in old.questions}
    for row in study.load_rows(0):
        parts.setdefault(sides.get(str(row["question_id"]), SEARCH), []).append(row)
    stored = build_stored_questions(questions, parts, units, builder.readings.corpus(spec.reader))
    return stored, {**_compare(old.questions, stored), **({"why": why} if why else {})}


def _objectives(old: Bundle) -> tuple[ObjectiveSet, str]:
    """Return what both are scored by: the study's objective, or evidence recall where that needs a judge."""
    optimised, why = read_objective(old.manifest), ""
    if optimised is None:
        why = "the bundle does not say what it was optimised for: evidence recall is compared"
    elif "judge" in optimised.requires:
        why = f"{optimised.kind} needs a judge: evidence recall is compared"
    compared: Objective = lookup("objective", "evidence_recall")() if why or optimised is None else optimised
    return ObjectiveSet(compared, (), read_logged_objectives(), ()), why


def _compare(before: Sequence[StoredQuestion], after: Sequence[StoredQuestion]) -> PlainDict:
    """Return by metric the paired difference of the questions that both scored, new less old."""
    earlier = {one.seen.id: one.seen for one in before}
    compared: PlainDict = {}
    for name in (OBJECTIVE, "retrieval/evidence_recall", "retrieval/evidence_dcg"):
        both = [one.seen for one in after if name in one.seen.scores and name in earlier[one.seen.id].scores]
        if both:
            ours = np.array([one.scores[name] for one in both])
            theirs = np.array([earlier[one.id].scores[name] for one in both])
            interval = paired_gain(ours, theirs, [one.unit for one in both])
            compared[name] = {**plain_interval(interval), "questions": len(both)}
    return {"metrics": compared, "compared": len(after)}


def _describe(
    old: Bundle,
    builder: PipelineBuilder,
    spec: PipelineSpec,
    stored: Sequence[StoredQuestion],
    compared: PlainDict,
    lost: Sequence[tuple[str, str]],
) -> tuple[BundleFacts, list[str]]:
    """Return what the new bundle holds beside its pipeline, and what came of the update in lines."""
    before, corpus = old.pipeline.corpus, builder.readings.corpus(spec.reader)
    texts = {document.id: document.text for document in before.documents}
    same = sum(texts.get(document.id) == document.text for document in corpus.documents)
    changed = sum(document.id in texts and texts[document.id] != document.text for document in corpus.documents)
    gone = len(texts.keys() - set(corpus.ids))
    new = len(corpus.documents) - same - changed
    card = builder.encoder(spec.embedder).card.id
    tokens = builder.stage_timer.spent.get(f"embed {card}", (0.0, 0.0))[0]
    every = float(builder.pipeline(spec).chunks.tokens.sum())
    counted = f"{same} documents the same, {changed} changed, {new} new, {gone} gone"
    share = f"{tokens / every:.1%} of the chunks' tokens were embedded" if every else "nothing is embedded"
    said = [f"{counted}; {share}", *_comparison_lines(compared)]
    said += [f"lost: {name}: {why}" for name, why in lost]
    dataset = Dataset(str(old.manifest.dataset.get("name", "")), corpus, ())
    facts = BundleFacts(
        study=old.manifest.study,
        trial=old.manifest.trial,
        dataset={
            "name": dataset.name,
            "documents": len(corpus.documents),
            "questions": len(stored),
            "corpus": corpus.digest,
        },
        origins=old.manifest.questions,
        scores={**old.manifest.scores, "gain": None, "metrics": measure_scores(stored)},
        questions=stored,
        requires_filter=old.manifest.requires_filter,
        weights=old.manifest.carries_weights,
        sentence_vectors=old.manifest.sentence_vectors > 0,
        non_commercial=True,  # it was allowed before
        made_from={
            "said": "; ".join(said[:2]),
            "corpus": before.digest,
            "lost": [name for name, _ in lost],
            **compared,
        },
    )
    return facts, said


def _comparison_lines(compared: PlainDict) -> Iterator[str]:
    if compared.get("why"):
        yield str(compared["why"])
    for name, one in (compared.get("metrics") or {}).items():
        ends = "" if one["low"] is None else f", 95 % interval [{one['low'] * 100:+.1f}, {one['high'] * 100:+.1f}]"
        yield f"{name}: {one['mean'] * 100:+.1f} points against the old bundle{ends}, {one['questions']} questions"


@contextlib.contextmanager
def scratch_beside(out: Path) -> Iterator[Path]:
    """Give an empty folder on the disk of `out`, removed at the end."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".update-") as scratch:
        yield Path(scratch)
