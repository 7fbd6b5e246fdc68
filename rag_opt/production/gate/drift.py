"""Drift: what was asked this month that the test set of a bundle does not hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from rag_opt.core.arrays import Vectors
from rag_opt.core.errors import BadBundle
from rag_opt.core.questions import Question
from rag_opt.data.log_lines import LogLine
from rag_opt.evaluation.running_systems import LoggedSystem
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_reading import load_bundle
from rag_opt.production.gate.reports import to_line

_FAR_PERCENTILE = 10  # of the similarities of the test set's questions to one another
_MOST_QUESTIONS = 20_000  # of a log; the last ones
_MOST_GROUPED = 3_000  # of the questions that are like none of the test set, those that are asked most
_AT_ONCE = 32
_SHOWN, _EXAMPLES = 10, 3


@dataclass(frozen=True)
class LoggedQuestion:
    """A question of the log. `nearest`: the most similar question of the test set, with its similarity (cosine).

    `score`: of the nearest passage that the bundle finds for it (cosine; of BM25 without vectors). `times`: how
    often it was asked, `refused`: how often the system refused.
    """

    text: str
    nearest: str
    similarity: float
    score: float
    refused: int
    times: int


@dataclass(frozen=True)
class Topic:
    """Questions that are like one another and like none of the test set, the most typical first."""

    questions: Sequence[LoggedQuestion]

    @property
    def asked(self) -> int:
        """How often it was asked about."""
        return sum(one.times for one in self.questions)

    @property
    def refused(self) -> float:
        """Share of the times that the system refused."""
        return sum(one.refused for one in self.questions) / self.asked

    @property
    def score(self) -> float:
        """Mean score of the nearest passages."""
        return float(np.average([one.score for one in self.questions], weights=[one.times for one in self.questions]))


@dataclass(frozen=True)
class Drift:
    """What a log holds that a test set does not. `topics`: what the test set lacks, the most pressing first.

    `asked`: questions in the log, repeated ones counted each time; `far`: share that is like none of the test set;
    `least_similarity`: below it a question counts as unlike. `test_score`, `log_score`: median score of the best
    passage for questions of the test set and of the log; `low_scores`: share of the log's below the 10th percentile of
    the test set's. `refused`: share that the system refused.
    """

    asked: int
    distinct: int
    far: float
    least_similarity: float
    topics: Sequence[Topic]
    test_score: float
    log_score: float
    low_scores: float
    refused: float

    def describe(self) -> str:
        """Return it in lines."""
        lines = [
            f"{self.asked:,} questions ({self.distinct:,} distinct); {self.far:.0%} are like none of the test set "
            f"(similarity below {self.least_similarity:.2f}); {self.refused:.0%} were refused",
            f"nearest passage: median similarity {self.log_score:.3f}, of the test set {self.test_score:.3f}; "
            f"{self.low_scores:.0%} are further from every passage than 9 of 10 questions of the test set",
        ]
        if self.topics:
            lines.append("topics that the test set lacks; label these next:")
        for number, topic in enumerate(self.topics[:_SHOWN], start=1):
            times = "once" if topic.asked == 1 else f"{topic.asked} times"
            counted = f"asked {times}, {topic.refused:.0%} refused, nearest passage {topic.score:.3f}"
            lines.append(f"{number:>3}. {counted}")
            lines += [f"     {to_line(one.text)[:110]}" for one in topic.questions[:_EXAMPLES]]
        if len(self.topics) > _SHOWN:
            lines.append(f"and {len(self.topics) - _SHOWN} more")
        return "\n".join(lines)


def find_drift(log: Path, bundle: Path, *, plugins: Sequence[str] = (), allow_code: Sequence[str] = ()) -> Drift:
    """Return what the questions of a log say of the test set of a bundle.

    Questions are compared by the bundle's embedding model. Unlike the test set is a question whose nearest one there is
    less similar than 9 of 10 questions of the test set are to their own nearest. Raises BadInput for a log that cannot
    be read, BadBundle for a bundle without questions or without an embedding model.
    """
    lines = LoggedSystem.read(log, where="NEW").lines[-_MOST_QUESTIONS:]
    opened = load_bundle(bundle, plugins=plugins, allow_code=allow_code)
    tested = [one.question for one in opened.questions]
    if opened.spec.embedding_model is None or len(tested) < 3:
        raise BadBundle(f"{bundle}: has {len(tested)} questions and embedding model {opened.spec.embedding_model}")
    texts = list(dict.fromkeys(" ".join(line.question.split()) for line in lines))
    asked, of_test = _embed(opened, texts), _embed(opened, [question.text for question in tested])
    among_test = of_test @ of_test.T
    np.fill_diagonal(among_test, -1)
    least = float(np.percentile(among_test.max(axis=1), _FAR_PERCENTILE))
    similar = asked @ of_test.T
    questions = _describe_questions(opened, lines, texts, similar, [question.text for question in tested])
    far = np.flatnonzero(similar.max(axis=1) < least)
    often = sorted(far.tolist(), key=lambda row: -questions[row].times)[:_MOST_GROUPED]
    topics = [Topic([questions[row] for row in rows]) for rows in _find_topics(asked, np.array(often, int), least)]
    test_scores = np.array(_best_scores(opened, tested))
    times = np.array([one.times for one in questions])
    scores = np.repeat([one.score for one in questions], times)
    low = float(np.percentile(test_scores, _FAR_PERCENTILE))
    return Drift(
        asked=int(times.sum()),
        distinct=len(texts),
        far=float(times[far].sum() / times.sum()),
        least_similarity=least,
        topics=sorted(topics, key=lambda topic: (-topic.asked * (1 + topic.refused), topic.questions[0].text)),
        test_score=float(np.median(test_scores)),
        log_score=float(np.median(scores)),
        low_scores=float((scores < low).mean()),
        refused=float(sum(one.refused for one in questions) / times.sum()),
    )


def _embed(bundle: Bundle, texts: Sequence[str]) -> Vectors:
    return bundle.pipeline.encoder.vectors(list(texts), "query")


def _best_scores(bundle: Bundle, questions: Sequence[Question]) -> list[float]:
    """Return the score of the nearest passage of each question: by vectors, since fused ranks say nothing of nearness.

    0 where nothing was found; by words (BM25) where the pipeline has no vectors.
    """
    scores: list[float] = []
    for first in range(0, len(questions), _AT_ONCE):
        lists = bundle.pipeline.lists(questions[first : first + _AT_ONCE])
        found = lists.get("dense") or next(iter(lists.values()))
        best = np.where(found.chunks[:, 0] >= 0, found.scores[:, 0], 0.0)
        scores += best.astype(float).tolist()
    return scores


def _describe_questions(
    bundle: Bundle, lines: Sequence[LogLine], texts: Sequence[str], similar: Vectors, tested: Sequence[str]
) -> list[LoggedQuestion]:
    """Return the distinct questions of a log, with what the test set has that is nearest and what the bundle finds."""
    times, refused = Counter[str](), Counter[str]()
    for line in lines:
        text = " ".join(line.question.split())
        times[text] += 1
        refused[text] += line.answer == ""
    scores = _best_scores(bundle, [Question("", text) for text in texts])
    nearest = similar.argmax(axis=1)
    return [
        LoggedQuestion(
            text=text,
            nearest=tested[int(nearest[row])],
            similarity=float(similar[row].max()),
            score=score,
            refused=refused[text],
            times=times[text],
        )
        for row, (text, score) in enumerate(zip(texts, scores, strict=True))
    ]


def _find_topics(vectors: Vectors, rows: np.ndarray[tuple[int], np.dtype[np.int64]], least: float) -> list[list[int]]:
    """Return the rows in groups that are alike, average linkage at the same similarity; the most typical row first."""
    from sklearn.cluster import AgglomerativeClustering

    if len(rows) < 2:
        return [[int(row)] for row in rows]
    some = vectors[rows]
    distances = np.clip(1 - some @ some.T, 0, 2)
    clustering = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=max(1 - least, 1e-6)
    )
    labels = clustering.fit_predict(distances)
    groups = []
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        order = inside[np.argsort(distances[np.ix_(inside, inside)].mean(axis=1), kind="stable")]
        groups.append([int(rows[place]) for place in order])
    return groups


def write_questions(path: Path, drift: Drift) -> None:
    """Write the questions to label next, one JSON object a line, topics in turn: a file for `questions label`."""
    ordered: list[LoggedQuestion] = []
    longest = max((len(topic.questions) for topic in drift.topics), default=0)
    for rank in range(longest):
        ordered += [topic.questions[rank] for topic in drift.topics if rank < len(topic.questions)]
    lines = [orjson.dumps({"id": f"drift-{n}", "question": one.text}) for n, one in enumerate(ordered, start=1)]
    path.write_bytes(b"\n".join(lines) + (b"\n" if lines else b""))
