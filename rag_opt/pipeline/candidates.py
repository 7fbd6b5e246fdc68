"""What a space asks about pipelines that might be tried: whether they can exist, and which of them do the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import cast

from rag_opt.core.corpus_readings import CorpusReadings
from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, ImpossiblePipeline
from rag_opt.data.file_readers import Reader
from rag_opt.parts.interfaces import VectorIndex
from rag_opt.pipeline.corpus_text import CorpusText
from rag_opt.pipeline.normal_form import normal_form
from rag_opt.pipeline.resources import find_index_parts
from rag_opt.pipeline.spec import PipelineSpec, SpecDict

_KEPT = 20_000  # answers, in a long study over continuous settings


class CandidateChecks:
    """Answers about pipelines over one set of documents, each found once.

    `check` raises ImpossiblePipeline or BadInput for a pipeline that cannot exist; `texts` gives what one works on.
    """

    def __init__(
        self,
        check: Callable[[PipelineSpec], None],
        readings: CorpusReadings,
        texts: Callable[[PipelineSpec], CorpusText],
    ) -> None:
        self._check, self._readings, self._texts = check, readings, texts
        self._reasons: dict[str, str] = {}
        self._identities: dict[str, str] = {}

    def reason_impossible(self, spec: SpecDict) -> str:
        """Return why a pipeline cannot exist, in words; empty when it can."""
        return _remember(self._reasons, spec, self._find_reason)

    def identify(self, spec: SpecDict) -> str:
        """Return a hash that is equal for pipelines which do the same over this corpus, as they are run."""
        return _remember(self._identities, spec, self._find_identity)

    def _find_reason(self, spec: SpecDict) -> str:
        try:
            pipeline = PipelineSpec.from_dict(spec)
        except BadInput as error:  # a rule between settings
            return str(error)
        try:
            self._check(pipeline)
        except ImpossiblePipeline as error:
            return str(error)
        except BadInput:  # a card or a prompt that is not there: reported where the pipeline is built
            pass
        return ""

    def _find_identity(self, spec: SpecDict) -> str:
        try:
            pipeline = PipelineSpec.from_dict(spec)
        except BadInput:  # a rule between settings
            return digest(spec)
        same = cast(Reader, self._readings.canonical(pipeline.reader))
        pipeline = dataclasses.replace(pipeline, reader=same)
        chunker, text = pipeline.chunker, self._texts(pipeline)
        corpus = text.corpus
        # a token a character, where chunks are full; where sections and sentences end them, so many at most
        most_chunks = corpus.characters / chunker.size / (1 - chunker.expected_overlap) + text.breaks
        parts = find_index_parts(pipeline).values()
        compares_all = all(part.compares_all(round(most_chunks)) for part in parts if isinstance(part, VectorIndex))
        return normal_form(pipeline, language=corpus.language, compares_all=compares_all).digest


def _remember(known: dict[str, str], spec: SpecDict, find: Callable[[SpecDict], str]) -> str:
    written = repr(spec)
    if written not in known:
        if len(known) > _KEPT:
            known.clear()
        known[written] = find(spec)
    return known[written]
