"""A pipeline in words, and the work of a trial in numbers."""

from __future__ import annotations

from typing import Any

from rag_opt.core import strict as config
from rag_opt.core.errors import UnknownPart
from rag_opt.core.registry import lookup
from rag_opt.study.space.space import SpecDict
from rag_opt.study.trials import Trial


def _told(slot: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    try:
        return config.told(lookup(slot, kind), settings, always=_ALWAYS)
    except UnknownPart:  # of a plugin that is not loaded where this is said
        return dict(settings)


_ALWAYS = ("name", "size", "top_k", "weight", "sentences", "refuse_below", "trade_off", "prompt")


def describe(spec: SpecDict) -> str:
    """A pipeline in one line: kinds with the settings that matter."""
    words = []
    for slot, part in spec.items():
        ((kind, settings),) = part.items()
        if slot == "packer" or kind == "none":
            continue
        shown = _told(slot, kind, settings)
        name = shown.pop("name", kind) if slot == "embedder" else kind
        first = [kind] if slot == "embedder" and kind != "model" else []
        inside = " ".join([*first, *(f"{key}={_short(value)}" for key, value in shown.items() if key != "depth")])
        words.append(f"{name}({inside})" if inside else str(name))
    return " · ".join(words)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def work(trial: Trial) -> tuple[int, float]:
    """How many texts a trial embedded, and which share of what it needed was there already."""
    encoded = trial.computed.get("inputs encoded", 0)
    made = sum(trial.computed.values()) - encoded
    known = sum(trial.reused.values())
    return encoded, known / max(known + made, 1)
