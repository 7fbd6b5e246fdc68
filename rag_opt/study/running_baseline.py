"""What the team runs today, as the baseline of a search: a log, or a running service. It stands beside the trials.

Gains are over it; guards compare with trial 0, as they do during the search: not every log tells what it cost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import orjson

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Question, question_digest
from rag_opt.evaluation.running_systems import (
    NOT_LOGGED,
    Located,
    RunningSystem,
    SystemReply,
    build_run,
    describe_missing,
)
from rag_opt.study.evaluation import Evaluation, score_run
from rag_opt.study.search import Search

RUNNING = -1  # its number among trials, in what a search found: no trial has it
REPLIES = "running_baseline.jsonl"  # in the study's folder
_AT_ONCE = 32
_TIMES = ("cost/batch_ms", "cost/latency_ms")  # nobody measured them


def describe_running(search: Search) -> list[str]:
    """Ask what runs today the search questions, and return in lines how it does; none where nothing is named.

    Raises BadInput where it cannot be compared, ServerFailed where a service does not answer.
    """
    if search.running is None:
        return []
    located, optimised = _locate(search, search.running, search.questions), search.objective_set.optimised
    if all(located.run.responses.usage.failed):
        raise BadInput([Problem("baseline", f"{search.running.name} has no reply to any of the search questions")])
    if optimised.reads_answers and not located.answered:
        what = f"{search.running.name} gives passages and no answers, which {optimised.kind} reads"
        raise BadInput([Problem("baseline", f"{what}: only.generator=[none] and objective=evidence_recall")])
    evaluation = evaluate_running(search, search.running, search.questions)
    value = float(np.nanmean(evaluation.optimised)) if evaluation.coverage else float("nan")
    said = f"baseline {search.running.name}: {optimised.kind} {value:.4f} on the search questions"
    return [said, *describe_missing(located, len(search.questions))]


def evaluate_running(
    search: Search, system: RunningSystem, questions: Sequence[Question], *, finalist: bool = False
) -> Evaluation:
    """Return the replies of a system to some questions, scored as a trial's are. Raises ServerFailed.

    Replies are kept in the study: nothing is asked twice. A question without one says nothing of the gain.
    """
    objectives = search.objective_set.objectives(finalist=finalist)
    found = score_run(search.builder, _locate(search, system, questions).run, search.objective_set, objectives)
    known = {name: value for name, value in found.metrics.items() if not name.startswith(_TIMES)}
    return dataclasses.replace(found, metrics=known)


def _locate(search: Search, system: RunningSystem, questions: Sequence[Question]) -> Located:
    spec = search.baseline
    asked = search.builder.readings.localise(spec.reader, questions)
    return build_run(_ask(search, system, asked), asked, search.builder.texts(spec))


def _ask(search: Search, system: RunningSystem, questions: Sequence[Question]) -> list[SystemReply]:
    path = search.folder.path / REPLIES
    known: dict[str, SystemReply] = {}
    if path.exists():
        for line in path.read_bytes().splitlines():
            kept = orjson.loads(line)
            known[kept["question"]] = SystemReply(tuple(kept["passages"]), kept["answer"], kept["failed"])
    keys = [digest([system.identity, question_digest(question)]) for question in questions]
    missing = [row for row, key in enumerate(keys) if key not in known]
    for first in range(0, len(missing), _AT_ONCE):
        rows = missing[first : first + _AT_ONCE]
        replies = system.ask([questions[row] for row in rows])
        some = {keys[row]: reply for row, reply in zip(rows, replies, strict=True)}
        known |= some
        lasting = {key: reply for key, reply in some.items() if reply.failed in ("", NOT_LOGGED)}
        lines = [orjson.dumps({"question": key, **dataclasses.asdict(reply)}) for key, reply in lasting.items()]
        with path.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
    return [known[key] for key in keys]
