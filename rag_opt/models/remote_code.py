"""Safety of a model's files: only safetensors are loaded, and custom code only where a person allowed it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from rag_opt.core.errors import ModelRefused
from rag_opt.core.strict import PlainDict
from rag_opt.models.cards import ModelCard


def code_name(card: ModelCard) -> str:
    """Return the name by which a person allows a model's code: `id@revision`, or the folder of a model of his own.

    It is empty where neither says which code that is.
    """
    if card.path is not None:
        return card.path
    return f"{card.id}@{card.revision}" if card.revision else ""


def allowed_code(card: ModelCard, allowed: Sequence[str]) -> tuple[str, ...]:
    """Return the repositories whose code a model may run: none, unless its own is among them."""
    name = code_name(card)
    return tuple(allowed) if name and name in allowed else ()


def refuse_unsafe(folder: Path, allowed: Sequence[str] = ()) -> PlainDict:
    """Return the arguments by which sentence-transformers runs a model's custom code; none where it has none.

    `allowed`: repositories as `id@revision`. Raises ModelRefused for a model that needs code of any other, and for
    weights that are not safetensors.
    """
    path = folder / "config.json"
    code = orjson.loads(path.read_bytes()).get("auto_map") or {} if path.exists() else {}  # static vectors have none
    if not code:
        _refuse_pickles(folder)
        return {}
    names = [name for value in code.values() for name in (value if isinstance(value, list) else [value]) if name]
    elsewhere = {str(name).partition("--")[0] for name in names if "--" in str(name)}
    revisions = dict(repository.split("@", 1) for repository in allowed if "@" in repository)
    if not allowed or len(elsewhere) > 1 or any(other not in revisions for other in elsewhere):
        which = ", ".join(sorted(elsewhere)) or "its own repository"
        raise ModelRefused(
            f"{folder}: config.json names custom code (auto_map, of {which}). Without it the model loads and gives "
            "wrong vectors, with it anything may run here; serve it with text-embeddings-inference, or allow the "
            "code by embedder.allow_code=[id@revision] (of a repository it names besides its own, too)"
        )
    _refuse_pickles(folder)
    pinned = {"code_revision": revisions[next(iter(elsewhere))]} if elsewhere else {}
    return {"trust_remote_code": True, "model_kwargs": pinned, "config_kwargs": pinned}


def _refuse_pickles(folder: Path) -> None:
    if not any(folder.rglob("*.safetensors")):
        raise ModelRefused(f"{folder}: there are no safetensors weights; other formats can run code when loaded")
