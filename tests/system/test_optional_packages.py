"""Packages that only some installations have."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

import pytest
from support.runner import ie, said

from ie_cli.system.optional_packages import with_code


def test_a_directory_in_the_current_one_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes_of_mine").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="'notes_of_mine' is a directory without code"):
        with_code(import_module("notes_of_mine"))
    for name in ("json", "sys"):
        assert with_code(import_module(name)) is sys.modules[name]


def test_a_missing_package_is_reported_beside_a_directory_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empty = ModuleSpec("spacy", None, is_package=True)  # what Python makes of a directory
    monkeypatch.setitem(sys.modules, "spacy", module_from_spec(empty))
    Path("x.jsonl").write_text('{"text": "Anna", "entities": []}\n')
    result = ie("convert", "x.jsonl", "x.spacy")
    assert result.exit_code == 1
    assert "writing .spacy requires the spacy package" in said(result)
