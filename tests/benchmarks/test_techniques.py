"""The recipes of the techniques, and their table."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.benchmark_modules import benchmark_modules, write_corpora

from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import Recipe

CORPORA = ("conll04-relations", "duie2", "crossner", "cluener")


@pytest.fixture
def modules() -> Iterator[list[Any]]:
    """`techniques` and `trials`."""
    with benchmark_modules("techniques", "trials") as found:
        yield found


def options_of(techniques: Any, directory: Path, corpus: str, *more: str) -> Any:
    paths = [word for name in ("data", "encoders", "work") for word in (f"--{name}", str(directory))]
    return techniques.parse(["train", corpus, *paths, *more])[1]


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_technique_changes_the_recipe_or_a_constant(modules: list[Any], tmp_path: Path, corpus: str) -> None:
    techniques, _ = modules
    write_corpora(tmp_path)
    options = options_of(techniques, tmp_path, corpus)
    (tmp_path / "recipe.yaml").write_text("name: trial\n", encoding="utf-8")

    def recipe(name: str) -> Recipe:
        fields = techniques.settings(options, techniques.TECHNIQUES[name], 1)
        return load_recipe(str(tmp_path / "recipe.yaml"), fields)

    base = recipe(techniques.BASELINE)
    for name in options.techniques:
        technique = techniques.TECHNIQUES[name]
        changed = bool(technique.constants) or recipe(name) != base
        assert changed != (name == techniques.BASELINE), name
        for place, number in technique.constants.items():
            module, _, constant = place.partition(":")
            assert getattr(importlib.import_module(module), constant) != number
    assert ("mentions: all" in options.techniques) == (corpus == "duie2")
    assert ("link prior 0" in options.techniques) == (corpus in {"duie2", "conll04-relations"})


def test_the_command_of_a_technique_sets_its_constants(
    modules: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    techniques, _ = modules
    gplinker = importlib.import_module("ie_cli.modeling.heads.gplinker")
    monkeypatch.setattr(gplinker, "LINK_PRIOR", gplinker.LINK_PRIOR)  # restored afterwards
    monkeypatch.setattr("sys.argv", ["ie", "--version"])
    assert techniques.program(techniques.TECHNIQUES["baseline"]) == ("-m", "ie_cli")
    _, code = techniques.program(techniques.TECHNIQUES["link prior -10"])
    with pytest.raises(SystemExit) as ended:
        exec(code, {"__name__": "__main__"})
    assert ended.value.code == 0
    assert gplinker.LINK_PRIOR == -10
    assert capsys.readouterr().out


def test_the_names_of_trainings_are_names_of_files(modules: list[Any], tmp_path: Path) -> None:
    techniques, _ = modules
    options = options_of(techniques, tmp_path, "duie2")
    names = {options.name(name, 1) for name in techniques.TECHNIQUES}
    assert len(names) == len(techniques.TECHNIQUES)
    assert all(set("/: ,") & set(name) == set() for name in names)


def test_differences_are_those_of_the_same_seeds(
    modules: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    techniques, trials = modules
    options = options_of(techniques, tmp_path, "crossner", "ema 0.99", "context: 3 texts")

    def store(name: str, seed: int, f1: float, seconds: float, **more: float) -> None:
        result = {"metrics": {"dev": {"f1": 0.5}}, "test": {"f1": f1}, "seconds": seconds, **more}
        trials.write_lines(options.work / "results" / f"{options.name(name, seed)}.json", [json.dumps(result)])

    for seed, f1 in ((1, 0.5), (2, 0.6), (3, 0.7)):
        store("baseline", seed, f1, 100.0, context=f1 / 2)
    for seed, f1 in ((2, 0.61), (3, 0.73)):
        store("ema 0.99", seed, f1, 110.0)
    techniques.report(options)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "| baseline | 3 | 0.5000 ± 0.0000 | 0.6000 ± 0.1000 | – | 0.3000 ± 0.0500 | 1.00 |",
        "| ema 0.99 | 2 | 0.5000 ± 0.0000 | 0.6700 ± 0.0849 | +0.0200 ± 0.0141 | – | 1.10 |",
    ]
