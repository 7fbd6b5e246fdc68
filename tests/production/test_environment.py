"""A bundle in an environment made of its own requirements and the wheel, with nothing else (`make integration`)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rag_opt.core.questions import Dataset
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.requirements import write_requirements
from tests.production.bundles import write_asked
from tests.production.stores import store

ROOT = Path(__file__).parent.parent.parent
_LOAD = """
import json, os, sys, time
began = time.perf_counter()
import rag_opt
bundle = rag_opt.load(sys.argv[1])
loaded_s = time.perf_counter() - began
without_torch = "torch" not in sys.modules
reply = bundle.ask("What makes dough rise?")
others = {name.partition(".")[0] for name in sys.modules} & {"mlflow", "optuna", "ragas", "hydra"}
print(json.dumps([loaded_s, without_torch, reply.answer, sorted(others)]), flush=True)
os._exit(0)
"""


@pytest.mark.integration
def test_it_answers_and_serves_with_its_requirements_and_the_wheel_alone(
    tmp_path: Path, builder: PipelineBuilder, dataset: Dataset, spec: PipelineSpec
) -> None:
    bundle = tmp_path / "bundle"
    write_asked(bundle, builder, spec, dataset.questions)
    write_requirements(bundle)
    # written after the manifest: `export` does it before
    requirements = (bundle / "requirements.txt").rename(tmp_path / "requirements.txt")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "-r", requirements, wheel]
    subprocess.run([str(one) for one in install], check=True, capture_output=True)
    found = []
    for _ in range(3):  # the first one compiles
        done = subprocess.run(
            [str(python), "-c", _LOAD, str(bundle)], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    loaded_s, without_torch, answer, others = found[-1]
    size = sum(p.stat().st_size for p in (tmp_path / "env").rglob("*") if p.is_file() and not p.is_symlink())
    lines = sum("==" in line for line in requirements.read_text().splitlines())
    print(f"\n{lines} distributions, {size / 1e9:.2f} GB; import and load {loaded_s:.2f} s before torch")
    assert without_torch and others == [] and answer == "Yeast makes dough rise by giving off carbon dioxide."
    check = [str(python), "-m", "rag_opt.serve", str(bundle), "--check", "--all"]
    began = time.perf_counter()
    done = subprocess.run(check, capture_output=True, text=True, cwd=tmp_path, check=False)
    print(f"serve --check --all: {time.perf_counter() - began:.1f} s: {done.stdout.strip()}")
    assert "10 of 10 questions return what the search saw" in done.stdout, done.stdout + done.stderr
    _push_and_check(python, requirements, bundle, tmp_path)


def _push_and_check(python: Path, requirements: Path, bundle: Path, folder: Path) -> None:
    """As Compose does with its profile `chroma`: the client beside, the collection filled, the bundle opened so."""
    client = [python, "-m", "pip", "install", "-q", "-c", requirements, "chromadb-client==1.5.9"]
    subprocess.run([str(one) for one in client], check=True, capture_output=True)
    with store("chroma", folder) as address:
        for command in (["export", bundle, "--push", address], ["serve", bundle, "--check", "--collection", address]):
            asked = [str(python), "-m", f"rag_opt.{command[0]}", *map(str, command[1:])]
            done = subprocess.run(asked, capture_output=True, text=True, cwd=folder, check=False)
            print(done.stdout)
            assert done.returncode == 0, done.stdout + done.stderr
    assert "10 of 10 questions return what the search saw" in done.stdout
