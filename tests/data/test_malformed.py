"""Whatever a file of questions holds, it is read with a note or refused with its place; and never a traceback."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_opt.core.errors import BadInput
from rag_opt.core.questions import Dataset
from rag_opt.setup.builtins import load_built_in
from tests.data import malformed
from tests.data.malformed_files import cases

CASES = dict(cases())
load_built_in()


@pytest.mark.parametrize("name", CASES)
def test_malformed_files_are_read_or_refused_with_their_place(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    if case.refused:
        with pytest.raises(BadInput) as error:
            case.read(tmp_path)
        assert case.refused in str(error.value), error.value
        return
    data = case.read(tmp_path)
    assert case.check(data), data
    assert not case.said or any(case.said in note for note in data.notes), data.notes


WHOLE: dict[str, malformed.Case] = {
    "squad": malformed.squad_case(malformed.squad()),
    "beir corpus": malformed.beir_case({"corpus.jsonl": [{"_id": "1", "title": "Bees", "text": "They dance."}]}),
    "beir queries": malformed.beir_case({"queries.jsonl": [{"_id": "a", "text": "Who dances?"}]}),
    "ragas": malformed.testset_case([malformed.RAGAS]),
    "llama": malformed.testset_case(
        {"queries": {"q": "Who?"}, "corpus": {"n": "A queen lays eggs."}, "relevant_docs": {"q": ["n"]}}, "t.json"
    ),
    "own": malformed.folder_case([{"question": "Who?", "evidence": [["A queen lays eggs."], {"document": "a.txt"}]}]),
    "hotpot": malformed.hotpot_case([malformed.HOTPOT]),
    "multihop": malformed.multihop_case([malformed.ASKED]),
    "articles": malformed.multihop_case([malformed.ASKED], copy.deepcopy(malformed.ARTICLES)),
}
ODD = [None, "", "x", 0, -1, 2.5, True, [], {}, [None], {"a": None}, ["x", 1], [[]], "array([", 10**400]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a JSON value but the whole."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for key, child in inside for one in [(*path, key), *places(child, (*path, key))]]


def changed_file(case: malformed.Case) -> str:
    return next(name for name, content in case.files.items() if isinstance(content, (list, dict)))


@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_at_any_place_is_a_traceback(name: str, data: st.DataObject, tmp_path: Path) -> None:
    case = copy.deepcopy(WHOLE[name])
    file = "c.json" if name == "articles" else changed_file(case) if name != "multihop" else "m.json"
    content: Any = case.files[file]
    for _ in range(data.draw(st.integers(1, 2))):
        there = places(content)
        if not there:
            break
        *path, last = data.draw(st.sampled_from(there))
        parent = content
        for key in path:
            parent = parent[key]
        if data.draw(st.booleans()):
            parent[last] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
        elif isinstance(parent, dict):
            del parent[last]
    case.files[file] = json.dumps(content)
    try:
        assert isinstance(case.read(tmp_path), Dataset)
    except BadInput as error:
        assert str(error)
