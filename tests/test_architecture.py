"""The house rules that a machine can hold: imports point down only, and every big library has one owner."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / "rag_opt").rglob("*.py"), *(ROOT / "objectives").rglob("*.py")])
GROUND = {"records", "evidence", "registry", "errors", "config", "coverage", "rankings", "sentences", "tokens"}
GROUND |= {"fetching", "cutting"}
COMMANDS = {
    "search",
    "estimate",
    "check",
    "export",
    "track",
    "composing",
    "preparing",
    "panels",
    "feasible",
    "fielding",
    "card",
    "questions",
    "gathering",
    "judge_check",
    "binding",
    "parts_table",
    "settings",
    "__main__",
    "__init__",
}
LEVEL = {"store": 1, "parts": 1, "data": 1, "pipeline": 2, "evaluation": 3, "labelling": 3, "objectives": 3, "study": 4}
LEVEL |= {"tracking": 5, "production": 4, **dict.fromkeys(GROUND, 0), **dict.fromkeys(COMMANDS, 6)}
# the keys and token offsets of the ground are hashes and arrays; they need the key functions of the store
ALLOWED_UP = {("registry", "store.keys"), ("records", "store.keys"), ("tokens", "store.keys")}
ALLOWED_UP |= {("__init__", "production.bundle")}
OWNERS = {
    "optuna": ("rag_opt/study/",),
    "hydra": ("rag_opt/composing.py",),
    "omegaconf": ("rag_opt/composing.py",),
    "mlflow": ("rag_opt/tracking/mlflow_runs.py",),
    "chromadb": ("rag_opt/parts/indexes/chroma.py",),
    "ragas": ("objectives/",),
    "openvino": ("rag_opt/parts/models/openvino_model.py",),
    "torch": ("rag_opt/parts/", "rag_opt/check.py"),
    "sentence_transformers": ("rag_opt/parts/",),
}
HEAVY = {
    "torch",
    "sentence_transformers",
    "transformers",
    "chromadb",
    "ragas",
    "mlflow",
    "pyarrow",
    "scipy",
    "lxml",
}


def imports(path: Path, *, top_only: bool = False) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        n for i in tree.body if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test) for n in ast.walk(i)
    }
    nodes = tree.body if top_only else list(ast.walk(tree))
    found = []
    for node in nodes:
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from rag_opt import study` names a module too
            found += [f"rag_opt.{a.name}" for a in node.names] if node.module == "rag_opt" else [node.module]
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "rag_opt" and len(parts) > 1 else parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    mine = room(module)
    for other in imports(path):
        if other.split(".")[0] not in ("rag_opt", "objectives") or other == "rag_opt":
            continue
        assert not (mine != "objectives" and other.startswith("objectives")), f"{module} imports {other} by name"
        if (mine, other.removeprefix("rag_opt.")) in ALLOWED_UP or room(other) == mine:
            continue
        assert LEVEL[room(other)] <= LEVEL[mine], f"{module} imports {other}, which stands above it"


@pytest.mark.parametrize("path", sorted((ROOT / "rag_opt" / "parts").rglob("*.py")), ids=lambda p: p.stem)
def test_parts_do_not_import_one_another(path: Path) -> None:
    slot = path.parent.name
    for other in imports(path):
        if other.startswith("rag_opt.parts."):
            # the files of embedders/ are one part together; what models/ holds is there to be shared
            together = slot in ("embedders", "rerankers", "generators") and other.startswith(f"rag_opt.parts.{slot}")
            assert together or other.startswith("rag_opt.parts.models."), f"{path.stem} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_big_library_has_one_owner(path: Path) -> None:
    here = path.relative_to(ROOT).as_posix()
    for library in {name.split(".")[0] for name in imports(path)} & set(OWNERS):
        assert here.startswith(OWNERS[library]), f"{here} imports {library}, which belongs to {OWNERS[library]}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    if path.stem != "openvino_model":  # it is itself imported only where a model is loaded
        assert not {name.split(".")[0] for name in imports(path, top_only=True)} & HEAVY
