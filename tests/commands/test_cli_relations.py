"""Relations by the commands, as a user runs them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.corpora import as_json, relation_documents, relation_recipe, write_duie, write_jsonl
from typer.testing import CliRunner, Result

from ie_cli.cli import app
from ie_cli.recipe.loader import dump_recipe
from ie_cli.training.run import train

SAMPLES = Path(__file__).parent.parent.parent / "data" / "samples"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with train.json in DuIE's layout, its recipe, and a model in runs/test/model."""
    directory = tmp_path_factory.mktemp("work")
    made = relation_recipe(write_duie(directory / "train.json"), training={"epochs": 60})
    list(train(made, directory / "runs" / "test"))
    (directory / "recipe.yaml").write_text(dump_recipe(made), encoding="utf-8")
    return directory


@pytest.fixture
def here(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current directory."""
    shutil.copytree(work, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ie(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def scores(*arguments: str) -> dict[str, object]:
    result = ie("eval", *arguments, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    fields: dict[str, object] = json.loads(result.stdout)
    return fields


def test_train_eval_and_predictions_agree_to_the_last_digit(here: Path) -> None:
    model = "runs/test/model"
    trained = json.loads(Path(model, "metrics.json").read_text(encoding="utf-8"))["dev"]
    options = ("--precision", "float32", "--device", "cpu")
    evaluated = scores(model, "train.json", *options, "--scorer", "duie")
    assert ie("predict", "train.json", "-o", "out.jsonl", *options).exit_code == 0
    assert ie("predict", "train.json", "-o", "out.json", "--to", "duie", *options).exit_code == 0
    native = scores("--predictions", "out.jsonl", "train.json", "--scorer", "duie")
    official = scores("--predictions", "out.json", "train.json", "--scorer", "duie")
    for key in ("precision", "recall", "f1", "match", "text"):
        assert trained[key] == evaluated[key] == native[key] == official[key]
    assert evaluated["official"] == native["official"] == official["official"]
    assert evaluated["errors"] == native["errors"] == official["errors"]


def test_predictions_go_into_the_layout_of_the_official_scorer(here: Path) -> None:
    result = ie("predict", "train.json", "--to", "duie", "--quiet")
    records = as_json(result.stdout)
    assert [record["text"] for record in records] == [r["text"] for r in as_json(Path("train.json").read_text("utf-8"))]
    for record in records:
        assert record.keys() == {"id", "text", "spo_list"}
        for spo in record["spo_list"]:  # type: ignore[attr-defined]
            assert spo.keys() == {"predicate", "subject", "subject_type", "object", "object_type"}
            assert "@value" in spo["object"]
            assert spo["object"].keys() == spo["object_type"].keys()
            assert all(value in str(record["text"]) for value in (spo["subject"], *spo["object"].values()))
    assert any("onDate" in spo["object"] for record in records for spo in record["spo_list"])  # type: ignore[attr-defined]


def test_native_output_names_types_and_places(here: Path) -> None:
    [record] = as_json(
        ie("predict", "-", "--quiet", stdin='{"text": "王伟在青川大学读书，老师是张敏敏。第0年。2019年"}').stdout
    )
    relations = record["relations"]
    assert isinstance(relations, list)
    [school] = [relation for relation in relations if relation["predicate"] == "学校"]
    assert (school["subject"]["text"], school["subject"]["label"], school["object"]["label"]) == (
        "王伟",
        "person",
        "school",
    )
    assert 0.5 < school["score"] <= 1


def test_a_text_without_relations_gets_an_empty_list(here: Path) -> None:
    [record] = as_json(ie("predict", "-", "--quiet", "--threshold", "1", stdin='{"text": "今天下雨。"}').stdout)
    assert record == {"text": "今天下雨。", "entities": [], "relations": []}


def test_eval_prints_relations_and_their_errors(here: Path) -> None:
    lines = Path("train.json").read_text(encoding="utf-8").splitlines()
    fields = json.loads(lines[0])
    fields["spo_list"][0]["subject"] = "青川"
    Path("gold.json").write_text(json.dumps(fields, ensure_ascii=False) + "\n", encoding="utf-8")
    result = ie("eval", "runs/test/model", "gold.json", "--errors", "2", "--scorer", "duie", "--train", "train.json")
    assert result.exit_code == 0
    for part in (
        "predicate",
        "DuIE's rules",
        "relations by text",
        "recall ceiling",
        "triples never seen",
        "missed: gold.json:1",
    ):
        assert part in result.stderr, part


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("eval", "runs/test/model", "train.json", "--match", "strict"), 1, "strict scores on guessed offsets"),
        (("eval", "runs/test/model", "train.json", "--alias", "a.tsv"), 2, "--alias requires --scorer duie"),
        (("eval", "runs/test/model", "train.json", "--scorer", "duie", "--alias", "no.tsv"), 1, "no.tsv"),
        (("eval", "runs/test/model", "train.json", "--scorer", "seqeval"), 1, "--scorer seqeval applies to entities"),
        (("eval", "--predictions", "train.json", "train.json", "--scorer", "seqeval"), 1, "these are relations"),
        (
            ("eval", "runs/test/model", "train.json", "--scorer", "seqeval", "--alias", "a"),
            2,
            "requires --scorer duie",
        ),
        (("convert", "train.json", "train.json"), 1, "is also the input"),
        (("convert", "train.json", "out", "--to", "text"), 1, "cannot be written"),
        (("convert", "train.json", "out", "--to", "dui"), 1, "did you mean 'duie'?"),
        (("convert", "no.json", "out"), 1, "no.json"),
    ],
)
def test_errors_say_where_what_and_what_to_do(here: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    result = ie(*arguments)
    assert result.exit_code == code
    assert message in result.stderr


def test_aliases_count_as_the_name(here: Path) -> None:
    gold = as_json(Path("train.json").read_text(encoding="utf-8"))[:1]
    gold[0]["spo_list"][0]["subject"] = "小王"  # type: ignore[index]
    Path("gold.json").write_text(json.dumps(gold[0], ensure_ascii=False) + "\n", encoding="utf-8")
    Path("alias.tsv").write_text("小王\t王伟\n王伟\t小王\n", encoding="utf-8")
    assert ie("predict", "train.json", "-o", "all.json", "--to", "duie", "--quiet").exit_code == 0
    Path("out.json").write_text(Path("all.json").read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    plain = scores("--predictions", "out.json", "gold.json", "--scorer", "duie")["official"]
    named = scores("--predictions", "out.json", "gold.json", "--scorer", "duie", "--alias", "alias.tsv")["official"]
    assert isinstance(plain, dict)
    assert isinstance(named, dict)
    assert (plain["correct"], named["correct"]) == (1, 2)


@pytest.mark.parametrize(
    "name", ["relations.duie.json", "triples.json", "relations.tplinker.json", "relations.conll04.json"]
)
def test_convert_there_and_back(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = str(SAMPLES / name)
    there = ie("convert", source, "native.jsonl.gz")
    assert there.exit_code == 0, there.stderr
    assert "to jsonl" in there.stderr
    format = {"relations.duie.json": "duie", "relations.conll04.json": "conll04"}.get(name, "triples")
    assert ie("convert", "native.jsonl.gz", "back.json", "--to", format).exit_code == 0
    fields = scores("--predictions", "back.json", source)
    assert fields["f1"] == 1.0
    assert ie("convert", source, "-", "--quiet").stdout.count("\n") >= 2


def test_convert_says_what_the_target_cannot_express(here: Path) -> None:
    write_jsonl(Path("typed.jsonl"), relation_documents(annotated=True))
    result = ie("convert", "typed.jsonl", "out.conll")
    assert result.exit_code == 0
    assert "jsonl to conll" in result.stderr
    assert "relations" in result.stderr
    slots = ie("convert", "train.json", "out.json", "--to", "duie1")
    assert "slots of complex objects cannot be stored" in slots.stderr


def test_a_bad_line_stops_a_conversion_or_is_skipped(here: Path) -> None:
    with Path("train.json").open("a", encoding="utf-8") as file:
        file.write('{"text": "a", "spo_list": [{"subject": "a"}]}\n')
    stopped = ie("convert", "train.json", "out.jsonl")
    assert (stopped.exit_code, Path("out.jsonl").exists()) == (1, False)
    assert "train.json:21: a triple lacks predicate, object" in stopped.stderr
    skipped = ie("convert", "train.json", "out.jsonl", "--on-error", "skip")
    assert skipped.exit_code == 0
    assert "1 bad line skipped" in skipped.stderr
    assert len(Path("out.jsonl").read_text(encoding="utf-8").splitlines()) == 20


def test_init_and_check_fit_relations(here: Path) -> None:
    made = ie("init", "train.json", "--encoder", "tiny")
    assert made.exit_code == 0
    Path("mine.yaml").write_text(made.stdout, encoding="utf-8")
    checked = ie("check", "mine.yaml")
    assert checked.exit_code == 0, checked.stderr
    assert "57 relations: " in checked.stderr
    quick = ie("train", "mine.yaml", "--set", "training.epochs=1", "--set", "training.device=cpu", "--output", "mine")
    assert quick.exit_code == 0, quick.stderr
    assert "relations with 3 predicates" in quick.stderr
