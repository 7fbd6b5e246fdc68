"""From a folder to a report and a bundle, by one command."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

import rag_opt
from rag_opt.cli.mlflow_page import find_addresses
from tests.cli.conftest import Command


def test_what_cannot_be_started_is_refused_before_anything_is_made(command: Command, workplace: Path) -> None:
    for arguments, words in (
        (["nowhere/"], "there is no file or folder nowhere"),
        (["data/docs", "--questions", "none.jsonl"], "--questions: there is no file none.jsonl"),
        (["data/docs", "--minutes", "0.5"], "should be at least 2"),
    ):
        done = command("start", *arguments, "--outputs", "started")
        assert done.returncode == 2 and words in done.stderr
    assert not (workplace / "started").exists()


def test_addresses_of_the_newest_study_come_first(tmp_path: Path) -> None:
    import os

    for age, name in enumerate(("new", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "views.json").write_bytes(orjson.dumps({"table": f"#/{name}"}))
        os.utime(tmp_path / name / "views.json", (1_000_000 - age, 1_000_000 - age))
    assert find_addresses(tmp_path, "http://x") == {
        "new": {"table": "http://x/#/new"},
        "old": {"table": "http://x/#/old"},
    }


@pytest.mark.integration
def test_a_folder_becomes_a_report_and_a_bundle(command: Command, workplace: Path) -> None:
    nothing = command("start", "data/docs", "--outputs", "unasked", timeout=100)
    assert nothing.returncode == 2 and "give some by --questions" in nothing.stderr
    (workplace / "terms").mkdir()
    for name in ("waggle dance", "meander", "sourdough", "stalemate", "castling", "watershed"):
        text = f"# {name.title()}\n\nA {name} is one of the {len(name)} things that this handbook explains at length.\n"
        (workplace / "terms" / f"{name}.md").write_text(text)
    done = command("start", "terms", "runtime=torch", "--outputs", "started", "--minutes", "4", timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("$ python -m rag_opt.") == 4 and "some are made" in done.stdout
    assert (workplace / "started" / "terms" / "report.html").exists()
    assert rag_opt.load(workplace / "started" / "terms" / "bundle").ask("What is a meander?").hits
