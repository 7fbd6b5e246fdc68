"""Keys: the hash of everything that determined a result, and of nothing else."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from pathlib import Path

import orjson

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY


def canonical_json(value: object) -> bytes:
    """Return JSON with sorted keys: equal values give equal bytes, in whatever order they were put together."""
    return orjson.dumps(value, option=_OPTIONS)


def digest(value: object) -> str:
    """Return 32 hexadecimal digits (128 bits) of BLAKE2b over the canonical JSON of `value`."""
    return hashlib.blake2b(canonical_json(value), digest_size=16).hexdigest()


def item_key(namespace: str, item: object) -> bytes:
    """Return 16 bytes that name one value (a text's vector, a question's answer) inside a namespace."""
    return hashlib.blake2b(canonical_json(item), digest_size=16, key=namespace.encode()).digest()


def checksum(content: bytes) -> bytes:
    """Return 8 bytes of BLAKE2b over `content`."""
    return hashlib.blake2b(content, digest_size=8).digest()


def file_digest(path: Path) -> str:
    """Return 32 hexadecimal digits of BLAKE2b over a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Return the installed version of each package, read without importing it."""
    return {package: _version(package) for package in packages}


@functools.cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)  # reads and parses a file
    except importlib.metadata.PackageNotFoundError:  # whoever imports it says so, with what helps
        return ""
