"""Pipelines in words, and the embedding work of a trial in numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rag_opt.core import strict
from rag_opt.core.errors import UnknownPart
from rag_opt.core.registry import lookup
from rag_opt.pipeline.spec import DEFAULT_PARTS, SpecDict
from rag_opt.study.trials import Trial

_ALWAYS_SHOWN = ("name", "size", "top_k", "weight", "sentences", "refuse_below", "trade_off", "prompt")


def describe(spec: SpecDict, searched: Collection[str] | None = None) -> str:
    """Return a pipeline in one line: kinds with the settings that matter.

    `searched`: paths of what a space leaves to choose; nothing else is shown then. None: what is not as usual.
    """
    parts = []
    for slot, part in spec.items():
        ((kind, settings),) = part.items()
        if searched is not None:
            shown = {name: value for name, value in settings.items() if f"{slot}.{kind}.{name}" in searched}
            if (slot not in searched and not shown) or kind == "none":
                continue
            named = {"name": settings["name"]} if slot == "embedder" and "name" in settings else {}
            shown = {**named, **{name: value for name, value in shown.items() if value is not None}}
        elif slot == "packer" or kind == "none" or part == DEFAULT_PARTS.get(slot):
            continue
        else:
            shown = _settings_to_show(slot, kind, settings)
        name = shown.pop("name", kind) if slot == "embedder" else kind
        kind_of_embedder = [kind] if slot == "embedder" and kind != "model" else []
        words = [*kind_of_embedder, *(f"{key}={_short(value)}" for key, value in shown.items() if key != "depth")]
        parts.append(f"{name}({' '.join(words)})" if words else str(name))
    return " · ".join(parts)


def _settings_to_show(slot: str, kind: str, settings: Mapping[str, object]) -> dict[str, object]:
    try:
        return strict.drop_defaults(lookup(slot, kind), settings, always=_ALWAYS_SHOWN)
    except UnknownPart:  # of a plugin that is not loaded here
        return dict(settings)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def embedding_work(trial: Trial) -> tuple[int, float]:
    """Return how many texts a trial embedded, and which share of all that it needed was stored already, in [0, 1]."""
    encoded = trial.computed.get("inputs encoded", 0)
    computed = sum(trial.computed.values()) - encoded
    reused = sum(trial.reused.values())
    return encoded, reused / max(reused + computed, 1)


def short_name(trial: Trial) -> str:
    """Return a name that tells trials apart in a list: `t0042 recursive-160 minilm weighted k8 · 0.571`."""
    words = [f"t{trial.number:04d}"]
    for slot, part in trial.spec.items():
        ((kind, settings),) = part.items()
        if slot == "chunker":
            words.append(f"{kind}-{settings['size']}" if "size" in settings else kind)
        elif slot == "embedder":
            words.append(str(settings.get("name", kind)) if kind != "none" else "")
        elif slot == "retriever":
            words += [kind, f"k{settings['top_k']}" if "top_k" in settings else ""]
        elif (
            slot in ("reader", "chunk_context", "query", "expander", "reranker")
            and part != DEFAULT_PARTS.get(slot)
            and kind != "none"
        ):
            words.append(kind)
    value = f"{trial.value:.3f}" if trial.value is not None else trial.state.lower()
    return f"{' '.join(filter(None, words))} · {value}"
