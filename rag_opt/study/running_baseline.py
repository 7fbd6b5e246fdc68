"""What the team runs today, as the baseline of a search: a log, or a running service. It stands beside the trials.

Gains are over it; guards compare with trial 0, as they do during the search: not every log tells what it cost.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Question, question_digest
from rag_opt.evaluation.interfaces import Objective
from rag_opt.evaluation.run import Run
from rag_opt.evaluation.running_systems import (
    UNKNOWN,
    Located,
    LoggedSystem,
    RunningSystem,
    SystemReply,
    build_run,
    describe_missing,
)
from rag_opt.store.artifacts import write_atomically
from rag_opt.study.evaluation import Evaluation, score_run
from rag_opt.study.search import Search

RUNNING = -1  # its number among trials, in what a search found: no trial has it
REPLIES = "running_baseline.jsonl"  # in the study's folder
_AT_ONCE = 32
_NOT_KNOWN = ("cost/batch_ms", "cost/latency_ms", "cost/usd", "cost/model_")  # nobody measured them


def describe_running(search: Search, held_out: Sequence[Question]) -> list[str]:
    """Ask what runs today the search questions, and return in lines how it does; none where nothing is named.

    Raises BadInput where it cannot be compared, ServerFailed where a service does not answer. A log is also looked
    through for the held-out questions: one that has none of them can tell no gain.
    """
    if search.running is None:
        return []
    name, optimised = search.running.name, search.objective_set.optimised
    located = _locate(search, search.running, search.questions)
    _refuse_without_replies(located, f"{name} has no reply that counts to any of the search questions")
    if optimised.reads_answers and not located.answered:
        what = f"{name} gives passages and no answers, which {optimised.kind} reads"
        raise BadInput([Problem("baseline", f"{what}: only.generator=[none] and objective=evidence_recall")])
    evaluation = evaluate_running(search, search.running, search.questions)
    value = float(np.nanmean(evaluation.optimised)) if evaluation.coverage else float("nan")
    said = [f"baseline {name}: {optimised.kind} {value:.4f} on the search questions"]
    said += describe_missing(located, len(search.questions))
    if held_out and isinstance(search.running, LoggedSystem):
        later = _locate(search, search.running, held_out)
        _refuse_without_replies(later, f"{name} has no reply that counts to any of the held-out questions")
        said += [f"held out: {line}" for line in describe_missing(later, len(held_out))]
    return said


def _refuse_without_replies(located: Located, what: str) -> None:
    if all(located.run.responses.usage.failed):
        reasons = "; ".join(describe_missing(located, len(located.run.questions)))
        raise BadInput([Problem("baseline", f"{what}: {reasons}")])


def evaluate_running(
    search: Search, system: RunningSystem, questions: Sequence[Question], *, finalist: bool = False
) -> Evaluation:
    """Return the replies of a system to some questions, scored as a trial's are. Raises ServerFailed.

    Replies are kept in the study: nothing is asked twice. A question without one says nothing of the gain, and counts
    in no metric; times and prices are not known.
    """
    objectives, run = search.objective_set.objectives(finalist=finalist), _locate(search, system, questions).run
    found = score_run(search.builder, run, search.objective_set, objectives)
    replied = [row for row, reason in enumerate(run.responses.usage.failed) if not reason]
    whole = len(replied) == len(questions)
    metrics = found.metrics if whole else _score_metrics(search, run.select(replied), objectives)
    known = {name: value for name, value in metrics.items() if not name.startswith(_NOT_KNOWN)}
    return dataclasses.replace(found, metrics=known)


def _score_metrics(search: Search, run: Run, objectives: Sequence[Objective]) -> dict[str, float]:
    return score_run(search.builder, run, search.objective_set, objectives).metrics


def _locate(search: Search, system: RunningSystem, questions: Sequence[Question]) -> Located:
    spec = search.baseline
    asked = search.builder.readings.localise(spec.reader, questions)
    return build_run(_ask(search, system, asked), asked, search.builder.texts(spec), search.quote_resolver)


def _ask(search: Search, system: RunningSystem, questions: Sequence[Question]) -> list[SystemReply]:
    path = search.folder.path / REPLIES
    known = _read_replies(path)
    keys = [digest([system.identity, question_digest(question)]) for question in questions]
    missing = [row for row, key in enumerate(keys) if key not in known]
    for first in range(0, len(missing), _AT_ONCE):
        rows = missing[first : first + _AT_ONCE]
        replies = system.ask([questions[row] for row in rows])
        some = {keys[row]: reply for row, reply in zip(rows, replies, strict=True)}
        known |= some
        lasting = {key: reply for key, reply in some.items() if reply.failed in ("", *UNKNOWN)}
        lines = [orjson.dumps({"question": key, **dataclasses.asdict(reply)}) for key, reply in lasting.items()]
        with path.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
    return [known[key] for key in keys]


def _read_replies(path: Path) -> dict[str, SystemReply]:
    """Return the replies that were kept. What a kill left half-written at the end is taken away, and asked again."""
    if not path.exists():
        return {}
    known: dict[str, SystemReply] = {}
    content, whole = path.read_bytes(), 0
    for line in content.splitlines(keepends=True):
        try:
            kept = orjson.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            kept = None
        if kept is None:
            write_atomically(path, content[:whole])
            break
        known[kept["question"]] = SystemReply(tuple(kept["passages"]), kept["answer"], kept["failed"])
        whole += len(line)
    return known
