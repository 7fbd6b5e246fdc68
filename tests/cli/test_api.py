"""A search from Python: the example of the docs runs, and mistakes are raised, not printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rag_opt
from rag_opt.cli.export_command import export
from rag_opt.core.errors import BadInput
from tests.conftest import write_tiny

DOCS = Path(__file__).parent.parent.parent / "docs" / "api.md"


def test_the_example_of_the_docs_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search, given, bundle = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    write_tiny(tmp_path)
    (tmp_path / "docs").rename(tmp_path / "documents")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(search, str(DOCS), "exec"), names)
    study = names["study"]
    assert isinstance(study, rag_opt.Study) and len(study.trials) == 4 and study.best is not None
    printed = capsys.readouterr().out
    assert "winner" in printed and "from_python: 4 trials" in printed
    assert (tmp_path / "outputs" / "from_python" / "result.json").exists()
    exec(compile(given, str(DOCS), "exec"), names)
    export(tmp_path / "outputs" / "from_langchain", tmp_path / "bundle")
    capsys.readouterr()
    exec(compile(bundle, str(DOCS), "exec"), names)
    printed = capsys.readouterr().out
    assert "'source': 'bread.md'" in printed and "Yeast" in printed and "Reply(" in printed


def test_a_wrong_override_is_raised_with_the_nearest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="did you mean 'trials'"):
        rag_opt.run_search(["study.trails=3"])


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a study's folder"):
        rag_opt.Study(tmp_path)


def test_every_public_name_can_be_imported() -> None:
    for name in rag_opt.__all__:
        assert getattr(rag_opt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rag_opt.nothing
