"""Bad recipes through the commands: every problem in one message, each with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from pydantic import BaseModel
from support.runner import ie

from ie_cli.errors import RecipeError
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import DataSection, EncoderSection, TrainingSection

COMMANDS = ("check", "show", "train")
EXPLAINS = "--help-fields` for the help of every field"
SMALL = "name: a\ndata: {train: t.jsonl}\nencoder: {name: tiny}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(content: str | bytes, *arguments: str, name: str = "recipe.yaml") -> str:
    """Return the error that all commands report for a recipe, which must be the same."""
    Path(name).write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    results = [ie(command, name, *arguments) for command in COMMANDS]
    assert [result.exit_code for result in results] == [1, 1, 1]
    assert len({result.stderr for result in results}) == 1
    assert not Path("runs").exists()
    return results[0].stderr


WRONG = ["{zzz: [1]}", "[[zzz]]", "-1.5"]
"""Values that hardly any field accepts: a mapping, a list of lists, a negative fraction."""


@pytest.mark.parametrize("head", [spec.section for spec in HEADS.values()])
@pytest.mark.parametrize("wrong", WRONG)
def test_every_field_wrong_at_once(head: type[BaseModel], wrong: str) -> None:
    name = head.model_json_schema()["properties"]["name"]["const"]
    sections = {"data": DataSection, "encoder": EncoderSection, "head": head, "training": TrainingSection}
    lines, places = [f"name: {wrong}"], {"name": 1}
    for section, model in sections.items():
        lines.append(f"{section}:")
        for field in model.model_fields:
            given = name if (section, field) == ("head", "name") else wrong
            lines.append(f"  {field}: {given}")
            places[f"{section}.{field}"] = len(lines)
    del places["head.name"]
    said = refused("\n".join(lines))
    for field, line in places.items():
        unknown_key = f"recipe.yaml:{line}: unknown key '{field}."  # in a field that may be a mapping
        assert f"recipe.yaml:{line}: {field}" in said or unknown_key in said, field
    reported = [
        int(line.split(":")[1]) for line in said.removeprefix("error: ").splitlines() if line.startswith("recipe.yaml:")
    ]
    assert reported == sorted(reported)
    assert len(reported) >= len(places) > 40
    assert EXPLAINS in said


def test_errors_of_file_and_overrides_together() -> None:
    said = refused(SMALL + "task: nerr\nhead: perceptron\nextra: 1\n", "--set", "training.epochs=no", "--set", "x")
    for words in (
        "recipe.yaml:4: task: got 'nerr', expected 'ner', 'relation' or 'match'; did you mean 'ner'?",
        "recipe.yaml:5: head.name: unknown head 'perceptron'",
        "recipe.yaml:6: unknown key 'extra'",
        "--set training.epochs=no: training.epochs: got 'no', expected an integer above 0",
        "--set x: expected section.key=value",
    ):
        assert words in said


@pytest.mark.parametrize(
    "field",
    [
        *(f"training.{name}" for name in ("epochs", "accumulation", "batch_size", "eval_batch_size", "batch_tokens")),
        *(f"training.{name}" for name in ("eval_every", "checkpoint_every", "checkpoints", "patience")),
        "encoder.max_length",
        "encoder.stride",
    ],
)
@pytest.mark.parametrize("value", [10**9 + 1, 2**63, 10**30])
def test_numbers_that_overflow_are_above_a_bound(field: str, value: int) -> None:
    message = refused(SMALL, "--set", f"{field}={value}")
    assert f"{field}: got {value}, expected an integer" in message
    assert "at most 1,000,000" in message or " to 1,000,000" in message


@pytest.mark.parametrize(
    ("content", "words", "hint"),
    [
        ("", "recipe.yaml:1: expected a mapping with name, data and encoder, got nothing", EXPLAINS),
        ("\0\0", "recipe.yaml:1: not valid YAML: unacceptable character #x0000", EXPLAINS),
        (b"\x80\x00\xff" * 99, "recipe.yaml:1: not UTF-8", "hint: it looks like a binary file: name a YAML file."),
        (b"name: caf\xe9", "recipe.yaml:1: not UTF-8", "hint: save the recipe as UTF-8."),
        (gzip.compress(SMALL.encode(), mtime=0), "recipe.yaml:1: not UTF-8", "hint: it looks like a binary file"),
        ("#" * 2_000_000, "too large for a recipe: more than 1,000,000 bytes", EXPLAINS),
        (SMALL + "name: b", "recipe.yaml:4: name: duplicate key, first given in line 1", EXPLAINS),
        (SMALL + "---\nname: b", "recipe.yaml:4: expected a single document, but a second one begins here", EXPLAINS),
        (SMALL + 'test: "\\ud83d"\n', "recipe.yaml:4: unknown key 'test'; did you mean 'data.test'?", EXPLAINS),
        ('name: a\ndata: {train: "\\ud83d"}\nencoder: tiny', "recipe.yaml:2: data.train: got '\\ud83d', expected text", EXPLAINS),
        (SMALL + "training: {seed: " + "9" * 4000 + "}", "recipe.yaml:4: training.seed: got 999", EXPLAINS),
        (f"name: {'9' * 9000}\n", "recipe.yaml:1: name: got 999", EXPLAINS),
        (f"{'k' * 900}: 1\n", "recipe.yaml:1: unknown key 'kkk", EXPLAINS),
        (f"a: *{'k' * 9000}\n", "recipe.yaml:1: *kkk", EXPLAINS),
        (f"a: !{'k' * 9000} 1\n", "recipe.yaml:1: the tag !kkk", EXPLAINS),
    ],
)  # fmt: skip
def test_what_is_no_recipe(content: str | bytes, words: str, hint: str) -> None:
    said = refused(content)
    assert words in said
    assert hint in said
    assert len(said) < 2000


def test_places_without_a_recipe(here: Path) -> None:
    (here / "directory.yaml").mkdir()
    (here / "data.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    for name, words in [
        ("directory.yaml", "directory.yaml: Is a directory\nhint: name a YAML file."),
        ("nothing.yaml", "nothing.yaml: no such recipe"),
        ("a\0b.yaml", "embedded null byte\nhint: name a YAML file."),
        ("data.jsonl", "`ie init DATA -o recipe.yaml`"),
    ]:
        for command in COMMANDS:
            result = ie(command, name)
            assert result.exit_code == 1
            alone = command == "check" and name == "data.jsonl"  # which is checked without a recipe
            assert ("no record has an annotation" if alone else words) in result.stderr


def test_files_that_a_recipe_names_but_are_not_there(here: Path) -> None:
    (here / "directory").mkdir()
    Path("recipe.yaml").write_text(SMALL.replace("t.jsonl", "directory"))
    for command in ("check", "train"):
        said = ie(command, "recipe.yaml").stderr
        assert "error: directory: is a directory\nhint: name a file in it" in said
    Path("recipe.yaml").write_text(SMALL)
    (here / "tt.jsonl").touch()
    for command in ("check", "train"):
        said = ie(command, "recipe.yaml").stderr
        assert "error: t.jsonl: no such file; did you mean 'tt.jsonl'?\nhint: check the path" in said


@pytest.mark.parametrize("head", ["", " {}", " {flat: true}"])
def test_a_head_without_a_name_beside_several_tasks(head: str) -> None:
    said = refused(f"name: a\nencoder: {{name: tiny}}\ntasks: {{ner: {{data: {{train: t}}}}}}\nhead:{head}\n")
    assert said.startswith("error: recipe.yaml:4: tasks: replaces task, data and head")


@pytest.mark.parametrize("dev", ["10%", "0,1", "1/10", "'0.1'", ".5 %"])
def test_a_share_that_is_no_number_is_no_file(dev: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"name: x\ndata:\n  train: a.jsonl\n  dev: {dev}\nencoder: {{name: tiny}}\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    plain = dev.strip("'")
    assert caught.value.message.startswith(
        f"{file}:4: data.dev: got '{plain}', expected a fraction such as 0.1, without quotes"
    )
    file.write_text(file.read_text(encoding="utf-8").replace(dev, f'"./{plain}"'), encoding="utf-8")
    recipe = load_recipe(file)
    assert recipe.data is not None
    assert str(recipe.data.dev).startswith(str(tmp_path))


@pytest.mark.parametrize(("line", "about_syntax"), [("data: [a", True), ("data: {trian: a.jsonl}", False)])
def test_a_syntax_error_has_a_hint_about_syntax(line: str, about_syntax: bool, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"name: x\n{line}\nencoder: {{name: tiny}}\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(file)
    assert ("a space after the colon" in str(caught.value.hint)) == about_syntax
    assert ("--help-fields" in str(caught.value.hint)) != about_syntax
