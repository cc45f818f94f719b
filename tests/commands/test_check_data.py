"""`ie check DATA…` without a recipe, and the ways in which findings are reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.html_page import Page
from support.runner import ie, said

from ie_cli.doctor.data_alone import splits_of
from ie_cli.recipe.loader import dump_recipe, load_recipe


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with training data, test data that repeat one of their texts, and a recipe without warnings."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "train.jsonl", documents())
    write_jsonl(tmp_path / "test.jsonl", documents()[:1])
    text = dump_recipe(recipe("train.jsonl", data={"dev": None}))
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a.jsonl", "b.jsonl"], {"train": ["a.jsonl", "b.jsonl"]}),
        (["x_dev.json", "x_train.json", "y.json"], {"train": ["x_train.json", "y.json"], "dev": ["x_dev.json"]}),
        (["train/valid.txt", "train/train.txt"], {"train": ["train/train.txt"], "dev": ["train/valid.txt"]}),
        (["training.json", "testing.json"], {"train": ["training.json"], "test": ["testing.json"]}),
        (["test.jsonl"], {"train": ["test.jsonl"]}),
        (["latest.jsonl", "restrain.jsonl"], {"train": ["latest.jsonl", "restrain.jsonl"]}),
        (["test_train.conll", "TEST.conll"], {"train": ["test_train.conll"], "test": ["TEST.conll"]}),
        (["a_training.json", "a_development.json"], {"train": ["a_training.json"], "dev": ["a_development.json"]}),
    ],
)
def test_splits_by_the_names_of_files(files: list[str], expected: dict[str, list[str]]) -> None:
    assert splits_of(files) == (expected, [])


LEAK = [
    {"text": "Mara Lindqvist founded Northwind Analytics in Oslo.", "entities": [{"start": 0, "end": 14, "label": "x"}]}
]
NEAR = [
    {
        "text": "Mara Lindqvist founded Northwind Analytics in Oslo!!",
        "entities": [{"start": 0, "end": 14, "label": "x"}],
    }
]


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("train.jsonl", "dev.jsonl", "test.jsonl"), ["d"]),
        (("a.train.jsonl", "a.valid.jsonl", "a_testing.jsonl"), ["d"]),
        (("train/a.jsonl", "dev/a.jsonl", "test/a.jsonl"), ["d"]),
        (("Training/a.jsonl", "validation/b.jsonl", "test/c.jsonl"), ["d"]),
        (("train/a.jsonl", "dev.jsonl", "test/c.jsonl"), ["d"]),
        (("train/a.jsonl", "dev/a.jsonl", "test/a.jsonl"), ["d/train", "d/dev", "d/test"]),
        (("train/a.jsonl", "dev/a.jsonl", "test/a.jsonl"), ["d/*/a.jsonl"]),
        (("train.jsonl", "dev.jsonl", "test.jsonl"), ["d/train.jsonl", "d/dev.jsonl", "d/test.jsonl"]),
    ],
)
def test_leakage_between_the_splits_of_each_layout(
    names: tuple[str, ...], given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, records in zip(names, (LEAK, LEAK, LEAK + NEAR), strict=True):
        Path("d", name).parent.mkdir(parents=True, exist_ok=True)
        Path("d", name).write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    result = ie("check", *given)
    assert result.exit_code == 1, result.stderr
    train, dev, test = (str(Path("d", name)) for name in names)
    assert f"checked as train: {train}; dev: {dev}; test: {test}" in said(result)
    assert "error: train contains 1 of 1 text of dev" in said(result)
    assert "dev contains 1 of 2 texts of test" in said(result)
    assert "1 of 2 distinct texts of test is a near duplicate of texts of train" in said(result)
    if given == ["d"]:  # all commands find the same files
        assert json.loads(ie("stats", "d", "--json").stdout)["documents"] == 4
        merged = ie("merge", "d", "-o", "merged.jsonl")
        assert merged.exit_code == 0, merged.stderr
        assert len(Path("merged.jsonl").read_text(encoding="utf-8").splitlines()) == 2
        started = ie("init", "d", "--encoder", "tiny", "-o", "recipe.yaml")
        assert started.exit_code == 0, started.stderr
        data = load_recipe("recipe.yaml").data
        assert data is not None
        assert (data.train, data.dev, data.test) == (train, dev, test)


def test_files_of_a_directory_that_say_no_split_are_left_out_and_named(here: Path) -> None:
    write_jsonl(here / "notes.jsonl", documents()[:2])
    (here / "recipe.yaml").unlink()
    assert "not checked: notes.jsonl: its name says no split" in said(ie("check", "."))
    assert "checked as train: train.jsonl, notes.jsonl" in said(ie("check", "train.jsonl", "notes.jsonl"))


def test_directories_that_are_data_themselves_may_be_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("train", "dev"):
        Path("d", split).mkdir(parents=True)
        Path("d", split, "x.txt").write_text("Ann slept.", encoding="utf-8")
        Path("d", split, "x.ann").write_text("T1\tperson 0 3\tAnn\n", encoding="utf-8")
    for options in ([], ["--from", "brat"]):
        result = ie("check", "d", *options)
        assert f"checked as train: {Path('d/train')}; dev: {Path('d/dev')}" in said(result)
        assert "train contains 1 of 1 text of dev" in said(result)


def test_data_are_checked_without_a_recipe(here: Path) -> None:
    result = ie("check", "train.jsonl", "test.jsonl")
    assert result.exit_code == 1  # the only text of test is one of train
    assert "checked as train: train.jsonl; test: test.jsonl" in result.stderr
    assert "error: train contains 1 of 1 text of test: scores on test will be too high" in result.stderr
    assert "entities overlap in 18 of 20 texts" in result.stderr
    assert "error: 1 error in the data" in result.stderr
    for absent in ("dev data", "head.", "encoder", "cost"):
        assert absent not in result.stderr


def test_a_directory_and_a_pattern_are_data(here: Path) -> None:
    (here / "test.jsonl").unlink()
    (here / "recipe.yaml").unlink()
    for name in (".", "*.jsonl"):
        result = ie("check", name)
        assert result.exit_code == 0, result.stderr
        assert "train.jsonl" in result.stderr


def test_recipes_without_a_suffix_are_still_recipes(here: Path) -> None:
    (here / "recipe.yaml").rename(here / "recipe")
    (here / "recipe.txt").write_bytes((here / "recipe").read_bytes())
    assert "warning: recipe.txt: no dev data" in ie("check", "recipe", "recipe.txt").stderr
    assert "no such recipe" in said(ie("check", "quickstrat"))


def test_bad_records_are_listed_and_hints_name_options(here: Path) -> None:
    (here / "train.jsonl").write_text('{"text": "a"}\n')
    result = ie("check", "train.jsonl", "--from", "jsonl")
    assert result.exit_code == 1
    assert "no record has an annotation" in result.stderr
    assert "hint: annotate some records, or name the format with --from." in result.stderr
    with (here / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write('nonsense\n{"text": "Ann", "entities": [{"start": 0, "end": 3, "label": "x"}]}\n')
    result = ie("check", "train.jsonl", "--from", "jsonl")
    assert "train.jsonl:2: not valid JSON" in result.stderr
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recipe.yaml", "train.jsonl"], "recipe.yaml is a recipe, and train.jsonl is data"),
        (["recipe.yaml", "--from", "jsonl"], "--from is for data without a recipe; use --set data.format=…"),
        (["train.jsonl", "--set", "task=ner"], "--set is for recipes"),
        (["train.jsonl", "--save", "x.txt"], "must end in .json or .html"),
        (["train.jsonl", "--fail-on", "note"], "'note' is not one of 'error', 'warning'"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, here: Path) -> None:
    result = ie("check", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(said(result).replace("│", " ").split())


def test_pipes_cannot_be_checked(here: Path) -> None:
    result = ie("check", "-", stdin="{}")
    assert result.exit_code == 1
    assert "stdin: a pipe can be read only once" in said(result)
    result = ie("check", "absent.jsonl")
    assert result.exit_code == 1
    assert "absent.jsonl: no such file" in said(result)


def test_warnings_fail_if_asked_for(here: Path) -> None:
    (here / "test.jsonl").write_text('{"text": "Bo", "entities": [{"start": 0, "end": 2, "label": "other"}]}\n')
    assert ie("check", "train.jsonl", "test.jsonl").exit_code == 0
    result = ie("check", "train.jsonl", "test.jsonl", "--fail-on", "warning")
    assert result.exit_code == 1
    assert "1 warning in the data" in said(result)
    result = ie("check", "recipe.yaml", "recipe.yaml", "--fail-on", "warning")
    assert "errors or warnings in 2 of 2 recipes" in said(result)


def test_findings_as_json_and_as_a_page(here: Path) -> None:
    result = ie("check", "train.jsonl", "test.jsonl", "--json", "--save", "out.json", "--save", "out.html")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found == json.loads((here / "out.json").read_text(encoding="utf-8"))
    assert found["checked"] == ["train.jsonl", "test.jsonl"]
    assert found["errors"] == sum(one["kind"] == "error" for one in found["findings"]) == 1
    overlaps = next(one for one in found["findings"] if "overlap in 18 of 20" in one["message"])
    assert overlaps["kind"] == "note"
    assert overlaps["details"][0] == "train.jsonl:1: place '青川' and school '青川大学'"
    assert "warning:" not in result.stderr
    page = (here / "out.html").read_text(encoding="utf-8")
    Page(page)
    assert "train contains 1 of 1 text of test" in page
    assert "<h2>Errors</h2>" in page


def test_json_of_recipes_names_them(here: Path) -> None:
    (here / "bad.yaml").write_text("task: ner\nwhat: 1\n", encoding="utf-8")
    found = json.loads(ie("check", "bad.yaml", "recipe.yaml", "--json").stdout)
    assert {one["recipe"] for one in found["findings"]} == {"bad.yaml", "recipe.yaml"}
    single = json.loads(ie("check", "recipe.yaml", "--json").stdout)
    assert [one for one in found["findings"] if one["recipe"] == "recipe.yaml"] == single["findings"]


@pytest.mark.parametrize("checked", ["recipe.yaml", "train.json"])
def test_inputs_are_never_overwritten(checked: str, here: Path) -> None:
    (here / "train.jsonl").rename(here / "train.json")
    kept = (here / "train.json").read_bytes()
    result = (
        ie("check", checked, "--save", "train.json", "--set", "data.train=train.json")
        if checked.endswith("yaml")
        else ie("check", checked, "--save", "train.json")
    )
    assert result.exit_code == 1
    assert "train.json: this file is also an input" in said(result)
    assert (here / "train.json").read_bytes() == kept


def test_records_that_cannot_be_read_are_listed_even_if_all_are(here: Path) -> None:
    bad = '{"text": "Zoë", "entities": [{"start": 0, "end": 4, "label": "person"}]}\n'
    for name, content in (("bad.jsonl", bad), ("mixed.jsonl", bad + '{"text": "Rain.", "entities": []}\n')):
        (here / name).write_text(content, encoding="utf-8")
        result = ie("check", name)
        assert result.exit_code == 1
        assert "error: train: 1 record cannot be read:" in result.stderr
        assert f"{name}:1: entity 'person' covers characters 0-4, but the text has 3" in result.stderr
        assert "annotate some records" not in result.stderr
    (here / "empty.jsonl").write_text("", encoding="utf-8")
    assert "empty.jsonl: the file is empty" in ie("check", "empty.jsonl").stderr
