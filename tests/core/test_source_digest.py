from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from rag_opt.core.registry import kinds, slots
from rag_opt.core.source_digest import _computes_with, computing_modules, source_digest
from rag_opt.setup.builtins import load_built_in


@pytest.mark.parametrize(
    ("how", "used"),
    [
        ("from . import helper", "helper"),
        ("from pack import helper", "helper"),
        ("import pack.helper", "pack.helper"),
        ("from pack.helper import x", "x"),
    ],
)
def test_the_source_of_a_part_includes_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, used: str
) -> None:
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(f"{how}\nfrom rag_opt.text.trimming import trim\n\nUSED = {used}, trim\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = []
    for text in ("x = 1", "x = 2"):
        (package / "helper.py").write_text(text)
        source_digest.cache_clear()
        computing_modules.cache_clear()
        _computes_with.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "pack"]:
            del sys.modules[name]
        digests.append(source_digest("pack.part"))
    assert digests[0] != digests[1]


def test_it_is_the_same_for_the_same_source() -> None:
    source_digest.cache_clear()
    first = source_digest("rag_opt.parts.chunkers.fixed")
    source_digest.cache_clear()
    assert source_digest("rag_opt.parts.chunkers.fixed") == first != source_digest("rag_opt.parts.chunkers.sentence")


def test_an_unknown_module_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"rag_opt\.evidence"):
        source_digest("rag_opt.evidence")


@pytest.mark.parametrize(
    "harmless",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.helper import X\n",
        "from pack.helper import X\n\ndef f(one: X) -> X:\n    return one\n",
        "import pack.inner.deep\nUSED = pack.inner.deep.x\n",
    ],
    ids=["only for types", "only in annotations", "a package beside what is used"],
)
def test_what_computes_nothing_is_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harmless: str) -> None:
    inner = tmp_path / "pack" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("")
    (inner / "deep.py").write_text("x = 1")
    (inner.parent / "part.py").write_text(f"from __future__ import annotations\n{harmless}")
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = []
    for text in ("X = int", "X = str"):
        (inner.parent / "helper.py").write_text(text)
        (inner / "__init__.py").write_text(text)
        source_digest.cache_clear()
        computing_modules.cache_clear()
        _computes_with.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "pack"]:
            del sys.modules[name]
        digests.append(source_digest("pack.part"))
    assert digests[0] == digests[1]


def _kinds() -> list[tuple[str, str]]:
    load_built_in(["objectives"])
    return [(slot, kind) for slot in slots() if slot not in ("dataset", "sampler") for kind in kinds(slot)]


@pytest.mark.parametrize(("slot", "kind"), _kinds())
def test_few_modules_are_behind_the_key_of_a_kind(slot: str, kind: str) -> None:
    modules = computing_modules(kinds(slot)[kind].__module__)
    # The files of one package of data/ (data/pdf) read one format together, so they count as one.
    behind = {re.sub(r"^(rag_opt\.data\.\w+)\.\w+$", r"\1", name) for name in modules}
    assert len(behind) <= 10, modules
    above = [name for name in modules if name.split(".")[1] in ("study", "tracking", "cli", "setup", "report")]
    assert not above


@pytest.mark.parametrize(
    ("module", "behind"),
    [
        ("rag_opt.parts.chunkers.fixed", {"parts.chunkers.fixed", "text.tokens", "text.trimming"}),
        ("rag_opt.parts.rerankers.mmr", {"parts.rerankers.mmr", "core.ranked_lists"}),
        ("rag_opt.parts.generators.extractive", {"parts.generators.extractive"}),
        ("rag_opt.metrics.evidence", {"metrics.evidence", "metrics.offset_line"}),
    ],
)
def test_the_modules_behind_a_key_are_those_that_compute(module: str, behind: set[str]) -> None:
    assert {name.removeprefix("rag_opt.") for name in computing_modules(module)} == behind
