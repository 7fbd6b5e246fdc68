"""Artifacts in folders: an entry appears whole or not at all, is built once, and is checked when it is opened."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import orjson

from rag_opt.core.digests import file_digest
from rag_opt.core.errors import BadStore
from rag_opt.core.processes import is_alive
from rag_opt.store.values import SqliteValues

MANIFEST = "manifest.json"
IN_USE = "in-use"
FORMAT = 1


class Store:
    """A folder of artifacts, safe to share between processes on one machine.

    <root>/<stage>/<key>/        files of one artifact and their manifest
    <root>/values/<table>.sqlite many small values by key
    <root>/locks/                one lock file per key that is being built, and per process that has the store open
    <root>/damaged/              entries that did not match their checksum, set aside

    `built` and `reused` count artifacts by stage.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.root.mkdir(parents=True, exist_ok=True)
        _check_format(root)
        self.values = SqliteValues(root / "values", set_aside=root / "damaged", report=self._note)
        self._verified: set[Path] = set()
        self.built: dict[str, int] = {}
        self.reused: dict[str, int] = {}
        self._notes: list[str] = []
        sweep_leftovers(root)
        self._in_use = self._mark_in_use()

    def close(self) -> None:
        """Close the values, and let others make room in the store."""
        self.values.close()
        self._in_use.release()
        Path(self._in_use.lock_file).unlink(missing_ok=True)

    def _note(self, text: str) -> None:
        self._notes.append(text)

    def take_notes(self) -> list[str]:
        """Return what was found damaged since this was asked last, in words."""
        notes, self._notes = self._notes, []
        return notes

    def _mark_in_use(self) -> filelock.FileLock:
        """Take a lock of this process's own: whoever wants to make room sees that it is held."""
        folder = self.root / "locks" / IN_USE
        folder.mkdir(parents=True, exist_ok=True)
        # processes of several containers may have one number
        name = f"{os.getpid()}@{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        lock = filelock.FileLock(folder / f"{name}.lock")
        lock.acquire()
        return lock

    def has(self, stage: str, key: str) -> bool:
        """Return whether an artifact is built; whether it is sound shows when it is opened."""
        return (self.root / stage / key / MANIFEST).exists()

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold `name` against every other process of this machine. The system frees it when the process dies."""
        folder = self.root / "locks"
        folder.mkdir(exist_ok=True)
        with filelock.FileLock(folder / f"{name}.lock"):
            yield

    def get_or_build(self, stage: str, key: str, build: Callable[[Path], None]) -> Path:
        """Return the folder of an artifact, built by `build(empty folder)` if it is missing or damaged."""
        path = self.root / stage / key
        if self._is_whole(path):
            self.reused[stage] = self.reused.get(stage, 0) + 1
            return path
        with self.lock(f"{stage}-{key}"):
            if self._is_whole(path):  # another process built it while we waited
                self.reused[stage] = self.reused.get(stage, 0) + 1
                return path
            self._build(path, build)
            self.built[stage] = self.built.get(stage, 0) + 1
        return path

    def _build(self, path: Path, build: Callable[[Path], None]) -> None:
        aside = path.parent / f".building-{path.name}"
        shutil.rmtree(aside, ignore_errors=True)  # left by a killed process; the lock says nobody is at it
        aside.mkdir(parents=True)
        started = time.perf_counter()
        build(aside)
        write_manifest(aside, {"seconds": round(time.perf_counter() - started, 6)})
        aside.replace(path)
        _sync_folder(path.parent)
        self._verified.add(path)

    def _is_whole(self, path: Path) -> bool:
        if path in self._verified:
            return True
        if not path.exists():
            return False
        damage = find_damage(path)
        if damage:
            aside = self.root / "damaged" / f"{path.parent.name}-{path.name}-{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            path.replace(aside)
            self._note(f"{path} was damaged ({damage}); set aside as {aside} and built again")
            return False
        self._verified.add(path)
        (path / MANIFEST).touch()  # its time says when it was used last
        return True


def _check_format(root: Path) -> None:
    """Mark a store with the format of its files; one without a mark is of format 1.

    Raises BadStore for another format: what lies there would be taken for damage, or counted as missing.
    """
    path = root / "format"
    if not path.exists():
        write_atomically(path, f"{FORMAT}\n".encode())
    found = path.read_text(encoding="utf-8", errors="replace").strip()
    if found != str(FORMAT):
        raise BadStore(
            f"{root} is a store of format {found or 'nothing'}, where this version reads {FORMAT}: use another folder "
            "(outputs=…), or delete it: everything in it is made again"
        )


def write_manifest(folder: Path, extra: dict[str, object] | None = None) -> None:
    """Write the manifest of a folder, all flushed to disk: every file with its size and hash, and `extra` facts."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            with path.open("r+b") as file:  # Windows flushes only what may be written
                os.fsync(file.fileno())
            files[path.relative_to(folder).as_posix()] = {
                "bytes": path.stat().st_size,
                "blake2b": file_digest(path),
            }
    write_atomically(folder / MANIFEST, orjson.dumps({**(extra or {}), "files": files}, option=orjson.OPT_INDENT_2))


def find_damage(folder: Path, *, besides: Collection[str] = ()) -> str:
    """Return what differs from the manifest, in words; empty when nothing does. `besides`: it cannot list these."""
    try:
        files = {
            str(n): (f["bytes"], f["blake2b"])
            for n, f in orjson.loads((folder / MANIFEST).read_bytes())["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"no readable {MANIFEST}"
    there = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if not path.is_dir() or path.is_symlink()
    }
    for name in (MANIFEST, *besides):
        there.pop(name, None)
    for name, (size, _) in files.items():
        path = there.get(name)
        if path is None:
            return f"{name} is missing"
        if path.is_symlink():
            return f"{name} is a link"
        if path.stat().st_size != size:
            return f"{name} has changed"
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        digests = pool.map(file_digest, (there[name] for name in files))
        for (name, (_, blake2b)), found in zip(files.items(), digests, strict=True):
            if found != blake2b:
                return f"{name} has changed"
    unknown = sorted(there.keys() - files.keys())
    return f"{unknown[0]} is not in {MANIFEST}" if unknown else ""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file, or replace it, so that readers see the old one or the new one and a crash leaves no half."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    _sync_folder(path.parent)


def sweep_leftovers(folder: Path) -> None:
    """Remove what killed writers left in a folder of the store or of a study: files aside, artifacts half built."""
    for aside in (*folder.glob(".*.aside"), *folder.glob("*/.*.aside")):
        process = aside.name.rpartition(".aside")[0].rpartition(".")[2]
        if process.isdigit() and not is_alive(int(process)):
            aside.unlink(missing_ok=True)
    for half in folder.glob("*/.building-*"):
        lock = filelock.FileLock(folder / "locks" / f"{half.parent.name}-{half.name.removeprefix('.building-')}.lock")
        try:
            with lock.acquire(timeout=0):  # else somebody builds it now
                shutil.rmtree(half, ignore_errors=True)
        except (filelock.Timeout, OSError):
            continue


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder to flush it; its rename is durable enough
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
