"""Keys: the hash of everything that determined a result, and of nothing else."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

import orjson

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY


def canonical(value: Any) -> bytes:
    """JSON with sorted keys: equal values give equal bytes, whatever the order of their making."""
    return orjson.dumps(value, option=_OPTIONS)


def digest(value: Any) -> str:
    """32 hexadecimal digits (128 bits) of BLAKE2b over the canonical JSON of `value`."""
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()


def item_key(namespace: str, item: Any) -> bytes:
    """16 bytes that name one value (a text's vector, a question's answer) inside a namespace."""
    return hashlib.blake2b(canonical(item), digest_size=16, key=namespace.encode()).digest()


def checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).digest()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Installed versions, read without importing the packages."""
    return {package: _version(package) for package in packages}


@functools.cache
def _version(package: str) -> str:
    return importlib.metadata.version(package)  # reads and parses a file
