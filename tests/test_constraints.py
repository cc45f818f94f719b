"""The ranges of pyproject.toml and the two files of constraints agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST_PYTHON = {"python_version": "3.11", "python_full_version": "3.11.0"}
"""The Python version of constraints-lowest.txt."""


def direct() -> list[Requirement]:
    """Return the requirements of the project, extras included."""
    extras = PROJECT["optional-dependencies"].values()
    found = map(Requirement, [*PROJECT["dependencies"], *(line for extra in extras for line in extra)])
    return [
        asked
        for asked in found
        if asked.name != PROJECT["name"] and (asked.marker is None or asked.marker.evaluate(OLDEST_PYTHON))
    ]


def pinned(file: str) -> dict[str, Version]:
    """Return the versions in a file of constraints by package name."""
    lines = [line.partition(";")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def test_there_is_something_to_compare() -> None:
    assert len(direct()) > 30


@pytest.mark.parametrize("name", sorted({canonicalize_name(asked.name) for asked in direct()}))
def test_the_lowest_constraints_are_the_floors(name: str) -> None:
    asked = [part for one in direct() if canonicalize_name(one.name) == name for part in one.specifier]
    floors = [Version(part.version) for part in asked if part.operator == ">="]
    # An extra may ask for a later one; all extras are installed.
    assert floors
    assert pinned("constraints-lowest.txt")[name] == max(floors)


@pytest.mark.parametrize("asked", direct(), ids=str)
def test_what_is_installed_by_default_is_allowed(asked: Requirement) -> None:
    versions = pinned("constraints.txt")
    if (name := canonicalize_name(asked.name)) in versions:
        assert versions[name] in asked.specifier


def test_the_lowest_constraints_record_how_they_were_made() -> None:
    head = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").split("\n\n")[0]
    assert re.search(r"uv pip compile .*--resolution lowest-direct .*--all-extras .*pyproject\.toml", head)


def test_the_job_of_the_floors_can_be_started() -> None:
    job = ROOT / ".ci" / "lowest"
    assert job.stat().st_mode & 0o111
    assert "make lowest" in job.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = re.search(r"-c constraints-lowest\.txt -e '\.\[([\w,]+)\]'", makefile)
    assert extras
    assert with_extras(set(extras[1].split(","))) == set(PROJECT["optional-dependencies"])


def with_extras(names: set[str]) -> set[str]:
    """Some extras and those that they ask for."""
    lines = [Requirement(line) for name in names for line in PROJECT["optional-dependencies"][name]]
    more = names.union(*(line.extras for line in lines if line.name == PROJECT["name"]))
    return names if more == names else with_extras(more)
