"""The process that reads files for another one: `python -m rag_opt.data.reading_worker`.

It gets a line of JSON for each file on its standard input, and answers on its standard output with the length of what
follows as eight bytes: `R` and the reading, or `E` (`N` for what is no text) and why there is none. It ends with its
input.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from rag_opt.core.errors import NoText, Unreadable
from rag_opt.data.formats import Format

READING, FAILURE, NO_TEXT = b"R", b"E", b"N"
LENGTH = struct.Struct(">Q")


def main() -> None:
    """Read files until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked decides when to stop
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no answer
        for line in sys.stdin.buffer:
            request = json.loads(line)
            _limit_memory(int(request["memory_mb"]))
            kind, content = _answer(request)
            answers.write(kind + LENGTH.pack(len(content)) + content)
            answers.flush()


def _answer(request: Mapping[str, object]) -> tuple[bytes, bytes]:
    try:
        module = importlib.import_module(str(request["module"]))
        part = cast(Format, getattr(module, str(request["name"]))(**cast(dict[str, object], request["settings"])))
        encoding = request["encoding"]
        reading = part.read(Path(str(request["path"])), encoding=None if encoding is None else str(encoding))
        return READING, reading.to_bytes()
    except NoText as error:
        return NO_TEXT, str(error).encode()
    except Unreadable as error:
        return FAILURE, str(error).encode()
    except MemoryError:
        return FAILURE, f"wants more than {request['memory_mb']} MB of memory (dataset.max_memory_mb)".encode()
    except RecursionError:
        return FAILURE, b"is nested too deep to be read"
    except Exception as error:  # a library that fails on one file must not fail on the others
        return FAILURE, f"could not be read: {type(error).__name__}: {error}".encode()


def _limit_memory(megabytes: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 1_000_000, most))


if __name__ == "__main__":
    main()
