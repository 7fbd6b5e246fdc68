"""A language model that answers the real prompts of ragas by rule: words in common decide, the JSON is as asked for."""

from __future__ import annotations

import json
import re
from typing import Any

from rag_opt.text.sentences import split_sentences

_SCHEMA = re.compile(r"as specified in JSON Schema:\n(\{.*?\})Do not use single quotes", re.DOTALL)


def judged(prompt: str) -> str:
    """The answer to a prompt of ragas; to one that wants no JSON, its question turned round."""
    schema = _SCHEMA.search(prompt)
    if schema is None:
        return f"It is said: {prompt.rpartition('Question:')[2].strip()}"
    form = json.loads(schema.group(1))
    given = prompt.rpartition("input: ")[2].rpartition("Output:")[0]
    try:
        data = json.loads(given)
    except ValueError:
        data = {}
    return json.dumps(answer(form, data))


def answer(form: dict[str, Any], given: dict[str, Any]) -> Any:
    known = ANSWERS.get(form["title"])
    return known(given) if known is not None else _any(form, form)


def split(text: str) -> list[str]:
    return [text[start:end].strip() for start, end in split_sentences(text)] or [text]


def supported(statement: str, by: str) -> int:
    """1 where half of its longer words stand in the other text."""
    words = [word for word in re.findall(r"\w+", statement.lower()) if len(word) > 3]
    return int(2 * sum(word in by.lower() for word in words) >= len(words)) if words else 0


def _verdicts(given: dict[str, Any]) -> Any:
    rows = [
        {"statement": one, "reason": "by its words", "verdict": supported(one, given["context"])}
        for one in given["statements"]
    ]
    return {"statements": rows}


def _classified(given: dict[str, Any]) -> Any:
    answers, truth = given["answer"], given["ground_truth"]
    right = [one for one in answers if supported(one, " ".join(truth))]
    missing = [one for one in truth if not supported(one, " ".join(answers))]
    named = {"TP": right, "FP": [one for one in answers if one not in right], "FN": missing}
    return {key: [{"statement": s, "reason": "by its words"} for s in some] for key, some in named.items()}


ANSWERS: dict[str, Any] = {
    "StatementGeneratorOutput": lambda given: {"statements": split(given.get("answer") or given["text"])},
    "NLIStatementOutput": _verdicts,
    "StatementFaithfulnessOutput": _verdicts,
    "AnswerRelevanceOutput": lambda given: {"question": f"What of {given['response']}?", "noncommittal": 0},
    "ContextPrecisionOutput": lambda given: {"reason": "w", "verdict": supported(given["answer"], given["context"])},
    "ContextRecallOutput": lambda given: {
        "classifications": [
            {"statement": one, "reason": "by its words", "attributed": supported(one, given["context"])}
            for one in split(given["answer"])
        ]
    },
    "ClaimDecompositionOutput": lambda given: {"claims": split(given["response"])},
    "ClassificationWithReason": _classified,
}


def _any(form: dict[str, Any], root: dict[str, Any]) -> Any:
    """Some value that a schema allows."""
    if "$ref" in form:
        return _any(root["$defs"][form["$ref"].rpartition("/")[2]], root)
    if "enum" in form:
        return form["enum"][0]
    kind = form.get("type")
    if kind == "object":
        return {name: _any(one, root) for name, one in form.get("properties", {}).items()}
    if kind == "array":
        return [_any(form["items"], root)]
    return {"integer": 2, "number": 1.0, "boolean": True}.get(str(kind), "some words")
