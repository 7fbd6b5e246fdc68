"""A pipeline as YAML that a person reads: every setting by its name, with what it means and in which unit."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator

import yaml

from rag_opt.core import strict
from rag_opt.core.registry import description
from rag_opt.pipeline.spec import PipelineSpec

WINNER = "winner.yaml"


def to_yaml(spec: PipelineSpec, *, about: str) -> str:
    """Return a pipeline with all of its settings, each described; `baseline=` and `study.enqueue` read it.

    `about`: lines at the head, in words.
    """
    head = [f"# {line}".rstrip() for line in about.splitlines()]
    return "\n".join([*head, *_lines(spec)]) + "\n"


def _lines(spec: PipelineSpec) -> Iterator[str]:
    for slot, part in spec.parts():
        settings = strict.dump(part)
        yield f"{slot}:"
        if not settings:
            yield f"  {part.kind}: {{}}"
            continue
        yield f"  {part.kind}:"
        hints = typing.get_type_hints(type(part), include_extras=True)
        written = {name: f"    {name}: {_plain(value)}" for name, value in settings.items()}
        width = max(map(len, written.values()))
        for name, line in written.items():
            yield f"{line:<{width}}  # {' '.join(description(hints[name]).split())}"


def _plain(value: object) -> str:
    """Return a value in one line of YAML."""
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)  # YAML reads it as JSON does
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()
