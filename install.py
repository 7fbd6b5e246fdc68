"""Install rag_opt into the environment of the Python that runs this: `python install.py -e ".[openvino]"`.

pip chooses torch's build and fetches it, first and alone, since only pip knows every place that its configuration names
(a CPU build in a folder, an index of CUDA builds); uv unpacks it and installs the rest. Where uv cannot be had, or
fails, pip does everything, which takes some minutes. Python compiles what is used when it is used first. Where it may
not keep that (PYTHONDONTWRITEBYTECODE), everything is compiled here, or each process would do it again.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PINNED = ["-c", str(ROOT / "constraints.txt")]
QUIET = ["--quiet", "--disable-pip-version-check"]
# what pip reads from its own files and uv does not
SHARED = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}


def main(arguments: Sequence[str]) -> int:
    """Install torch, then what the arguments name as `pip install` would read them."""
    if pip("install", *QUIET, *PINNED, "uv") == 0:
        if (has_pinned_torch() or install_torch_with_uv() == 0) and uv(*arguments) == 0:
            return 0
        print("uv did not finish; pip goes on, which takes longer", file=sys.stderr)
    else:
        print("uv cannot be installed here; pip goes on, which takes longer", file=sys.stderr)
    if not has_pinned_torch() and (code := pip("install", *QUIET, *PINNED, "torch")):
        return code
    return pip("install", *QUIET, *PINNED, *arguments)


def has_pinned_torch() -> bool:
    """Whether the pinned torch is installed, in whatever build."""
    (pin,) = (line for line in Path(PINNED[1]).read_text(encoding="utf-8").split() if line.startswith("torch=="))
    try:
        return importlib.metadata.version("torch").partition("+")[0] == pin.removeprefix("torch==")
    except importlib.metadata.PackageNotFoundError:
        return False


def install_torch_with_uv() -> int:
    with tempfile.TemporaryDirectory() as folder:
        if code := pip("download", *QUIET, *PINNED, "--no-deps", "--dest", folder, "torch"):
            return code
        return uv(*(str(path) for path in Path(folder).iterdir()))


def pip(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pip", *arguments], check=False).returncode


def uv(*arguments: str) -> int:
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable, *PINNED]
    return subprocess.run([*command, *arguments], env=environment_of_uv(os.environ), check=False).returncode


def environment_of_uv(given: Mapping[str, str]) -> dict[str, str]:
    """What uv is told: copies, since some packages refuse files that are linked twice, and pip's index."""
    told = {"UV_LINK_MODE": "copy"}
    if given.get("PYTHONDONTWRITEBYTECODE"):
        told["UV_COMPILE_BYTECODE"] = "1"
    if "UV_INDEX_URL" not in given:
        told |= {SHARED[name]: value for name, value in settings_of_pip().items() if name in SHARED}
    return {**told, **given}


def settings_of_pip() -> dict[str, str]:
    """What pip is configured with, by environment and files; the environment counts most, then `[install]`."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in sections:
            sections[section][name] = str(ast.literal_eval(value))
    return {**sections["global"], **sections["install"], **sections[":env:"]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
