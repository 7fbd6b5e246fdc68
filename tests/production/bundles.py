"""Bundles for tests: a pipeline asked its questions, written with what it returned."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from rag_opt.core.questions import Question
from rag_opt.evaluation.run import ask
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.stored_questions import SEARCH, StoredQuestion, build_stored_questions
from rag_opt.study.folder import StudyFolder


def seen_by_search(
    builder: PipelineBuilder, spec: PipelineSpec, questions: Sequence[Question], scratch: Path
) -> list[StoredQuestion]:
    """Return the questions with what the pipeline returns for them, by way of a study's rows."""
    study = StudyFolder(scratch / "study")
    study.path.mkdir(parents=True, exist_ok=True)
    study.save_rows(0, ask(builder.pipeline(spec), questions), {})
    corpus = builder.readings.corpus(spec.reader)
    return build_stored_questions(questions, {SEARCH: study.load_rows(0)}, {}, corpus)


def write_asked(
    folder: Path,
    builder: PipelineBuilder,
    spec: PipelineSpec,
    questions: Sequence[Question],
    facts: BundleFacts | None = None,
) -> list[StoredQuestion]:
    """Write a bundle with the questions asked, and return these."""
    stored = seen_by_search(builder, spec, questions, folder.parent)
    write_bundle(folder, builder, spec, dataclasses.replace(facts or BundleFacts(), questions=stored))
    return stored
