"""The documents of a data set as several readers made them, and where the evidence lies in each."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from rag_opt.core.digests import digest
from rag_opt.core.documents import Corpus
from rag_opt.core.questions import Need, Question


@dataclass(frozen=True)
class CorpusReading:
    """What one reader made of the files.

    `evidence` by question id, where the question has any. `needs` of evidence, of which `kept` are found in this
    reading; `lost_in`: names of files with how many needs each that it lost.
    """

    corpus: Corpus
    evidence: Mapping[str, tuple[Need, ...]] = field(default_factory=dict)
    needs: int = 0
    kept: int = 0
    lost_in: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CorpusReadings:
    """The readings of all readers that pipelines may have; `base`: the one that the questions were resolved on.

    A reader that is not named here makes what the base is: documents that are no files have one reading alone.
    """

    base: CorpusReading
    others: Mapping[Hashable, CorpusReading] = field(default_factory=dict)

    def of(self, reader: Hashable) -> CorpusReading:
        """Return what a reader made of the files."""
        return self.others.get(reader, self.base)

    def corpus(self, reader: Hashable) -> Corpus:
        """Return the documents of a reader."""
        return self.of(reader).corpus

    def localise(self, reader: Hashable, questions: Sequence[Question]) -> tuple[Question, ...]:
        """Return questions with their evidence where a reader has it; what it lost is a LostPassage."""
        reading = self.of(reader)
        if reading is self.base:
            return tuple(questions)
        return tuple(
            dataclasses.replace(question, evidence=reading.evidence.get(question.id, question.evidence))
            for question in questions
        )

    def canonical(self, reader: Hashable) -> Hashable:
        """Return the first reader that makes the same documents: pipelines that differ in nothing else do the same."""
        wanted = self.corpus(reader).digest
        return next((other for other, reading in self.others.items() if reading.corpus.digest == wanted), reader)

    def in_language(self, language: str) -> CorpusReadings:
        """Return the readings with another language of all documents."""

        def changed(reading: CorpusReading) -> CorpusReading:
            return dataclasses.replace(reading, corpus=dataclasses.replace(reading.corpus, language=language))

        base = changed(self.base)
        return CorpusReadings(
            base, {key: base if one is self.base else changed(one) for key, one in self.others.items()}
        )

    @property
    def digest(self) -> str:
        """Hash of all documents and of where the evidence lies."""
        others = {one.corpus.digest for one in self.others.values()} - {self.base.corpus.digest}
        return digest([self.base.corpus.digest, sorted(others)]) if others else self.base.corpus.digest
