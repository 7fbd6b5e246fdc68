"""MLflow's own page over a folder of studies, opened at the trials of the newest one."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import webbrowser
from pathlib import Path

import httpx
import orjson

from rag_opt.core.errors import BadInput
from rag_opt.tracking.places import tracking_uri
from rag_opt.tracking.views import VIEWS

_PATIENCE_S = 60.0


def find_addresses(outputs: Path, base: str) -> dict[str, dict[str, str]]:
    """Return by study, the newest first, the whole addresses of its views and of its comparison."""
    found = sorted(outputs.glob(f"*/{VIEWS}"), key=lambda path: -path.stat().st_mtime)
    return {
        path.parent.name: {name: f"{base}/{place}" for name, place in orjson.loads(path.read_bytes()).items()}
        for path in found
    }


def serve_mlflow(outputs: Path, port: int) -> int:
    """Start MLflow's page, print the addresses of all studies, open the newest one, and wait for its end.

    Return its exit code. Raises BadInput where no study was tracked there.
    """
    base = f"http://127.0.0.1:{port}"
    studies = find_addresses(outputs, base)
    if not studies:
        raise BadInput(f"{outputs} has no study that was tracked (no */{VIEWS})")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        tracking_uri({}, outputs),
        "--port",
        str(port),
    ]
    with subprocess.Popen(command) as server:
        if _answers(server, f"{base}/health"):
            for study, addresses in studies.items():
                print(f"\n{study}")
                for name, address in addresses.items():
                    print(f"  {name:<20} {address}", flush=True)
            webbrowser.open(next(iter(studies.values()))["table"])
        return server.wait()


def _answers(server: subprocess.Popen[bytes], address: str) -> bool:
    """Return whether a server answers before it ends, or a minute is over."""
    deadline = time.monotonic() + _PATIENCE_S
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(address, timeout=2).is_success:
                return True
        time.sleep(0.3)
    return False
