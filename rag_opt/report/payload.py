"""The data of the report's page: what its charts and its question by question view are drawn from."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import orjson

from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.evaluation.outcomes import MEANINGS, OUTCOMES
from rag_opt.report.contents import Contents, Text, spent_by_stage
from rag_opt.study.descriptions import describe
from rag_opt.study.trials import Trial

COSTS = ("cost/context_tokens", "cost/latency_ms_p50", "cost/usd", "cost/batch_ms")
_JUDGED, _UNSCORED = "/reason", 255
_ALL_HITS = 50


def build_payload(
    contents: Contents, text: Text | None, *, texts: bool = True, most_hits: int = _ALL_HITS
) -> PlainDict:
    """Return everything that the page draws, as plain data for JSON.

    `text`: returns what stands in a document; None where the documents are not at hand. `texts` False leaves out what
    questions, answers and passages say. `most_hits`: of how many hits the passages are kept.
    """
    payload: PlainDict = {
        "study": contents.study.name,
        "objective": contents.objective,
        "sign": contents.sign,
        "trials": [_trial(contents, trial) for trial in contents.study.trials],
        "importance": [{"path": path, "share": share} for path, share in contents.importance.items() if share > 0],
        "effects": [
            {
                "path": effect.path,
                "size": effect.size,
                "levels": [[one.name, one.trials, one.gain, one.low, one.high] for one in effect.levels],
            }
            for effect in contents.effects
        ],
        "stages": [list(row) for row in spent_by_stage(contents.study.trials)],
        "growth": contents.grown,
        "models": _models(contents),
        "benchmark": contents.facts.get("benchmark", ""),
        "heat": _heat(contents),
        "outcomes": list(OUTCOMES),
        "meanings": {name: MEANINGS[name] for name in OUTCOMES},
        "shown": contents.shown,
        "winner": contents.result.winner if contents.result is not None else None,
        "baseline": contents.result.baseline_trial if contents.result is not None else None,
        "compared": bool(contents.compared),
    }
    return payload | _questions(contents, text if texts else None, texts=texts, most_hits=most_hits)


def _trial(contents: Contents, trial: Trial) -> PlainDict:
    slots = {slot: next(iter(part)) for slot, part in trial.spec.items()}
    return {
        "n": trial.number,
        "value": trial.value,
        "others": list(trial.others),
        "state": trial.state,
        "raced": trial.raced,
        "origin": trial.origin,
        "words": describe(trial.spec),
        "parameters": contents.parameters[trial.number],
        "slots": slots,
        "seconds": trial.seconds,
        "costs": {name: trial.metrics.get(name) for name in COSTS},
        "reason": trial.reason.splitlines()[0] if trial.reason else "",
        "outside": sorted(trial.outside),
    }


def _models(contents: Contents) -> list[PlainDict]:
    models: PlainMapping = contents.facts.get("models", {})
    return [
        {
            "name": name,
            "trial": trial.number,
            "value": trial.value,
            "published": models.get(name, {}).get("published"),
            "parameters_millions": models.get(name, {}).get("parameters_millions"),
        }
        for name, trial in contents.best_by_model().items()
    ]


def _heat(contents: Contents) -> PlainDict:
    """Return the objective by trial and search question, in 255 steps between its lowest and highest value."""
    values = contents.values
    if not values.size:
        return {"trials": [], "questions": [], "low": 0.0, "high": 1.0, "values": ""}
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    scaled = np.round((values - low) / max(high - low, 1e-12) * (_UNSCORED - 1))
    cells = np.where(np.isnan(values), _UNSCORED, np.nan_to_num(scaled)).astype(np.uint8)
    means = np.nan_to_num(np.nanmean(np.where(np.isnan(values), 0.0, values), axis=0))
    order = np.argsort(means, kind="stable")  # the hardest first
    return {
        "trials": [trial.number for trial in contents.complete],
        "questions": [contents.question_ids[i] for i in order],
        "low": low,
        "high": high,
        "values": base64.b64encode(cells[:, order].tobytes()).decode(),
    }


def _questions(contents: Contents, text: Text | None, *, texts: bool, most_hits: int) -> PlainDict:
    """Return the questions, what the shown pipelines made of each, and the passages that are spoken of."""
    questions, pipelines = dict[str, PlainDict](), list[PlainDict]()
    readers = list[PlainMapping]()  # pipelines of one reader speak of the same texts
    wanted = list[dict[str, list[tuple[int, int]]]]()
    for number in contents.shown:
        trial = contents.by_number[number]
        rows = contents.all_rows(number)
        reader = trial.spec.get("reader", {})
        if reader not in readers:
            readers.append(reader)
            wanted.append({})
        corpus = readers.index(reader)
        for row in rows:
            questions.setdefault(str(row["question_id"]), _question(row, texts=texts))
            for place in _places(row, most_hits):
                wanted[corpus].setdefault(place[0], []).append(place[1:])
        pipelines.append(
            {
                "n": number,
                "words": describe(trial.spec),
                "corpus": corpus,
                "rows": {
                    str(row["question_id"]): _row(contents, row, outcome, texts=texts)
                    | ({"evidence": _evidence(row)} if corpus else {})
                    for row, outcome in zip(rows, contents.outcomes(trial), strict=True)
                },
            }
        )
    passages = [
        _passages(places, functools.partial(text, reader)) if text is not None else {}
        for reader, places in zip(readers, wanted, strict=True)
    ]
    return {"questions": questions, "pipelines": pipelines, "passages": passages, "texts": texts}


def collect_passages(contents: Contents, text: Text) -> PlainDict:
    """Return the texts of what the shown trials returned on the held-out questions, by reader and document."""
    wanted = dict[str, tuple[PlainMapping, dict[str, list[tuple[int, int]]]]]()
    for number in contents.shown:
        reader = contents.by_number[number].spec.get("reader", {})
        _, places = wanted.setdefault(orjson.dumps(reader).decode(), (reader, {}))
        for row in contents.all_rows(number):
            if row["held_out"]:
                for document, start, end in _places(row, _ALL_HITS):
                    places.setdefault(document, []).append((start, end))
    return {key: _passages(places, functools.partial(text, reader)) for key, (reader, places) in wanted.items()}


def _question(row: PlainMapping, *, texts: bool) -> PlainDict:
    return {
        "text": row["question"] if texts else "",
        "reference": row["reference_answer"] if texts else None,
        "answerable": row["answerable"],
        "held_out": row["held_out"],
        "kind": row["kind"],
        "evidence": _evidence(row),
    }


def _evidence(row: PlainMapping) -> list[list[object]]:
    return [[one["need"], one["kind"], one["document"], one["start"], one["end"]] for one in row.get("evidence") or ()]


def _row(contents: Contents, row: PlainMapping, outcome: str, *, texts: bool) -> PlainDict:
    hits = [
        [
            hit["document"],
            hit["start"],
            hit["end"],
            round(hit["score"], 4),
            hit.get("page"),
            list(hit.get("headings") or ()) if texts else [],
        ]
        for hit in row["hits"]
    ]
    reasons = {name: value for name, value in row.items() if name.endswith(_JUDGED) and value} if texts else {}
    return {
        "v": contents.value_of(row),
        "o": outcome,
        "a": row["answer"] if texts else "",
        "refused": row["refused"],
        "failed": row["failed"],
        "tokens": row["context_tokens"],
        "rank": row.get("places/list_rank"),
        "in_list": row.get("places/in_list"),
        "hits": hits,
        "why": reasons,
    }


def _places(row: PlainMapping, most_hits: int) -> Iterator[tuple[str, int, int]]:
    for hit in row["hits"][:most_hits]:
        yield hit["document"], hit["start"], hit["end"]
    for one in row.get("evidence") or ():
        if one["start"] is not None and one["kind"] == "span":
            yield one["document"], one["start"], one["end"]


def _passages(
    wanted: Mapping[str, Sequence[tuple[int, int]]], text: Callable[[str, int, int], str]
) -> dict[str, list[list[object]]]:
    """Return by document the pieces of its text that are spoken of: [start, text], joined where they touch."""
    passages = dict[str, list[list[object]]]()
    for document, places in wanted.items():
        pieces = list[list[int]]()
        for start, end in sorted(places):
            if pieces and start <= pieces[-1][1]:
                pieces[-1][1] = max(pieces[-1][1], end)
            else:
                pieces.append([start, end])
        try:
            passages[document] = [[start, text(document, start, end)] for start, end in pieces]
        except LookupError:  # a document of another reading
            continue
    return passages
