"""Safety of a model's files: nothing runs that a person did not allow, and nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import orjson

from rag_opt.core.errors import ModelRefused
from rag_opt.core.strict import PlainDict
from rag_opt.models.cards import ModelCard

_OURS = ("sentence_transformers.", "pylate.models.")  # classes of the library itself, by today's and an older name
_ACTIVATIONS = ("torch.nn.",)
_DATA = ("tokenizer.json", "vocab.json")
_MOST_BYTES = 5_000_000


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

    `allowed`: repositories as `id@revision`. Raises ModelRefused for a model that needs code of any other, reaches out
    of its folder, or has weights that are not safetensors.
    """
    settings = _read_settings(folder)
    modules = _modules(settings)
    outside = [path for path, _ in modules if not _is_inside(path)]
    if outside or "adapter_config.json" in settings:
        what = f"modules.json names {outside[0]!r}" if outside else "it is an adapter of another model"
        raise ModelRefused(f"{folder}: {what}: everything that a model loads must lie in its own folder")
    code = {**_custom_code(settings), **{kind: "modules.json" for _, kind in modules if not kind.startswith(_OURS)}}
    if not code:
        _refuse_pickles(folder, [path for path, _ in modules])
        return {}
    elsewhere = {str(name).partition("--")[0] for name in code if "--" in str(name)}
    revisions = dict(repository.split("@", 1) for repository in allowed if "@" in repository)
    if not allowed or len(elsewhere) > 1 or any(other not in revisions for other in elsewhere):
        which = ", ".join(sorted(elsewhere)) or "its own repository"
        name, file = next(iter(code.items()))
        raise ModelRefused(
            f"{folder}: {file} names custom code ({name!r}, of {which}). Without it the model loads and gives "
            "wrong vectors, with it anything may run here; serve it with text-embeddings-inference, or allow the "
            "code by embedder.allow_code=[id@revision] (of a repository it names besides its own, too)"
        )
    _refuse_pickles(folder, [path for path, _ in modules])
    pinned = {"code_revision": revisions[next(iter(elsewhere))]} if elsewhere else {}
    return {"trust_remote_code": True, "model_kwargs": pinned, "config_kwargs": pinned}


def _read_settings(folder: Path) -> dict[str, PlainDict | list[object]]:
    """Return the JSON files of a model that say what is loaded, by their path in its folder."""
    found = {}
    for path in sorted(folder.rglob("*.json")):
        if path.stat().st_size > _MOST_BYTES or path.name in _DATA:
            continue
        try:
            found[path.relative_to(folder).as_posix()] = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise ModelRefused(f"{path} is no JSON: {error}") from None
    return found


def _modules(settings: Mapping[str, PlainDict | list[object]]) -> list[tuple[str, str]]:
    """Return the modules of a sentence-transformers model: the path and the class of each."""
    listed = settings.get("modules.json", [])
    named = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    found = [(str(one.get("path") or ""), str(one.get("type"))) for one in named]
    for name, content in settings.items():  # a router has modules of its own
        types = content.get("types") if isinstance(content, dict) else None
        if isinstance(types, dict):
            found += [((PurePosixPath(name).parent / path).as_posix(), str(kind)) for path, kind in types.items()]
    return found


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path.replace("\\", "/"))
    return not pure.is_absolute() and ".." not in pure.parts and ":" not in path


def _custom_code(settings: Mapping[str, PlainDict | list[object]]) -> dict[str, str]:
    """Return the classes and functions of others that a model's settings name, each with the file that names it."""
    code: dict[str, str] = {}
    for file, content in settings.items():
        if not isinstance(content, dict):
            continue
        mapped = content.get("auto_map") or {}
        values = mapped.values() if isinstance(mapped, dict) else [mapped]
        for value in values:
            code |= {str(name): file for name in (value if isinstance(value, list) else [value]) if name}
        inner = content.get("sentence_transformers")
        for key, value in [*content.items(), *(inner.items() if isinstance(inner, dict) else ())]:
            dotted = isinstance(value, str) and "." in value  # a plain name is one of transformers' own
            if "activation_f" in key and dotted and not value.startswith(_ACTIVATIONS):
                code[value] = file
    return code


def _refuse_pickles(folder: Path, modules: Sequence[str]) -> None:
    """Raise ModelRefused unless the weights of the model and of each of its modules are safetensors."""
    if not any(folder.rglob("*.safetensors")):
        raise ModelRefused(f"{folder}: there are no safetensors weights; other formats can run code when loaded")
    for place in {folder, *(folder / module for module in modules)}:
        safe = any((place / name).exists() for name in ("model.safetensors", "model.safetensors.index.json"))
        pickles = sorted(place.glob("pytorch_model*"))
        if pickles and not safe:
            raise ModelRefused(f"{pickles[0]} is not safetensors: other formats can run code when loaded")
