"""The wheel holds everything, and works in any directory; with all extras, in an environment that had nothing."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from rag_opt import __version__
from tests.cli.conftest import environment

ROOT = Path(__file__).parent.parent.parent
EXTRAS = ["openvino", "documents", "code", "static"]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """The wheel unpacked as an installer would."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "site")
    return wheel.parent / "site"


@pytest.fixture(scope="module")
def metadata(site: Path) -> Message:
    (facts,) = site.glob("*.dist-info/METADATA")
    return Parser().parsestr(facts.read_text(encoding="utf-8"))


def test_the_wheel_holds_code_objectives_configs_and_questions(site: Path) -> None:
    configs = ["rag_opt/conf/search.yaml", "rag_opt/conf/space/small.yaml"]
    for name in ["rag_opt/search.py", "objectives/answer.py", "rag_opt/data/datasets/python_reference.jsonl", *configs]:
        assert (site / name).is_file(), name
    left_out = {path.name for path in site.iterdir()} - {"rag_opt", "objectives"}
    assert left_out == {f"rag_opt_search-{__version__}.dist-info"}, "neither tests nor install.py"


def test_the_distribution_has_our_name_our_version_our_extras_and_a_command(site: Path, metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("rag-opt-search", __version__)
    assert {*EXTRAS} < {*metadata.get_all("Provides-Extra", [])}
    (scripts,) = site.glob("*.dist-info/entry_points.txt")
    assert "rag-opt = rag_opt.cli.main:program" in scripts.read_text(encoding="utf-8").splitlines()


def test_nothing_is_installed_by_a_name_that_is_not_ours() -> None:
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "Makefile", *(ROOT / "docs").glob("*.md")]
    texts += [*(ROOT / "rag_opt").rglob("*.py"), *(ROOT / "objectives").rglob("*.py")]
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert "rag-opt[" not in text and "install rag-opt" not in text and "install rag_opt" not in text, path


def test_the_unpacked_wheel_composes_its_own_configs_in_any_directory(site: Path, tmp_path: Path) -> None:
    code = "import rag_opt.cli.composing as c; print(c.conf_folder())"
    command = [sys.executable, "-c", code]
    more = {"PYTHONPATH": str(site)}
    found = subprocess.run(
        command, cwd=tmp_path, env=environment(**more), capture_output=True, text=True, check=False, timeout=60
    )
    assert Path(found.stdout.strip()) == site / "rag_opt" / "conf", found.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program of an environment into which only the wheel with all its extras was installed."""
    folder = tmp_path_factory.mktemp("installed")
    clean = {name: value for name, value in environment().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    programs = folder / "env" / ("Scripts" if sys.platform == "win32" else "bin")

    def run(program: str, *arguments: str, cwd: Path = folder, timeout: float = 300) -> str:
        done = subprocess.run(
            [str(programs / program), *arguments],
            cwd=cwd,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    try:
        run("python", "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--dest", str(folder / "probe"), "idna")
    except AssertionError as error:
        pytest.skip(f"needs a package registry that pip reaches: {error}")
    # by the file's address, since a registry knows nobody of this name
    extras = ",".join(EXTRAS)
    wanted = f"rag-opt-search[{extras}] @ {wheel.as_uri()}"
    run("python", str(ROOT / "install.py"), wanted, timeout=1200)
    return run


@pytest.mark.integration
def test_the_installed_wheel_has_what_its_extras_promise(installed: Run) -> None:
    installed("python", "-m", "pip", "check")
    brought = "openvino, pypdfium2, openpyxl, striprtf, tree_sitter_python, model2vec, skeletoken"
    where = installed("python", "-c", f"import {brought}, rag_opt, objectives; print(rag_opt.__file__)")
    assert "site-packages" in where and str(ROOT) not in where


@pytest.mark.integration
def test_the_installed_command_says_its_version_and_its_config(installed: Run) -> None:
    assert installed("rag-opt", "--version").split() == ["rag_opt", __version__]
    assert "trials:" in installed("python", "-m", "rag_opt.search", "--cfg", "job")
    assert "dataset python_reference: 54 documents, 235 questions" in installed("rag-opt", "check", "tracking=none")


@pytest.mark.integration
def test_the_installed_search_finds_a_winner_in_any_directory(
    installed: Run, workplace: Path, tiny: list[str], tmp_path: Path
) -> None:
    tiny = [setting for setting in tiny if not setting.startswith(("runtime=", "dataset."))]
    given = [f"dataset.documents={workplace}/data/docs", f"dataset.questions={workplace}/data/questions.jsonl"]
    arguments = [*tiny, *given, "dataset.name=tiny", "study.trials=3", "tracking=none"]
    said = installed("python", "-m", "rag_opt.search", *arguments, cwd=tmp_path)
    assert "winner" in said
    assert (tmp_path / "outputs" / "tiny").is_dir()
    asked = "rag_opt.load('bundle').ask('How many eggs can a queen bee lay in a day?').hits"
    installed("rag-opt", "export", "outputs/tiny", "--out", "bundle", cwd=tmp_path)
    assert int(installed("python", "-c", f"import rag_opt; print(len({asked}))", cwd=tmp_path)) > 0
