"""Filters mean the same everywhere: here what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_opt.core.errors import BadInput
from rag_opt.core.filters import fit, read_conditions

METADATA = {"year": 2021, "share": 1.0, "draft": True, "lang": "de", "note": None, "tags": ["a"]}


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"year": 2021}, True),
        ({"year": 2021.0}, True),
        ({"year": "2021"}, False),
        ({"share": 1}, True),
        ({"share": True}, False),
        ({"draft": True}, True),
        ({"draft": 1}, False),
        ({"year": {"in": [2020, 2021]}}, True),
        ({"draft": {"in": [1, "true"]}}, False),
        ({"year": {"gte": 2021, "lt": 2022}}, True),
        ({"year": {"gt": 2021}}, False),
        ({"lang": {"gte": "d", "lte": "de"}}, True),
        ({"lang": {"gte": 1}}, False),
        ({"year": {"gte": "2020"}}, False),
        ({"draft": {"gte": 0}}, False),
        ({"note": {"absent": True}}, True),
        ({"other": {"absent": True}}, True),
        ({"lang": {"absent": True}}, False),
        ({"note": "x"}, False),
        ({"tags": "a"}, False),
        ({"lang": "de", "year": 2020}, False),
        ({}, True),
    ],
)
def test_what_fits(filters: dict[str, object], fits: bool) -> None:
    assert fit(METADATA, read_conditions(filters)) is fits


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "null equals nothing"),
        ([1], "give a value, or a condition"),
        ({}, "give a value, or a condition"),
        (float("nan"), "give a value"),
        ({"gte": 1, "less": 2}, "has 'less'"),
        ({"gt": 1, "lt": "b"}, "with a number and with a text"),
        ({"in": []}, "a list of one or more"),
        ({"in": [None]}, "a list of one or more"),
        ({"in": ["a"], "gt": 1}, "'in' stands alone"),
        ({"absent": False}, "only true can be said"),
        ({"gt": True}, "a number or a text"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(given: object, said: str) -> None:
    with pytest.raises(BadInput, match=said) as raised:
        read_conditions({"year": given})
    assert raised.value.problems[0].where.startswith("filters.year")


SCALARS = st.one_of(st.text(max_size=3), st.integers(-5, 5), st.floats(-5, 5), st.booleans())


@given(st.dictionaries(st.sampled_from("abc"), SCALARS), SCALARS)
def test_a_range_from_a_value_to_itself_is_the_value(metadata: dict[str, object], value: object) -> None:
    if isinstance(value, bool):
        return
    both = read_conditions({"a": {"gte": value, "lte": value}})
    assert fit(metadata, both) == fit(metadata, read_conditions({"a": value}))
