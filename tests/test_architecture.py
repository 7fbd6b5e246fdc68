"""The rules of the house that a machine can hold: rooms, imports, circles, doors, owners of libraries, names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / "rag_opt").rglob("*.py"), *(ROOT / "objectives").rglob("*.py")])
DOORS = {"start", "search", "check", "estimate", "export", "serve", "questions", "track", "card", "gate"}
FLOORS = [  # from the ground up; rooms of one floor do not know one another
    {"core"},
    {"store", "text"},
    {"models", "data", "metrics"},
    {"parts"},
    {"pipeline"},
    {"evaluation"},
    {"objectives"},
    {"study"},
    {"report", "production", "engines", "testset"},
    {"tracking"},
    {"setup"},
    {"cli"},
    DOORS,
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "misc"}
OWNERS = {
    "optuna": ("rag_opt/study/",),
    "hydra": ("rag_opt/cli/",),
    "omegaconf": ("rag_opt/cli/",),
    "typer": ("rag_opt/cli/",),
    "mlflow": ("rag_opt/tracking/", "rag_opt/production/mlflow_model.py"),
    "fastapi": ("rag_opt/production/service/",),
    "uvicorn": ("rag_opt/production/service/",),
    "prometheus_client": ("rag_opt/production/service/",),
    "cryptography": ("rag_opt/production/signing.py",),
    "chromadb": ("rag_opt/parts/indexes/chroma.py", "rag_opt/production/vector_stores/chroma_collections.py"),
    "qdrant_client": ("rag_opt/production/vector_stores/qdrant_collections.py",),
    "psycopg": ("rag_opt/production/vector_stores/pgvector_tables.py",),
    "pymilvus": ("rag_opt/production/vector_stores/milvus_collections.py",),
    "lancedb": ("rag_opt/production/vector_stores/lancedb_tables.py", "rag_opt/parts/indexes/late_interaction.py"),
    "litellm": ("rag_opt/models/litellm_transport.py",),
    "ragas": ("objectives/",),
    "openvino": ("rag_opt/models/openvino_model.py",),
    "torch": ("rag_opt/parts/", "rag_opt/models/"),
    "sentence_transformers": ("rag_opt/parts/", "rag_opt/models/"),
}
HEAVY = {"torch", "sentence_transformers", "transformers", "chromadb", "ragas", "mlflow", "pyarrow", "scipy", "lxml"}
HEAVY |= {"sklearn"}


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path, *, top_only: bool = False, typing_too: bool = False) -> list[str]:
    """Modules that a file imports, as far as they are named; names inside a module are the module's."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        node
        for block in tree.body
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    found = []
    for node in tree.body if top_only else ast.walk(tree):
        if node in typing_only and not typing_too:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if name in MODULES else node.module for name in named]
    return found


def is_door(module: str) -> bool:
    return module.endswith("__main__") or module in {"rag_opt", *(f"rag_opt.{door}" for door in DOORS)}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "rag_opt" and len(parts) > 1 else parts[0]


def test_no_loose_file_stands_at_the_top_but_the_doors() -> None:
    loose = {path.stem for path in (ROOT / "rag_opt").glob("*.py")}
    assert loose - DOORS == {"__init__", "__main__"}


@pytest.mark.parametrize("door", sorted(module for module in MODULES if is_door(module)))
def test_a_door_only_opens_a_room(door: str) -> None:
    assert len(MODULES[door].read_text(encoding="utf-8").splitlines()) <= 80


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    if is_door(module):
        return
    mine = room_of(module)
    for other in imports(path, typing_too=True):
        if other.split(".")[0] not in ("rag_opt", "objectives") or other == "rag_opt":
            continue
        assert mine == "objectives" or not other.startswith("objectives"), f"{module} imports {other} by name"
        theirs = room_of(other)
        assert theirs == mine or FLOOR[theirs] < FLOOR[mine], f"{module} imports {other}, which does not stand below it"


def test_no_files_import_one_another_in_a_circle() -> None:
    arrows = {
        module: {other for other in imports(path, typing_too=True) if other in MODULES and other != module}
        for module, path in MODULES.items()
        if not is_door(module)
    }
    while arrows:  # take away what imports nothing that is left
        leaves = {module for module, others in arrows.items() if not others & arrows.keys()}
        assert leaves, f"these files import one another: {sorted(arrows)}"
        arrows = {module: others for module, others in arrows.items() if module not in leaves}


@pytest.mark.parametrize("path", sorted((ROOT / "rag_opt" / "parts").rglob("*.py")), ids=lambda p: p.stem)
def test_parts_do_not_import_one_another(path: Path) -> None:
    slots = {folder.name for folder in (ROOT / "rag_opt" / "parts").iterdir() if folder.is_dir()}
    for other in imports(path):
        if path.parent.name in slots and other.startswith("rag_opt.parts."):
            assert other.split(".")[2] not in slots, f"{path.stem} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_big_library_has_one_owner(path: Path) -> None:
    here = path.relative_to(ROOT).as_posix()
    for library in {name.split(".")[0] for name in imports(path)} & set(OWNERS):
        assert here.startswith(OWNERS[library]), f"{here} imports {library}, which belongs to {OWNERS[library]}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_heavy_libraries_are_imported_where_they_are_used(path: Path) -> None:
    # imported only where a model is loaded, by MLflow, or where a store is opened
    if path.stem not in ("openvino_model", "mlflow_model", "chroma_collections", "lancedb_tables"):
        assert not {name.split(".")[0] for name in imports(path, top_only=True)} & HEAVY


def test_files_are_named_for_what_is_in_them() -> None:
    assert not {path.stem for path in FILES} & FORBIDDEN_NAMES
    libraries = {"optuna", "hydra", "mlflow", "chromadb", "ragas", "torch", "tokenizers", "typer", "random", "code"}
    shadowing = {path.stem for path in FILES} & libraries
    assert shadowing <= {"code"}, shadowing  # a chunker of code; it is never run as a script


def test_public_things_are_documented() -> None:
    missing = []
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [(module, tree)] if path.stem != "__main__" else []
        nodes += [(f"{module}.{n.name}", n) for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)]
        for owner in [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]:
            nodes += [
                (f"{module}.{owner.name}.{n.name}", n)
                for n in owner.body
                if isinstance(n, ast.FunctionDef) and not any("overload" in ast.dump(d) for d in n.decorator_list)
            ]
        missing += [
            name for name, node in nodes if not name.rpartition(".")[2].startswith("_") and not ast.get_docstring(node)
        ]
    assert missing == []
