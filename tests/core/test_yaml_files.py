from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.errors import BadInput
from rag_opt.core.yaml_files import read_yaml


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (b"a: 1\n\tb: 2\n", ":2:1", "the line is: b: 2; indent with spaces"),
        (b"a: [1, 2\n", ":2:1", "the file ends there; close the bracket"),
        (b"a: 'x\n", ":2:1", "close the bracket or the quote"),
        (b"a: 1\nb: 2\na: 3\n", ":3:1", "found duplicate key 'a'; the line is: a: 3"),
        (b"a: {b: 1, b: 2}\n", ":1:11", "found duplicate key 'b'"),
        (b"a: !!python/object/apply:os.system [ls]\n", ":1:4", "a config cannot run code"),
        (b"a: b: c\n", ":1:5", "quote a text"),
        (b"a: \xff\n", ":1", "is not UTF-8 text (byte 3, 0xff)"),
        (b"a: \x07\n", "", "without control characters"),
        (b"- a\n- b\n", "", "holds list, not a mapping"),
        (b"a: {{ value }}\n", ":1:5", "found a key that is no text"),
        (b"? [a, b]\n: 1\n", ":1:3", "found a key that is no text"),
        (b"a: 2024-13-45\n", "", "holds a value that cannot be read"),
        (b"a: *missing\n", ":1:4", "found undefined alias"),
        (b"a: &a [1]\nb: [" + b"*a, " * 101 + b"1]\n", "", "has 101 aliases; at most 100 are read"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "", "is nested too deeply"),
        (b"a: '" + b"x" * 1_000_001 + b"'", "", "has 1,000,006 bytes"),
    ],
)
def test_what_cannot_be_read_is_said_by_file_line_and_remedy(
    tmp_path: Path, content: bytes, where: str, what: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        read_yaml(path)
    assert f"{path}{where}: " in str(raised.value) and what in str(raised.value), str(raised.value)


def test_an_empty_file_is_an_empty_mapping_and_merges_are_read(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "empty.yaml") == {}
    (tmp_path / "merged.yaml").write_text("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n")
    assert read_yaml(tmp_path / "merged.yaml")["b"] == {"x": 1, "y": 3}


@given(st.binary(max_size=60))
def test_whatever_the_bytes_there_is_a_mapping_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(read_yaml(path), dict)
    except BadInput as error:
        assert str(path) in str(error)
