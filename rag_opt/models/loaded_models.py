"""Models in the memory of this process: each is loaded once, whoever asks for it, and one computes at a time."""

from __future__ import annotations

import functools
import gc
import os
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rag_opt.core.faults import find_fault
from rag_opt.core.forking import ThreadLock, abandon
from rag_opt.core.strict import PlainDict
from rag_opt.models.remote_code import refuse_unsafe
from rag_opt.models.runtimes import ModelFiles, Precision, Runtime, weights_bytes

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SAME_COSINE = 0.999
_PROBES = (
    "A probe.",
    "Another library must give the same vectors, for texts of any length. " * 12,
)

Model = TypeVar("Model")
Item = TypeVar("Item")
Output = TypeVar("Output")
ModelKey = tuple[ModelFiles, Runtime, str]  # files, what runs them, and as what kind of model they are loaded

# Shared by all threads under the lock, each model with the bytes it takes. A forked process keeps the models of its
# parent, but not the threads that compute them: see `_prepare_fork`.
_LOADED: OrderedDict[ModelKey, tuple[Any, int]] = OrderedDict()
_loading = ThreadLock()
# One model computes at a time: torch uses every core for one batch, and a tokenizer fails that two threads use at once.
one_at_a_time = ThreadLock()


def load_embedder(files: ModelFiles, runtime: Runtime) -> SentenceTransformer:
    """Return an embedding model that the process keeps for everybody."""
    key = files, runtime, "embedder"
    return load_once(key, weights_bytes(files.folder), lambda: _load_embedder(files, runtime))


def load_once(key: ModelKey, size_bytes: int, load: Callable[[], Model]) -> Model:
    """Return the model of a key, loaded by the first thread that asks; those used longest ago make room.

    `size_bytes`: what it takes on its device.
    """
    with _loading:
        if key not in _LOADED:
            _make_room(key[1].device, size_bytes)
            _LOADED[key] = load(), size_bytes
        _LOADED.move_to_end(key)
        model: Model = _LOADED[key][0]
        return model


def _prepare_fork() -> None:
    """Make the models of the parent usable in a forked process, while it has only the thread that forked.

    torch would wait for ever for threads that did not survive the fork, so here it has one; the vectors change by no
    more than rounding (1e-7). At first use it would be too late: another thread may use it first, and torch counts by
    thread. What OpenVINO compiled needs its threads too, and is loaded anew.
    """
    if "torch" not in sys.modules:
        return
    import torch

    torch.set_num_threads(1)
    for key in [key for key in _LOADED if key[1].library == "openvino"]:
        abandon(_LOADED.pop(key))


if sys.platform != "win32":  # nothing is forked there
    os.register_at_fork(after_in_child=_prepare_fork)


def _make_room(device: str, size_bytes: int) -> None:
    while others := [key for key in _LOADED if key[1].device == device]:
        if sum(_LOADED[key][1] for key in others) + size_bytes <= _most_bytes(device):
            return
        del _LOADED[others[0]]
        gc.collect()  # a model may hold itself, and its memory is wanted now


@functools.cache
def _most_bytes(device: str) -> int:
    """Return a quarter of a device's memory; a model larger than that is still loaded, alone."""
    if device == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(0).total_memory) // 4
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, ValueError, OSError):  # not every system says it
        return 2**32


def _load_embedder(files: ModelFiles, runtime: Runtime) -> SentenceTransformer:
    options = loading_options(files)
    from sentence_transformers import SentenceTransformer

    if files.pooling and not (files.folder / "modules.json").exists():
        model = SentenceTransformer(modules=_bare_modules(files, options), device=runtime.device)
    else:
        model = SentenceTransformer(str(files.folder), device=runtime.device, **options)
    model.eval()
    first = model[0]
    if not hasattr(first, "auto_model"):  # static vectors: nothing to multiply, no longest text
        return model
    model.max_seq_length = files.reads_tokens
    if hasattr(first.auto_model.config, "use_cache"):
        first.auto_model.config.use_cache = False  # nothing is generated
    if runtime.library == "openvino" and files.dtype == "float32" and _compile(model, runtime.precision):
        return model
    if runtime.precision == "bfloat16":
        first.bfloat16()
    if runtime.precision == "bfloat16" or files.dtype != "float32":
        # pooling and norm in fp32
        first.register_forward_hook(lambda _, __, out: {**out, "token_embeddings": out["token_embeddings"].float()})
    return model


def loading_options(files: ModelFiles) -> PlainDict:
    """Return the arguments that a model is loaded with: its weights in the card's dtype, and code that is allowed.

    From then on transformers draws no progress bar. Raises ModelRefused for a model that is not safe to load.
    """
    code = refuse_unsafe(files.folder, files.code)
    import transformers

    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]  # untyped in some versions
    return {**code, "model_kwargs": {**code.get("model_kwargs", {}), "dtype": files.dtype}}


def _bare_modules(files: ModelFiles, options: PlainDict) -> list[object]:
    """Return the modules of a model that is only a transformer: with the pooling that its card names."""
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    modes = {"last": "lasttoken"}
    transformer = Transformer(str(files.folder), **options)
    return [transformer, Pooling(transformer.get_embedding_dimension(), modes.get(files.pooling or "", files.pooling))]


def _compile(model: SentenceTransformer, precision: Precision) -> bool:
    """Have OpenVINO run the transformer of `model`. Return False, and leave it, where the vectors do not agree."""
    from rag_opt.models.openvino_model import OpenVinoModel

    first = model[0]
    plain = first.model
    expected = model.encode(list(_PROBES), normalize_embeddings=True, show_progress_bar=False)
    try:
        example = first.preprocess(list(_PROBES))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: that the trace holds for other inputs is tried below
            first.model = OpenVinoModel(plain, example, precision)
        compiled = model.encode(list(_PROBES), normalize_embeddings=True, show_progress_bar=False)
        agrees = bool((np.sum(expected * compiled, axis=1) > _SAME_COSINE).all())
    except Exception as error:  # whatever an export stumbles over: plain torch runs every model
        if find_fault(error) is not None:  # but a full disk decides no vector
            raise
        agrees = False
    if not agrees:
        first.model = plain
    return agrees


def run_in_halves(run: Callable[[Sequence[Item]], Sequence[Output]], items: Sequence[Item]) -> list[Output]:
    """Return `run(items)`, computed in halves while memory does not suffice; other threads wait for their turn."""
    try:
        with one_at_a_time:
            return list(run(items))
    except Exception as error:  # memory that does not suffice: Python, torch and OpenVINO each raise another class
        if len(items) == 1 or find_fault(error) != "memory":
            raise
    middle = len(items) // 2
    return run_in_halves(run, items[:middle]) + run_in_halves(run, items[middle:])
