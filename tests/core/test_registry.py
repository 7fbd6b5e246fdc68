"""Parts are checked when they register: what is missing is said by name, and a misspelt slot is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.errors import BadInput, UnknownPart, UnknownSlot
from rag_opt.core.registry import load_parts, lookup, register
from rag_opt.core.strict import STRICT


def test_a_misspelt_slot_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownSlot, match="did you mean 'chunker'"):
        register("chunkr", "mine")


def test_an_unknown_kind_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownPart, match="did you mean 'recursive'"):
        lookup("chunker", "recursiv")


def test_a_class_that_is_no_part_is_told_everything_that_it_lacks() -> None:
    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class Mine:
        size: int = 3

    with pytest.raises(BadInput) as refused:
        register("chunker", "mine")(Mine)
    text = str(refused.value)
    assert "lacks the method split(document, *, tokenizer)" in text
    assert "lacks the class variable libraries" in text
    assert "needs a docstring that says what it does" in text
    assert "the setting 'size' needs a description" in text


def test_a_method_with_other_parameters_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class Mine:
        """Keep the order."""

        uses_llm: ClassVar[bool] = False

        def rerank(self, lists: list[int], extra: int) -> list[int]:
            return lists

    with pytest.raises(BadInput, match=r"rerank does not take candidates, \(without lists\), \(without extra\)"):
        register("reranker", "mine")(Mine)


def test_a_class_without_fields_is_refused() -> None:
    class Mine:
        """Keep the order."""

    with pytest.raises(BadInput, match="should be a frozen dataclass"):
        register("reranker", "mine")(Mine)


def test_a_name_cannot_be_taken_twice() -> None:
    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class Mine:
        """Search for the question as it was asked."""

        words: Annotated[int, Doc("Nothing.")] = 1
        uses_llm: ClassVar[bool] = False

    with pytest.raises(BadInput, match=r"the name is taken by rag_opt\.parts\.queries\.none"):
        register("query", "none")(Mine)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "raise RuntimeError('no')",
            r"'planted_{n}' cannot be imported \(RuntimeError: no\); it was found in .*planted",
        ),
        ("def (", r"cannot be imported \(SyntaxError"),
        ("import sys; sys.exit(0)", r"cannot be imported \(leaves the program\)"),
        ("import missing_of_theirs", r"cannot be imported \(ModuleNotFoundError: No module named 'missing_of_theirs'"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    name = f"planted_{abs(hash(content))}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BadInput, match=said.replace("{n}", name.removeprefix("planted_"))):
        load_parts([name])


@pytest.mark.parametrize("name", ["", "../x", "a b", "no_such_package", ".x"])
def test_a_name_that_is_no_package_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"is not the name of a package|was looked for in"):
        load_parts([name])
