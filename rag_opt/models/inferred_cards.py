"""Cards of models that have none, inferred from their own files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import orjson
import yaml

from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.strict import PlainDict
from rag_opt.models.cards import find_reads_tokens, identify, read_json

_POOLING = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_MODES = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_HEADER_BYTES = 8
# how the tables of tokens are called: by BERT and its kin, by decoders, by ModernBERT, by static models
_TABLES = ("word_embeddings.weight", "embed_tokens.weight", "tok_embeddings.weight", "embedding.weight")
READS_ANYTHING = 1_000_000  # tokens, of a static model


def infer_facts(name: str) -> PlainDict:
    """Return the settings of an `EmbedderCard` for a folder, or an id of the hub.

    Raises BadInput where its files are not to be had, or say too little.
    """
    where = f"embedder {name}"
    identity, folder = identify(name)
    config = read_json(folder / "config.json")
    modules = [module for module in read_json(folder / "modules.json", []) if isinstance(module, dict)]
    pooling_config: PlainDict = next(
        (read_json(folder / m["path"] / "config.json") for m in modules if "Pooling" in m["type"]), {}
    )
    prompts = read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    dimensions = pooling_config.get("word_embedding_dimension") or pooling_config.get("embedding_dimension")
    dimensions = _projected_dimensions(folder, modules) or dimensions or config.get("hidden_size")
    table = _static_dimensions(folder, modules)
    dimensions = dimensions or table
    if not dimensions:
        raise BadInput(
            [Problem(where, f"neither config.json nor the modules in {folder} say how many dimensions it has")]
        )
    facts: PlainDict = {
        **identity,
        "dimensions": int(dimensions),
        "reads_tokens": find_reads_tokens(folder) if table is None else READS_ANYTHING,
        "pooling": _pooling(pooling_config),
        "normalises": any("Normalize" in module["type"] for module in modules) if modules else None,
        "query_prompt": prompts.get("query") or "",
        "document_prompt": prompts.get("document") or prompts.get("passage") or "",
        "custom_code": "auto_map" in config,
        "parameters_millions": _millions(folder),
        "table_millions": _millions(folder, only=_TABLES),
        **_front_matter(folder),
        "source": "its own files",
    }
    return {key: value for key, value in facts.items() if value is not None}


def _pooling(config: PlainDict) -> str | None:
    mode = config.get("pooling_mode")  # a name, or names, since sentence-transformers 6; flags before
    if isinstance(mode, str):
        return _MODES.get(mode)
    return next((name for key, name in _POOLING.items() if config.get(key)), None)


def _projected_dimensions(folder: Path, modules: list[PlainDict]) -> int | None:
    """Return the dimensions of the last dense layer after the pooling, if there is one."""
    layers = [
        read_json(folder / m["path"] / "config.json").get("out_features") for m in modules if "Dense" in m["type"]
    ]
    return layers[-1] if layers else None


def _static_dimensions(folder: Path, modules: list[PlainDict]) -> int | None:
    """Return the dimensions of a table of static vectors, by the head of its file."""
    tables = [folder / module["path"] for module in modules if "StaticEmbedding" in module["type"]]
    shapes = [shape for table in tables for _, shape in _tensors(table) if len(shape) == 2]
    return shapes[0][1] if shapes else None


def _front_matter(folder: Path) -> PlainDict:
    """Return licence and languages as the model's README says them in its front matter."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if not text.startswith("---"):
        return {}
    try:
        # as text: `no` is Norwegian
        said = yaml.load(text[3:].partition("\n---")[0], Loader=yaml.BaseLoader) or {}  # text alone
    except (yaml.YAMLError, ValueError, TypeError):
        return {}
    if not isinstance(said, dict):
        return {}
    languages, licence = said.get("language") or [], said.get("license")
    named = [languages] if isinstance(languages, str) else languages if isinstance(languages, list) else []
    facts: PlainDict = {"languages": [str(one) for one in named]} if named else {}
    return facts | ({"licence": licence} if isinstance(licence, str) else {})


def _millions(folder: Path, *, only: tuple[str, ...] = ("",)) -> float | None:
    """Count the parameters, or those of some tensors, by the heads of the safetensors files; no weight is read."""
    count = sum(math.prod(shape) for name, shape in _tensors(folder) if name.endswith(only))
    return round(count / 1e6, 3) if count else None


def _tensors(folder: Path) -> Iterator[tuple[str, list[int]]]:
    """Yield name and shape of all tensors in the safetensors files of a folder."""
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            size = int.from_bytes(file.read(_HEADER_BYTES), "little")
            header = orjson.loads(file.read(size))
        yield from ((name, tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
