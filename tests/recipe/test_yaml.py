from __future__ import annotations

import doctest
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.recipe import yaml as yaml_nodes
from ie_cli.recipe.yaml import flow, parse


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(yaml_nodes) == (0, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-5", 2e-5),
        ("1E-3", 1e-3),
        ("2.0e-5", 2e-5),
        (".5", 0.5),
        ("5.", 5.0),
        ("+12", 12),
        ("-3", -3),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("null", None),
        ("~", None),
        ("", None),
        ("True", True),
        ("false", False),
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("e5", "e5"),
        (".", "."),
        ("'1'", "1"),
        ('"null"', "null"),
        ("9" * 5000, math.inf),
        ("${HOME}", "${HOME}"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    document = parse(f"a: {text}\n")
    assert document.problems == []
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


def test_lines_of_values() -> None:
    document = parse("# head\na:\n  b: 1\n  c:\n    - x\n    - y\nd: {e: 1,\n  f: 2}\n")
    assert document.lines == {
        (): 2,
        ("a",): 2,
        ("a", "b"): 3,
        ("a", "c"): 4,
        ("a", "c", 0): 5,
        ("a", "c", 1): 6,
        ("d",): 7,
        ("d", "e"): 7,
        ("d", "f"): 8,
    }


WIDE_COLON = "not valid YAML: a full-width colon '：' after a key; write ':' and a space"
TAB = "found character '\\t' that cannot start any token while scanning for the next token"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2\na: 3\n", [(3, "a: duplicate key, first given in line 1")]),
        ("s: {a: 1, a: 2}\n", [(1, "s.a: duplicate key, first given in line 1")]),
        (
            "a: !!python/name:os.system\n",
            [(1, "the tag !!python/name:os.system is not allowed: a recipe is plain data")],
        ),
        ("a: 1\nb: !env X\n", [(2, "the tag !env is not allowed: a recipe is plain data")]),
        ("a: !!str 1\n", [(1, "the tag !!str is not allowed: a recipe is plain data")]),
        ("a: *b\n", [(1, "*b: no such anchor before this line")]),
        ("a: [*b]\nc: 1\nc: 2\n", [(1, "*b: no such anchor before this line")]),
        ("a: 1\nb: ! 2\n", [(2, "the tag ! is not allowed: a recipe is plain data")]),
        ("!<x> a: !y b\n", [(1, f"the tag {tag} is not allowed: a recipe is plain data") for tag in ("x", "!y")]),
        ("? [a, b]\n: c\n", [(1, "a key must be plain text")]),
        ("a: 1\n---\nb: 2\n", [(2, "expected a single document, but a second one begins here")]),
        ("a: b: c\n", [(1, "not valid YAML: mapping values are not allowed here")]),
        ("a:\n\tb: 1\n", [(2, f"not valid YAML: {TAB}")]),
        ("a:\n  b：1\n  c: 2\n", [(2, WIDE_COLON)]),
        ("name：x\ntask: ner\n", [(1, WIDE_COLON)]),
        ("a: 1\nb: c: d\ne：1\n", [(2, "not valid YAML: mapping values are not allowed here")]),
        ("a: 1\nb: \x07\n", [(2, "not valid YAML: unacceptable character #x0007: special characters are not allowed")]),
        ("a: &a [*a]\n", [(1, "nested too deeply for a recipe: more than 20 levels")]),
        ("[" * 5000, [(1, "nested too deeply for a recipe: more than 20 levels")]),
    ],
)
def test_errors(text: str, problems: list[tuple[int, str]]) -> None:
    assert parse(text).problems == problems


def test_aliases_are_plain_copies() -> None:
    data = parse("a: &a {x: [1, &two 2, *two]}\nb: *a\n").data
    assert data == {"a": {"x": [1, 2, 2]}, "b": {"x": [1, 2, 2]}}
    assert data["a"] is not data["b"]


def test_an_anchor_given_again_holds_from_there_on() -> None:
    document = parse("a: &x 1\nb: *x\nc: &x 2\nd: *x\n*x : 3\n")
    assert document.data == {"a": 1, "b": 1, "c": 2, "d": 2, "2": 3}
    assert document.problems == []


@pytest.mark.parametrize("form", ["[{}]", "{{k: {}}}"])
def test_alias_bomb_ends_soon(form: str) -> None:
    levels = [f"l{n}: &l{n} {form.format(', k: '.join([f'*l{n - 1}'] * 9))}" for n in range(1, 12)]
    document = parse("\n".join(["l0: &l0 lol", *levels]))
    assert document.problems[-1][1] == "too large for a recipe: more than 20,000 values"
    assert document.data is None


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[" + "a, " * 50_000, "-\n" * 50_000, "[" + "{a: b}, " * 50_000])
def test_too_long_documents_are_not_read_to_the_end(text: str) -> None:
    (problem,) = parse(text + "} is no YAML").problems
    assert problem[1] == "too large for a recipe: more than 20,000 values"


texts = st.text(max_size=20) | st.sampled_from(
    ["NO", "1e3", "null", "~", "a: b", "- x", "#", "é", "\u2028", "\ud800", "\x85", "'", '"\\']
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_flow_is_read_back(value: Any) -> None:
    document = parse(f"key: {flow(value)}\n")
    assert document.problems == []
    assert document.data == {"key": value}


def test_flow_writes_whitespace_with_the_usual_escapes() -> None:
    assert flow('\n\r\t"\\\u2028') == r'"\n\r\t\"\\\U00002028"'


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    document = parse(text)
    assert all(line >= 1 for line, _ in document.problems)


@given(st.text(alphabet="ab:-[]{},&*!#|>'\"\n\t %?1", max_size=40))
def test_no_yaml_like_text_breaks_the_parser(text: str) -> None:
    document = parse(text)
    assert all(line >= 1 for line, _ in document.problems)


@pytest.mark.parametrize(
    "text", [r'name: "\U00110000"', r'name: "\UFFFFFFFF"', "%YAML 1.99999999999999999999\n---\na: 1"]
)
def test_failures_of_the_parser_are_errors(text: str) -> None:
    document = parse(text)
    assert document.data is None
    assert document.problems[0][1].startswith("not valid YAML: ")
