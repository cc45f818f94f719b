"""`ie check` on several recipes, as a hook that passes file names calls it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie, said

from ie_cli.recipe.loader import dump_recipe


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a good recipe, one with bad data, one that is invalid, and one without data."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "data.jsonl", documents())
    other = [replace(document, text=f"{document.text}。") for document in documents()]
    write_jsonl(tmp_path / "dev.jsonl", other)
    (tmp_path / "bad.jsonl").write_text('{"text": \n', encoding="utf-8")
    for name, dev in (("good", "dev.jsonl"), ("bad", "bad.jsonl"), ("absent", "nowhere.jsonl")):
        text = dump_recipe(recipe("data.jsonl", data={"dev": dev}))
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "invalid.yaml").write_text("task: ner\nwhat: 1\n", encoding="utf-8")
    return tmp_path


def test_several_good_recipes_pass(here: Path) -> None:
    result = ie("check", "good.yaml", "quickstart")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    for name in ("good.yaml", "quickstart"):
        assert any(line.startswith((f"{name}: ", f"warning: {name}: ")) for line in result.stderr.splitlines())


def test_each_recipe_is_checked_whatever_is_wrong_with_another(here: Path) -> None:
    result = ie("check", "invalid.yaml", "absent.yaml", "bad.yaml", "good.yaml")
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert errors[0].startswith("error: invalid.yaml")
    assert any(line.startswith("error: absent.yaml: ") and "nowhere.jsonl" in line for line in errors)
    assert "bad.jsonl:1" in result.stderr
    assert any(line.startswith("error: bad.yaml: dev: ") for line in errors)
    assert not any(line.startswith("error: good.yaml") for line in errors)
    assert errors[-1] == "error: errors in 3 of 4 recipes: invalid.yaml, absent.yaml, bad.yaml"
    assert any(line.startswith("good.yaml: ") for line in result.stderr.splitlines())


def test_one_recipe_is_reported_without_its_name(here: Path) -> None:
    result = ie("check", "bad.yaml")
    assert result.exit_code == 1
    assert "bad.yaml" not in result.stderr
    assert "in the recipe or data hint: see the lines above." in said(result)


def test_overrides_hold_for_every_recipe(here: Path) -> None:
    result = ie("check", "bad.yaml", "absent.yaml", "--set", "data.dev=dev.jsonl")
    assert result.exit_code == 0, result.stderr


def test_no_recipe_is_a_usage_error(here: Path) -> None:
    assert ie("check").exit_code == 2
