"""The console script: every command as a subcommand, and what it says of an unknown one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rag_opt
from rag_opt.cli.doors import DOORS
from rag_opt.cli.main import main


def test_it_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    printed = capsys.readouterr().out
    assert all(f"rag-opt {name}" in printed for name in DOORS)


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"rag_opt {rag_opt.__version__}\n"


def test_an_unknown_command_leaves_with_2_and_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["serch"])
    assert left.value.code == 2 and "did you mean 'search'" in capsys.readouterr().err


def test_every_door_has_a_module() -> None:
    root = Path(rag_opt.__file__).parent
    for door in DOORS.values():
        assert (root / f"{door.module.replace('.', '/')}.py").is_file(), door


def test_a_command_that_composes_hands_its_arguments_to_hydra_unread() -> None:
    script = "from rag_opt.cli.main import main; main()"
    command = [sys.executable, "-c", script, "search", "--cfg", "job", "study.trials=7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "trials: 7" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export"], "Missing argument"),
        (["export", "nowhere", "--out", "x"], "nowhere is not a study's folder"),
        (["track", "nowhere"], "nowhere is not a study's folder"),
        (["store", "--store", "nowhere"], "there is no folder nowhere"),
        (["parts", "chunkr"], "did you mean 'chunker'"),
    ],
)
def test_options_that_cannot_be_used_leave_with_2(arguments: list[str], said: str) -> None:
    script = "from rag_opt.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and said in done.stderr, (done.returncode, done.stderr)
