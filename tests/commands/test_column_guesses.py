"""Commands on columns whose layout is not the usual one: nothing is lost or changed without a word."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.column_cases import CASES, GOOD
from support.corpora import recipe
from support.runner import ie, said

from ie_cli.recipe.loader import load_recipe
from ie_cli.training.run import train

SIDE_BY_SIDE = "Anna\tB-PER\tB-PER\nmet\tO\tO\nBob\tB-PER\tO\n"
CHARACTERS = "于 O\n2 B-D\n0 I-D\n2 I-D\n1 I-D\n年 I-D\n\n王 B-P\n伟 I-P\n来 O\n\n"
EVAL = ("eval", "--predictions", "data.conll", "data.conll", "--json")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str) -> None:
    Path("data.conll").write_text(text, encoding="utf-8")


def texts(output: str) -> list[str]:
    return [json.loads(line)["text"] for line in output.splitlines()]


@pytest.mark.parametrize("name", CASES)
def test_convert_reads_every_layout(name: str) -> None:
    write(CASES[name].text)
    result = ie("convert", "data.conll", "-")
    assert result.exit_code == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [
        (record["text"], [(entity["text"], entity["label"]) for entity in record["entities"]]) for record in records
    ] == list(CASES[name].expected)
    assert CASES[name].report in said(result)


@pytest.mark.parametrize("text", [SIDE_BY_SIDE, "human\tB-DNA\tB-protein\tO\n"])
def test_convert_refuses_tags_that_may_not_be_united(text: str) -> None:
    write(text)
    result = ie("convert", "data.conll", "-")
    assert result.exit_code == 1
    assert not result.stdout
    assert "it is unclear which to read" in said(result)
    assert "choose one with --label-column, or list several" in said(result)
    assert ie("convert", "data.conll", "-", "--label-column", "1").exit_code == 0


@pytest.mark.parametrize("line", ["met 0", " O", "met"])
def test_convert_stops_at_the_line_that_is_wrong(line: str) -> None:
    write(f"Anna B-PER\n{line}\n\n{GOOD}")
    result = ie("convert", "data.conll", "-")
    assert result.exit_code == 1
    assert "data.conll:2: " in said(result)
    rest = ie("convert", "data.conll", "-", "--on-error", "skip")
    assert rest.exit_code == 0
    assert texts(rest.stdout) == ["Bob ran"] * 500


@pytest.mark.parametrize(
    "options",
    [
        ["--label-column", "1"],
        ["--predicted-label-column", "2"],
        ["--label-column", "1", "--predicted-label-column", "2"],
        ["--label-column", "-2", "--predicted-label-column", "-1"],
    ],
)
def test_gold_and_predictions_in_one_file(options: list[str]) -> None:
    write(SIDE_BY_SIDE)
    result = ie(*EVAL, *options)
    assert result.exit_code == 0, result.stderr
    scores = json.loads(result.stdout)
    assert (scores["precision"], scores["recall"]) == (1.0, 0.5)
    assert scores["f1"] == pytest.approx(2 / 3)


def test_gold_and_predictions_are_not_guessed() -> None:
    write(SIDE_BY_SIDE)
    result = ie(*EVAL)
    assert result.exit_code == 1
    assert "choose one with --label-column" in said(result)
    Path("gold.conll").write_text("Anna\tB-PER\nmet\tO\nBob\tB-PER\n", encoding="utf-8")
    other = ie("eval", "--predictions", "data.conll", "gold.conll")
    assert other.exit_code == 1
    assert "choose one with --predicted-label-column" in said(other)


def test_each_side_has_its_own_columns() -> None:
    Path("gold.conll").write_text("x Anna B-PER\nx met O\ny Bob B-PER\n", encoding="utf-8")
    Path("out.conll").write_text("x y Anna B-PER\nx y met O\nx y Bob O\n", encoding="utf-8")
    result = ie(
        "eval",
        "--predictions",
        "out.conll",
        "gold.conll",
        "--text-column",
        "1",
        "--predicted-text-column",
        "2",
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["recall"] == 0.5


def test_the_joiner_is_an_option_and_part_of_the_proposed_recipe() -> None:
    write(CHARACTERS)
    assert texts(ie("convert", "data.conll", "-").stdout) == ["于2021年", "王伟来"]
    assert texts(ie("convert", "data.conll", "-", "--joiner", " ").stdout)[0] == "于 2 0 2 1 年"
    proposed = ie("init", "data.conll")
    Path("recipe.yaml").write_text(proposed.stdout, encoding="utf-8")
    assert load_recipe("recipe.yaml").instances()["ner"].data.joiner == ""
    words = ie("init", "data.conll", "--joiner", " ")
    assert "  joiner: ' '\n" in words.stdout or '  joiner: " "\n' in words.stdout


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained on single characters."""
    directory = tmp_path_factory.mktemp("characters")
    (directory / "train.conll").write_text(CHARACTERS, encoding="utf-8")
    list(train(recipe(directory / "train.conll", training={"epochs": 1}), directory / "run"))
    return directory / "run" / "model"


def test_predict_and_eval_join_like_the_training_data(model: Path) -> None:
    write("A B-D\nB O\n\n")  # too few letters to decide
    assert texts(ie("convert", "data.conll", "-").stdout) == ["A B"]
    result = ie("predict", "data.conll", "--model", str(model))
    assert result.exit_code == 0, result.stderr
    assert texts(result.stdout) == ["AB"]
    assert texts(ie("predict", "data.conll", "--model", str(model), "--joiner", " ").stdout) == ["A B"]
    scored = ie("eval", str(model), "data.conll", "--save", "scores.html")
    assert scored.exit_code == 0, scored.stderr
    assert "joined with nothing, because those of the training data are single characters" in said(scored)


def test_a_model_of_version_0_1_joins_as_it_was_trained(model: Path, tmp_path: Path) -> None:
    from ie_cli.inference.integrity import CHECKSUMS
    from ie_cli.inference.model_directory import FACTS, TOKENS

    old = Path(shutil.copytree(model, tmp_path / "old"))
    facts = json.loads((old / FACTS).read_text(encoding="utf-8"))
    del facts["tasks"]["ner"][TOKENS], facts[CHECKSUMS]
    (old / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    write(CHARACTERS)
    result = ie("predict", "data.conll", "--model", str(old))
    assert result.exit_code == 0, result.stderr
    assert texts(result.stdout) == ["于2 0 2 1年", "王伟来"]
    assert "joined like words, as in the training data" in said(result)
