"""Which tests are slow: those that train a model or start a process, in their own code or in that of their fixtures.

The rule follows the names that a function uses through the functions, classes and fixtures of the tests, so that a new test
is judged without a list. Properties with a number of examples of their own are slow too: `make quick`, which asks for few,
would have no say in it. What is slow for another reason has the mark in its file.
"""

from __future__ import annotations

import inspect
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parent.parent
TRAIN = ("ie_cli.training.run", "train")
"""The function that trains a model: its module and its name."""


def is_slow(item: pytest.Item) -> bool:
    """Whether a test or one of its fixtures trains a model or starts a process, or the test decides on its examples."""
    fixtures = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    if getattr(getattr(item, "obj", None), "_hypothesis_internal_settings_applied", False):
        return True
    functions = [getattr(item, "obj", None), *(made.func for several in fixtures.values() for made in several)]
    return any(reaches_cost(function) for function in functions if function is not None)


@cache
def reaches_cost(start: Any) -> bool:
    """Whether the code of a function, or what it uses of the tests, trains a model or starts a process."""
    seen: set[int] = set()
    left = [start]
    while left:
        here = inspect.unwrap(left.pop())
        if id(here) in seen:
            continue
        seen.add(id(here))
        for function in functions_of(here):
            if runs_train(function.__code__):
                return True
            used = list(used_by(function))
            if any(is_costly(one) for one in used):
                return True
            left.extend(one for one in used if of_the_tests(one))
    return False


def is_costly(thing: Any) -> bool:
    """Whether a thing starts processes or trains."""
    if thing is subprocess or getattr(thing, "__module__", None) == "subprocess":
        return True
    return (getattr(thing, "__module__", None), getattr(thing, "__name__", None)) == TRAIN


def runs_train(code: CodeType) -> bool:
    """Whether code calls the command `train` by the runner of commands."""
    names, constants = names_of(code)
    return "train" in constants and "ie" in names


def functions_of(thing: Any) -> Iterator[FunctionType]:
    """A function, the function of a method, or all those of a class."""
    thing = getattr(thing, "__func__", thing)
    if isinstance(thing, FunctionType):
        yield thing
    elif isinstance(thing, type):
        for one in vars(thing).values():
            yield from functions_of(one)


def used_by(function: FunctionType) -> Iterator[Any]:
    """What a function takes from its module or from the functions around it."""
    names, _ = names_of(function.__code__)
    yield from (function.__globals__[name] for name in names if name in function.__globals__)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # it has no value yet
            continue


@cache
def names_of(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The names and the strings of code, with those of the functions that it makes."""
    names, constants = set(code.co_names), set()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = names_of(constant)
            names |= inner[0]
            constants |= inner[1]
        elif isinstance(constant, str):
            constants.add(constant)
    return frozenset(names), frozenset(constants)


def of_the_tests(thing: Any) -> bool:
    """Whether a function or class is defined under `tests/`."""
    if isinstance(thing, ModuleType) or not (isinstance(thing, type) or inspect.isroutine(thing)):
        return False
    try:
        return Path(inspect.getfile(inspect.unwrap(thing))).is_relative_to(TESTS)
    except TypeError:  # a builtin
        return False
