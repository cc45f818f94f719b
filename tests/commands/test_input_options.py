"""An option of reading that applies to none of the data is an error, and commands that read data have the same ones."""

from __future__ import annotations

from pathlib import Path

import datasets
import fsspec
import pytest
import typer
from pyarrow import csv, parquet
from support.runner import ie, said

from ie_cli.cli import app
from ie_cli.commands.input_options import DATA_OPTIONS, make_inputs
from ie_cli.formats import FORMATS
from ie_cli.formats.registry import READING_OPTIONS, UnusedOption

VALUES = {"text_column": 0, "label_columns": [1], "joiner": "", "columns": ["text=text"]}
SHOWN = {
    "text_column": ["--text-column", "0"],
    "label_columns": ["--label-column", "1"],
    "joiner": ["--joiner", ""],
    "columns": ["--column", "text=text"],
}
JSONL = '{"text": "Ann slept", "entities": [{"start": 0, "end": 3, "label": "person"}]}\n'
CONLL = "Ann B-person\nslept O\n\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(JSONL, encoding="utf-8")
    (tmp_path / "b.conll").write_text(CONLL, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("option", VALUES)
@pytest.mark.parametrize("format", FORMATS)
def test_an_option_applies_to_a_format_or_is_an_error(here: Path, format: str, option: str) -> None:
    given = {option: VALUES[option]}
    if format in READING_OPTIONS[option]:
        assert make_inputs(["a.jsonl"], format=format, **given)[0].given_options() == [option]  # type: ignore[arg-type]
        return
    with pytest.raises(UnusedOption) as caught:
        make_inputs(["a.jsonl"], format=format, **given)  # type: ignore[arg-type]
    expected = f"a.jsonl: {DATA_OPTIONS[option]} applies only to the formats {', '.join(READING_OPTIONS[option])}, but "
    assert caught.value.message == f"{expected}the format of the data is {format}"


COMMANDS = {
    "check": ["check", "a.jsonl"],
    "convert": ["convert", "a.jsonl", "out.jsonl"],
    "diff": ["diff", "a.jsonl", "a.jsonl"],
    "eval": ["eval", "--predictions", "a.jsonl", "a.jsonl"],
    "init": ["init", "a.jsonl"],
    "merge": ["merge", "a.jsonl"],
    "split": ["split", "a.jsonl", "-o", "parts"],
    "stats": ["stats", "a.jsonl"],
    "view": ["view", "a.jsonl"],
    "export": ["export", "model", "--data", "a.jsonl"],
    "predict": ["predict", "a.jsonl", "-m", "model"],
    "embed": ["embed", "a.jsonl", "-m", "model"],
    "search": ["search", "a.jsonl", "a.jsonl", "-m", "model"],
    "import-predictions": ["import-predictions", "a.jsonl", "--texts", "a.jsonl"],
}
WITHOUT_TAGS = {"predict", "embed", "search", "import-predictions"}
"""The commands that read no annotation."""
OWN_FORMAT = {"link"}
"""The commands whose input is always the output of `ie predict`."""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_reports_an_option_that_does_not_apply(here: Path, name: str) -> None:
    for option, arguments in SHOWN.items():
        if option == "label_columns" and name in WITHOUT_TAGS:
            continue
        result = ie(*COMMANDS[name], *arguments)
        assert result.exit_code == 1, (option, result.stderr)
        assert f"a.jsonl: {arguments[0]} applies only to the formats" in said(result) or (
            f"a.jsonl, …: {arguments[0]} applies only to the formats" in said(result)
        )
    assert sorted(path.name for path in here.iterdir()) == ["a.jsonl", "b.conll"]


def test_commands_that_read_data_have_the_same_options() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    reading = {name: {one.name for one in command.params} for name, command in commands.items()}
    reading = {name: names for name, names in reading.items() if {"input_format", "files"} & names}
    assert reading.keys() - OWN_FORMAT == COMMANDS.keys()
    for name in COMMANDS:
        expected = DATA_OPTIONS.keys() - ({"label_columns"} if name in WITHOUT_TAGS else set())
        assert reading[name] & DATA_OPTIONS.keys() == expected, name


def test_an_option_that_applies_to_one_of_several_files_is_none(here: Path) -> None:
    for order in (["a.jsonl", "b.conll"], ["b.conll", "a.jsonl"], ["."], ["*.*"]):
        assert ie("stats", *order, "--text-column", "0").exit_code == 0
    assert ie("stats", "a.jsonl", "b.conll", "--column", "text=text").exit_code == 1
    assert ie("diff", "a.jsonl", "b.conll", "--text-column", "0").exit_code == 0


@pytest.mark.parametrize(("content", "code"), [(JSONL, 1), (CONLL, 0)])
def test_the_format_of_stdin_is_checked_when_it_is_detected(here: Path, content: str, code: int) -> None:
    result = ie("convert", "-", "-", "--text-column", "0", stdin=content)
    assert result.exit_code == code
    assert (result.stdout == "") == ("stdin: --text-column applies only to" in result.stderr) == bool(code)
    # The other input is known, and does not need the option.
    assert ie("diff", "-", "a.jsonl", "--text-column", "0", stdin=content).exit_code == code
    assert ie("diff", "-", "b.conll", "--text-column", "0", stdin=content).exit_code == 0


TABLES = {
    "span": "text,start,end,label\nAnn slept,0,3,person\n",
    "text": 'text,entities\nAnn slept,"[[0, 3, ""person""]]"\n',
    "token": "sentence_id,word,tag\n1,Ann,B-person\n1,slept,O\n",
    "tagged text": "tokens,ner_tags\nAnn slept,B-person O\n",
}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("row", TABLES)
def test_a_joiner_applies_to_tables_of_tokens_only(here: Path, row: str, suffix: str) -> None:
    (here / "t.csv").write_text(TABLES[row], encoding="utf-8")
    if suffix == ".parquet":
        parquet.write_table(csv.read_csv("t.csv"), "t.parquet")
    result = ie("stats", f"t{suffix}", "--joiner", "")
    if row in ("token", "tagged text"):
        assert result.exit_code == 0, result.stderr
    else:
        assert result.exit_code == 1
        assert f"but the format of the data is {suffix[1:]} with a {row} per row" in said(result)
        assert ie("stats", f"t{suffix}", "b.conll", "--joiner", "").exit_code == 0
    assert ie("stats", f"t{suffix}").exit_code == 0


@pytest.mark.parametrize("row", TABLES)
def test_what_a_row_of_stdin_is_decides_about_a_joiner(here: Path, row: str) -> None:
    result = ie("convert", "-", "-", "--joiner", "", stdin=TABLES[row])
    if row in ("token", "tagged text"):
        assert result.exit_code == 0, result.stderr
    else:
        assert result.exit_code == 1
        assert result.stdout == ""
        expected = f"stdin: --joiner applies only to the formats {', '.join(READING_OPTIONS['joiner'])}"
        assert f"{expected}, but the format of the data is csv with a {row} per row" in said(result)
    assert ie("diff", "-", "b.conll", "--joiner", " ", stdin=TABLES[row]).exit_code == 0


PAIRS = "sentence1,sentence2,label\nAnn slept,Ann sleeps,1\n"


def test_a_table_of_pairs_is_known_when_it_is_read(here: Path) -> None:
    (here / "t.csv").write_text(PAIRS, encoding="utf-8")
    parquet.write_table(csv.read_csv("t.csv"), "t.parquet")
    for name, stdin in (("t.parquet", None), ("-", PAIRS)):
        result = ie("convert", name, "-", "--from", "parquet" if stdin is None else "csv", "--joiner", "", stdin=stdin)
        assert result.exit_code == 1, result.stderr
        assert "with a pair per row" in said(result)
        assert result.stdout == ""


ROWS: dict[str, dict[str, list[object]]] = {
    "text": {"text": ["Ann slept"], "entities": [[{"start": 0, "end": 3, "label": "person"}]]},
    "tagged text": {"tokens": [["Ann", "slept"]], "ner_tags": [["B-person", "O"]]},
    "pair": {"sentence1": ["Ann slept"], "sentence2": ["Ann sleeps"], "label": [1]},
}


@pytest.mark.parametrize("prefix", ["", "hub:"])
@pytest.mark.parametrize("row", ROWS)
def test_a_joiner_applies_to_datasets_of_tokens_only(here: Path, row: str, prefix: str) -> None:
    datasets.Dataset.from_dict(ROWS[row]).save_to_disk("saved")
    result = ie("convert", f"{prefix}saved", "-", "--joiner", "")
    assert (result.exit_code == 0) == (row == "tagged text"), result.stderr
    if row != "tagged text":
        assert f"but the format of the data is datasets with a {row} per row" in said(result)
        assert result.stdout == ""
    assert ie("convert", f"{prefix}saved", "-").exit_code == 0


@pytest.mark.parametrize("row", ROWS)
def test_a_recipe_knows_what_a_row_of_a_dataset_is(here: Path, row: str) -> None:
    datasets.Dataset.from_dict(ROWS[row]).save_to_disk("saved")
    recipe = "name: r\ndata:\n  train: hub:saved\n  joiner: ''\nencoder: {name: hash_cnn}\n"
    (here / "r.yaml").write_text(recipe, encoding="utf-8")
    shown = " ".join(ie("check", "r.yaml", "--no-time").output.split())
    assert ("data.joiner applies only to the formats" in shown) == (row != "tagged text")
    recipe = recipe.replace("train: hub:saved", "train: hub:saved\n  dev: b.conll")
    (here / "r.yaml").write_text(recipe, encoding="utf-8")
    assert "data.joiner applies" not in ie("check", "r.yaml", "--no-time").output


@pytest.mark.parametrize(("content", "applies"), [(JSONL, False), (CONLL, True)])
def test_a_recipe_knows_the_format_of_remote_data(here: Path, content: str, applies: bool) -> None:
    with fsspec.open("memory://ie-options/train", "wt", encoding="utf-8") as file:
        file.write(content)
    recipe = "name: r\ndata:\n  train: memory://ie-options/train\n  joiner: ''\nencoder: {name: hash_cnn}\n"
    (here / "r.yaml").write_text(recipe, encoding="utf-8")
    shown = " ".join(ie("check", "r.yaml", "--no-time").output.split())
    assert ("memory://ie-options/train: data.joiner applies only to the formats" in shown) == (not applies)


def test_several_remote_inputs_are_checked_before_the_first_one_is_read(here: Path) -> None:
    for name, content in (("a", JSONL), ("b", JSONL), ("c", CONLL)):
        with fsspec.open(f"memory://ie-options/{name}", "wt", encoding="utf-8") as file:
            file.write(content)
    two = ["memory://ie-options/a", "memory://ie-options/b"]
    refused = ie("convert", *two, "-", "--text-column", "0")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "--text-column applies only to the formats" in said(refused)
    result = ie("convert", *two, "memory://ie-options/c", "-", "--text-column", "0")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 3


def test_what_cannot_be_read_leaves_an_option_undecided(here: Path) -> None:
    with fsspec.open("memory://ie-options/a", "wt", encoding="utf-8") as file:
        file.write(JSONL)
    result = ie("convert", "memory://ie-options/a", "memory://ie-options/none", "-", "--text-column", "0")
    assert result.exit_code == 1
    assert "applies only" not in said(result)
    assert "memory://ie-options/none" in said(result)


def test_the_columns_of_predictions_have_their_own_options(here: Path) -> None:
    result = ie("eval", "--predictions", "a.jsonl", "b.conll", "--predicted-text-column", "0")
    assert result.exit_code == 1
    assert "a.jsonl: --predicted-text-column applies only to" in said(result)
    assert ie("eval", "--predictions", "a.jsonl", "b.conll", "--text-column", "0").exit_code == 0
    assert ie("eval", "--predictions", "b.conll", "a.jsonl", "--joiner", " ").exit_code == 0
    assert ie("eval", "--predictions", "b.conll", "a.jsonl", "--text-column", "0").exit_code == 1


@pytest.mark.parametrize(
    "option", ["text_column: 1", "label_columns: [1]", "joiner: ''", "columns: {text: body}", "mentions: all"]
)
def test_a_recipe_whose_option_does_not_apply_to_the_detected_format_is_an_error(here: Path, option: str) -> None:
    recipe = "name: r\ndata:\n  train: a.jsonl\n  %s\nencoder: {name: hash_cnn}\n"
    (here / "r.yaml").write_text(recipe % option, encoding="utf-8")
    expected = f"a.jsonl: data.{option.split(':')[0]} applies only to the formats"
    for command in (["check", "r.yaml", "--no-time"], ["train", "r.yaml", "-o", "run"]):
        result = ie(*command)
        assert result.exit_code == 1
        assert expected in said(result) + " ".join(result.stdout.split())
    (here / "r.yaml").write_text(recipe % "dev: b.conll\n  joiner: ' '", encoding="utf-8")
    assert "applies only" not in ie("check", "r.yaml", "--no-time").output
