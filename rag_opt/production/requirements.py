"""The requirements of serving a bundle: exact versions of what a service imports, found out by serving.

A process of its own opens the bundle, serves it on loopback, asks it one question over HTTP, and names the
distributions of every module that it imported meanwhile and of the packages that carry its models.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from rag_opt.core.errors import BadBundle
from rag_opt.production.bundle_layout import REQUIREMENTS

OWN = "rag-opt-search"
_HEADER = (
    "# What a service of this bundle imports, exactly as it was measured; install with --no-deps, then the wheel of\n"
    "# rag_opt: pip install --no-deps -r requirements.txt rag_opt_search-*.whl\n"
)


def write_requirements(folder: Path, *, plugins: Sequence[str] = (), allow_code: Sequence[str] = ()) -> int:
    """Write `requirements.txt` into a bundle; return how many megabytes of memory serving it took at most.

    Raises BadBundle where it cannot be served.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "found.txt"
        command = [sys.executable, "-m", "rag_opt.production.imports", str(folder), str(out)]
        command += [f"plugins={name}" for name in plugins] + [f"allow_code={name}" for name in allow_code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not out.exists():
            raise BadBundle(f"{folder} cannot be served: {done.stderr.strip()[-2000:]}")
        memory_mb, *lines = out.read_text(encoding="utf-8").splitlines()
    (folder / REQUIREMENTS).write_text(_HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return int(memory_mb)


def find_distributions(files: Iterable[Path]) -> list[str]:
    """Return `name==version` of every installed distribution that one of the files belongs to, sorted.

    The local part of a version, as +cpu, is left out: an index has it under another name.
    """
    wanted = {str(path) for path in files}
    found = set()
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name == OWN:
            continue
        root = str(distribution.locate_file(""))
        if any(
            f"{root}/{file}" in wanted or str(distribution.locate_file(file)) in wanted
            for file in distribution.files or ()
        ):
            found.add(f"{name}=={distribution.version.partition('+')[0]}")
    return sorted(found)
