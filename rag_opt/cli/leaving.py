"""The end of a command's process."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn, TextIO, cast

from rag_opt.core.secrets import MaskedStream

# threads of torch that wait must sleep, not spin: beside two busy programs a search took 251 s and 220 s of processor
# time, with this 165 and 122; alone 103 and 86 s (docs/benchmarks.md). Read by OpenMP when torch is imported
SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
# a service answers one question after another: threads that wait a moment longer save it waking them for each layer of
# the model, 120 against 140 questions/s
SPINNING_BRIEFLY = {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1"}


def run_program(main: Callable[[], object], *, waiting: Mapping[str, str] = MappingProxyType(SLEEPING)) -> NoReturn:
    """Run `main` as the program of this process, and end the process with its exit code as soon as it is done.

    `waiting`: environment variables that say how threads of models wait, where they are not set.

    Python would first take apart all that was imported, which takes torch, Transformers and ragas 3 to 5 seconds; a
    person would wait for them, and a Ctrl-C in between would end the process with another code. What libraries have
    registered for the end (`atexit`) is run; an exception that nobody caught is left to Python. Secrets are taken out
    of all that is printed.
    """
    code: object = 0
    for name, value in waiting.items():
        os.environ.setdefault(name, value)
    # libraries print addresses and headers too
    sys.stdout, sys.stderr = (cast("TextIO", MaskedStream(stream)) for stream in (sys.stdout, sys.stderr))
    try:
        main()
    except SystemExit as left:
        code = left.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):  # whoever read has gone (`| head`), or it was closed
            code = code or 1
    os._exit(code or 0)
