"""What the team runs today, as the baseline of a search: a log, or a running service. It stands beside the trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import orjson

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Question, question_digest
from rag_opt.evaluation.interfaces import Objective
from rag_opt.evaluation.running_systems import (
    NOT_LOGGED,
    Located,
    RunningSystem,
    SystemReply,
    build_run,
    describe_missing,
)
from rag_opt.study.evaluation import Evaluation, score_run

if TYPE_CHECKING:
    from rag_opt.study.search import Search

RUNNING = -1  # its number among trials, in what a search found: no trial has it
_AT_ONCE = 32
_TIMES = ("cost/batch_ms", "cost/latency_ms")  # nobody measured them


class RunningBaseline:
    """A running system asked the questions of a study. Its replies are kept in the study: nothing is asked twice.

    Gains are over it; guards compare with trial 0, as they do during the search: not every log tells what it cost. A
    question without a reply says nothing of the gain over it. Raises ServerFailed where a service does not answer.
    """

    def __init__(self, system: RunningSystem) -> None:
        self._system = system

    @property
    def name(self) -> str:
        """Its file or address."""
        return self._system.name

    @property
    def digest(self) -> str:
        """Hash of what its replies depend on, as far as that is known."""
        return digest(self._system.identity)

    def describe(self, search: Search) -> list[str]:
        """Ask it the search questions, and return in lines how it does. Raises BadInput where it cannot be compared."""
        located = self._locate(search, search.questions)
        optimised = search.objective_set.optimised
        self._refuse_silent(located, optimised)
        evaluation = self.evaluate(search, search.questions)
        missing = describe_missing(located, len(search.questions))
        value = float(np.nanmean(evaluation.optimised)) if evaluation.coverage else float("nan")
        return [f"baseline {self.name}: {optimised.kind} {value:.4f} on the search questions", *missing]

    def _refuse_silent(self, located: Located, optimised: Objective) -> None:
        replied = sum(not reason for reason in located.run.responses.usage.failed)
        if not replied:
            raise BadInput([Problem("baseline", f"{self.name} has no reply to any of the search questions")])
        if optimised.reads_answers and not located.answered:
            what = f"{self.name} gives passages and no answers, which {optimised.kind} reads"
            raise BadInput([Problem("baseline", f"{what}: only.generator=[none] and objective=evidence_recall")])

    def evaluate(self, search: Search, questions: Sequence[Question], *, finalist: bool = False) -> Evaluation:
        """Return its replies to some questions, scored as a trial's are."""
        objectives = search.objective_set.objectives(finalist=finalist)
        found = score_run(search.builder, self._locate(search, questions).run, search.objective_set, objectives)
        known = {name: value for name, value in found.metrics.items() if not name.startswith(_TIMES)}
        return dataclasses.replace(found, metrics=known)

    def _locate(self, search: Search, questions: Sequence[Question]) -> Located:
        spec = search.baseline
        asked = search.builder.readings.localise(spec.reader, questions)
        return build_run(self._ask(search, asked), asked, search.builder.texts(spec))

    def _ask(self, search: Search, questions: Sequence[Question]) -> list[SystemReply]:
        path = search.folder.path / "running_baseline.jsonl"
        known: dict[str, SystemReply] = {}
        if path.exists():
            for line in path.read_bytes().splitlines():
                kept = orjson.loads(line)
                known[kept["question"]] = SystemReply(tuple(kept["passages"]), kept["answer"], kept["failed"])
        keys = [digest([self.digest, question_digest(question)]) for question in questions]
        missing = [row for row, key in enumerate(keys) if key not in known]
        for first in range(0, len(missing), _AT_ONCE):
            rows = missing[first : first + _AT_ONCE]
            replies = self._system.ask([questions[row] for row in rows])
            some = {keys[row]: reply for row, reply in zip(rows, replies, strict=True)}
            known |= some
            lasting = {key: reply for key, reply in some.items() if reply.failed in ("", NOT_LOGGED)}
            lines = [orjson.dumps({"question": key, **dataclasses.asdict(reply)}) for key, reply in lasting.items()]
            with path.open("ab") as file:
                file.write(b"".join(line + b"\n" for line in lines))
        return [known[key] for key in keys]
