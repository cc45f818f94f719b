"""The rule by which tests are slow."""

from __future__ import annotations

import functools
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.corpora import documents
from support.runner import ie
from support.slow_tests import reaches_cost

from ie_cli.training import run
from ie_cli.training.run import train


def trains() -> None:
    list(train(None, None))  # type: ignore[arg-type]


def trains_by_command() -> None:
    ie("train", "recipe.yaml")


def starts() -> None:
    subprocess.run(["true"], check=True)


class Service:
    """Something that a fixture gives."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["true"])


def uses_the_class() -> Service:
    return Service()


def uses_a_helper() -> None:
    def inner() -> None:
        trains()

    inner()


@functools.wraps(documents)
def wrapped(*arguments: Any) -> Any:
    return documents()


def reads() -> object:
    return ie("check", "recipe.yaml"), documents(), run.__name__


def calls_itself() -> None:
    calls_itself()


@pytest.mark.parametrize("function", [trains, trains_by_command, starts, uses_the_class, uses_a_helper])
def test_what_trains_or_starts_a_process_is_slow(function: Any) -> None:
    assert reaches_cost(function)


@pytest.mark.parametrize("function", [reads, calls_itself, wrapped, documents])
def test_what_only_reads_is_not(function: Any) -> None:
    assert not reaches_cost(function)


@pytest.fixture
def costly() -> None:
    """It only names a process."""
    if not subprocess:
        trains()


def test_a_test_is_slow_by_its_fixture(costly: None, request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("slow") is not None


def test_other_tests_are_not_slow(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("slow") is None


@settings(max_examples=2)
@given(st.data())
def test_a_property_with_a_number_of_examples_is_slow(request: pytest.FixtureRequest, data: st.DataObject) -> None:
    assert request.node.get_closest_marker("slow") is not None


@given(st.data())
def test_other_properties_are_not_slow(request: pytest.FixtureRequest, data: st.DataObject) -> None:
    assert request.node.get_closest_marker("slow") is None
