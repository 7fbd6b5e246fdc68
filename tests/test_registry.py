from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rag_opt.core.source_digest import source_digest


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
    (package / "part.py").write_text(f"{how}\nfrom rag_opt.text.sentences import trim\n\nUSED = {used}, trim\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = []
    for text in ("x = 1", "x = 2"):
        (package / "helper.py").write_text(text)
        source_digest.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "pack"]:
            del sys.modules[name]
        digests.append(source_digest("pack.part"))
    assert digests[0] != digests[1]


def test_it_is_the_same_for_the_same_source() -> None:
    source_digest.cache_clear()
    first = source_digest("rag_opt.parts.chunkers.fixed")
    source_digest.cache_clear()
    assert source_digest("rag_opt.parts.chunkers.fixed") == first != source_digest("rag_opt.parts.chunkers.sentence")
