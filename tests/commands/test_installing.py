"""The wheel holds everything, and works in any directory."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.commands.conftest import environment

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this checkout, unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_code_objectives_configs_and_questions(site: Path) -> None:
    configs = ["rag_opt/conf/search.yaml", "rag_opt/conf/space/small.yaml"]
    for name in ["rag_opt/search.py", "objectives/answer.py", "rag_opt/data/python_reference.jsonl", *configs]:
        assert (site / name).is_file(), name
    assert not (site / "tests").exists()


def test_the_installed_command_works_in_any_directory(site: Path, tmp_path: Path) -> None:
    code = "import rag_opt.composing as c; print(c.conf_folder())"
    more = {"PYTHONPATH": str(site)}
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(**more), capture_output=True, text=True, check=False
    )
    assert Path(found.stdout.strip()) == site / "rag_opt" / "conf", found.stderr
    command = [sys.executable, "-m", "rag_opt.check", "tracking=none"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(**more), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "dataset python_reference: 54 documents, 235 questions" in done.stdout
