from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.names import FORMS, LABELS, names

from ie_cli.errors import DataError
from ie_cli.inference.canonical_names import CanonicalName, NameIndex, describe_ambiguous, read_names


def write(path: Path, *lines: Any) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def test_names_are_read_with_what_is_optional(tmp_path: Path) -> None:
    path = write(
        tmp_path / "names.jsonl",
        {"id": "Q64", "name": "Berlin", "aliases": ["Berlin", "City of Berlin"], "label": "city", "area": 891},
        {"id": 2, "name": "Bonn", "aliases": None},
    )
    found, unused = read_names(path)
    assert found == [CanonicalName("Q64", "Berlin", ("Berlin", "City of Berlin"), "city"), CanonicalName(2, "Bonn")]
    assert found[0].forms == ("Berlin", "City of Berlin")
    assert unused == {"area": 1}


def test_an_array_of_names_is_read(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], indent=2), encoding="utf-8")
    assert [name.id for name in read_names(str(path))[0]] == [1, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"name": "Berlin"}, "no field 'id' (found: 'name')"),
        ({"id": 1}, "no field 'name' (found: 'id')"),
        ({"id": "", "name": "Berlin"}, "'id' must be a non-empty string or an integer, got \"\""),
        ({"id": True, "name": "Berlin"}, "'id' must be a string or an integer"),
        ({"id": 1, "name": " "}, "'name' must be a non-empty string"),
        ({"id": 1, "name": ["Berlin"]}, "'name' must be a non-empty string"),
        ({"id": 1, "name": "Berlin", "aliases": "Bonn"}, "'aliases' must be a list of strings"),
        ({"id": 1, "name": "Berlin", "aliases": [""]}, "an alias must be a non-empty string"),
        ({"id": 1, "name": "Berlin", "alias": ["Bonn"]}, "unknown field 'alias'; did you mean 'aliases'?"),
        ({"id": 1, "name": "Berlin", "labels": ["city"]}, "unknown field 'labels'; did you mean 'label'?"),
        ({"id": 1, "name": "Berlin", "label": 3}, "'label' must be a non-empty string, got 3"),
        ("Berlin", "expected a JSON object, got a string"),
    ],
)
def test_an_invalid_name_is_an_error_with_its_place(tmp_path: Path, line: Any, message: str) -> None:
    path = tmp_path / "names.jsonl"
    path.write_text('{"id": 0, "name": "a"}\n' + json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_names(str(path))
    assert message in error.value.message
    assert error.value.message.startswith(f"{path}:2: ")
    assert error.value.hint


def test_an_id_occurs_once(tmp_path: Path) -> None:
    path = write(tmp_path / "names.jsonl", {"id": "x", "name": "a"}, {"id": "y", "name": "b"}, {"id": "x", "name": "c"})
    with pytest.raises(DataError, match=r':3: the id "x" is also that of .*names\.jsonl:1'):
        read_names(path)


def test_a_file_without_names_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no names"):
        read_names(write(tmp_path / "names.jsonl"))


@given(names(), LABELS)
def test_rows_are_those_of_the_names_that_fit_a_label_the_labelled_first(
    given_names: list[CanonicalName], label: str | None
) -> None:
    index = NameIndex(given_names)
    group = index.group(label)
    fitting = [name for wanted in dict.fromkeys((label, None)) for name in given_names if name.label == wanted]
    expected = [(name.id, form) for name in fitting for form in name.forms]
    rows = index.rows(group)
    assert [(given_names[index.owners[row]].id, index.forms[row]) for row in rows] == expected


@given(names(), LABELS, FORMS)
def test_a_form_belongs_to_the_names_with_the_label_or_else_to_those_without(
    given_names: list[CanonicalName], label: str | None, form: str
) -> None:
    index = NameIndex(given_names)
    of_label, general = (
        [number for number, name in enumerate(given_names) if name.label == wanted and form in name.forms]
        for wanted in (label, None)
    )
    assert index.owners_of(form, index.group(label)) == (of_label or general)


@given(names(), LABELS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_the_depth_is_enough_for_the_best_names(
    given_names: list[CanonicalName], label: str | None, count: int, random: Any
) -> None:
    index = NameIndex(given_names)
    rows = index.rows(index.group(label)).tolist()
    random.shuffle(rows)  # the most similar first
    best = list(dict.fromkeys(index.owners[rows].tolist()))[:count]
    within = index.owners[rows[: index.depth(index.group(label), count)]].tolist()
    assert list(dict.fromkeys(within))[:count] == best


@given(names())
def test_forms_of_several_ids_with_the_same_label_are_ambiguous(given_names: list[CanonicalName]) -> None:
    pairs = [(form, one) for one in given_names for form in one.forms]
    expected = {
        form: [
            one
            for one in given_names
            if form in one.forms and sum(o.label == one.label for f, o in pairs if f == form) > 1
        ]
        for form, _ in pairs
    }
    assert NameIndex(given_names).ambiguous() == {form: several for form, several in expected.items() if several}


def test_ambiguous_forms_are_described() -> None:
    index = NameIndex([CanonicalName(number, "Paris") for number in range(7)] + [CanonicalName("x", "Rome")])
    assert describe_ambiguous(index.ambiguous()) == (
        "1 name or alias belongs to several ids with the same label, of which the first is used: 'Paris' (0, 1, 2, 3, 4, …)"
    )


def test_the_matrix_has_the_vector_of_each_row() -> None:
    index = NameIndex([CanonicalName(1, "a", ("b",)), CanonicalName(2, "b")])
    vectors = {
        "b": np.array([3.0, 4.0], np.float32),
        "z": np.ones(2, np.float32),
        "a": np.array([1.0, 2.0], np.float32),
    }
    assert index.matrix(iter(vectors.items())).tolist() == [[1, 2], [3, 4], [3, 4]]
