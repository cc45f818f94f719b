"""The JSON Schema accepts the recipes that the loader accepts, and rejects those that it rejects."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from support.runner import ie
from support.toy_head import TOY

from ie_cli.errors import RecipeError
from ie_cli.recipe import json_schema
from ie_cli.recipe.bundled import bundled_directory, list_recipes
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.json_schema import DIALECT, SCHEMA_FILE, editor_line, recipe_schema, schema_text
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import CardSection, DataSection, EncoderSection, Recipe, TrainingSection
from ie_cli.recipe.yaml import flow, parse

TESTS = Path(__file__).parent.parent
VALIDATOR = Draft202012Validator(recipe_schema())
SMALL = {"name": "a", "data": {"train": "t.jsonl"}, "encoder": {"name": "tiny"}}


def loads(text: str, folder: Path) -> bool:
    """Whether the loader accepts a recipe."""
    file = folder / "recipe.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        load_recipe(file, stored=True)
    except RecipeError:
        return False
    return True


def texts_of_tests() -> list[str]:
    """The texts in the tests that may be recipes, and the recipes beside them."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("*.py"))]
    constants = [
        node.value
        for source in sources
        if "encoder:" in source
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "encoder:" in node.value
    ]
    return constants + [path.read_text(encoding="utf-8") for path in sorted(TESTS.rglob("recipe.yaml"))]


def test_the_file_of_the_package_is_what_the_command_prints() -> None:
    """If it is not: `ie show --schema > ie_cli/recipe/recipe.schema.json`."""
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text()
    shown = ie("show", "--schema")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, schema_text(), "")


def test_it_is_a_schema_of_its_draft() -> None:
    schema = recipe_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("path", [recipe.path for recipe in list_recipes()], ids=lambda path: path.stem)
def test_it_accepts_every_shipped_recipe(path: Path) -> None:
    VALIDATOR.validate(parse(path.read_text(encoding="utf-8")).data)


def test_it_agrees_with_the_loader_on_the_recipes_of_the_tests(tmp_path: Path) -> None:
    accepted = rejected = 0
    for text in texts_of_tests():
        document = parse(text)
        if document.problems or not isinstance(document.data, dict):
            continue
        if loads(text, tmp_path):
            accepted += 1
            VALIDATOR.validate(document.data)
        else:
            rejected += 1
            assert not VALIDATOR.is_valid(document.data), text
    assert accepted >= 10
    assert rejected >= 10


SECTIONS: dict[str, Any] = {
    "data": DataSection,
    "encoder": EncoderSection,
    "training": TrainingSection,
    "card": CardSection,
}
FIELDS = [(section, name) for section, model in SECTIONS.items() for name in model.model_fields] + sorted(
    {("head", name) for spec in HEADS.values() for name in spec.section.model_fields}
)
# No fraction is whole, no list repeats itself: a JSON Schema cannot express that the loader rejects these.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 5000)
    | st.sampled_from([0.1, 0.5, 1.5, -0.5, 2e-5])
    | st.sampled_from(["", "x", "auto", "cpu", "linear", "csv", "nearest", "types", "char", "global_pointer", "3"])
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2, unique_by=repr) | st.dictionaries(st.sampled_from("xy"), SCALARS)
NAMES = st.sampled_from(["ner", "relation", "links", "a b", ""])
HEAD = st.none() | st.sampled_from([*HEADS, "perceptron"]) | st.dictionaries(
    st.sampled_from(["name", "flat", "type_pairs", "head_size"]),
    st.sampled_from([*HEADS, "any", True, 64, 63, None]),
)  # fmt: skip
TASK = st.fixed_dictionaries(
    {},
    optional={"task": st.sampled_from(["ner", "relation", "x", None]), "head": HEAD, "data": st.just({"train": "t"})},
)


@given(st.sampled_from(FIELDS), VALUES)
def test_it_agrees_with_the_loader_on_every_field(
    tmp_path_factory: pytest.TempPathFactory, field: tuple[str, str], value: Any
) -> None:
    section, name = field
    recipe: dict[str, Any] = {**SMALL, "training": {}, "card": {}, "head": {"name": "global_pointer"}}
    recipe["encoder"] = {"name": "tiny", "stride": 0}
    if name == "stride":  # its bound depends on the length of a window
        recipe["encoder"]["max_length"] = 8192
    if name in ("squareplus_b", "attention_base", "attention_floor"):  # they are parameters of other options
        recipe["encoder"] |= {"activation": "squareplus", "attention_scale": "log_n"}
    recipe["data"] = {"train": "t.jsonl", "format": "pairs" if name == "grades" else "conll"}
    if name == "sampling_temperature":
        recipe["training"] = {"sampling": "temperature"}
    if name == "select" and isinstance(value, dict):  # its keys must be names of tasks
        value = dict(zip(("ner",), value.values(), strict=False))
    recipe[section] = {**recipe[section], name: value}
    if name == "schema_file" or (section, name) == ("data", "format"):  # they must fit to other fields
        recipe |= {"task": "relation", "head": None}
    assert VALIDATOR.is_valid(recipe) == loads(flow(recipe), tmp_path_factory.getbasetemp()), recipe


@given(TASK, st.none() | st.dictionaries(NAMES, TASK | SCALARS, max_size=2), st.booleans())
def test_it_agrees_with_the_loader_on_both_forms(
    tmp_path_factory: pytest.TempPathFactory, short: dict[str, Any], tasks: dict[str, Any] | None, with_tasks: bool
) -> None:
    recipe = {"name": "a", "encoder": {"name": "tiny"}, **short, **({"tasks": tasks} if with_tasks else {})}
    assert VALIDATOR.is_valid(recipe) == loads(flow(recipe), tmp_path_factory.getbasetemp()), recipe


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nencoder: {name: tiny}\n",
        "name: a\ndata: {train: t}\n",
        "name: a\ndata: {train: t}\nencoder: {name: tiny}\ntrianing: {epochs: 1}\n",
        "name: a\ndata: {train: t}\nencoder: {nmae: tiny}\n",
        "name: a\ndata: {train: t}\nencoder: {name: tiny}\nhead: {name: gplinkr}\n",
        "name: a\ndata: {train: t}\nencoder: {name: tiny}\nhead: {name: global_pointer, entity_rows: auto}\n",
        "name: a\ndata: {train: t}\nencoder: {name: tiny}\ntraining: {epochs: '3'}\n",
        "name: a\ndata: {train: t}\nencoder: {name: tiny}\ntraining: {clip: yes}\n",
        "name: a\ndata: null\nencoder: {name: tiny}\n",
        "name: a\nencoder: {name: tiny}\ntasks: {ner: {data: {train: t}, head: gplinker}}\n",
        "name: a\nencoder: {name: tiny}\ntasks: {ner: {data: {train: t}}}\nhead: null\n",
    ],
)
def test_both_reject(text: str, tmp_path: Path) -> None:
    assert not loads(text, tmp_path)
    assert not VALIDATOR.is_valid(parse(text).data)


@pytest.mark.parametrize(
    "text",
    [
        "name: a\ndata: {train: [t, u]}\nencoder: {name: tiny}\nhead: gplinker\n",
        "name: a\ndata: {train: t}\nencoder: {name: tiny}\ntraining:\nhead:\ncard:\n",
        "name: a\ndata: {train: t}\nencoder: {name: tiny}\ntask: relation\nhead: {type_pairs: any}\ntasks: {}\n",
        "name: a\nencoder: {name: tiny}\ntasks: {relation: {data: {train: t}, head: {type_pairs: any}}}\n",
        "name: a\nencoder: {name: tiny}\ntasks: {x: {data: {train: t}, head: gplinker}, ner: {data: {train: u}}}\n",
    ],
)
def test_both_accept(text: str, tmp_path: Path) -> None:
    assert loads(text, tmp_path)
    VALIDATOR.validate(parse(text).data)


def test_it_explains_every_field() -> None:
    schema = recipe_schema()
    parts = [("Recipe", schema), *schema["$defs"].items()]
    fields = [
        (title, name, field)
        for title, part in parts
        if "properties" in part
        for name, field in part["properties"].items()
    ]
    assert len(fields) > 60
    for title, name, field in fields:
        assert field["description"], (title, name)
    for title, part in parts:
        assert part.get("additionalProperties") is False or title == "Head"


def test_a_head_of_the_table_is_in_it_by_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, "toy", TOY)
    validator = Draft202012Validator(recipe_schema())
    validator.validate({**SMALL, "head": {"name": "toy", "scale": 3.0}})
    assert not validator.is_valid({**SMALL, "head": {"name": "toy", "scales": 3.0}})
    assert not VALIDATOR.is_valid({**SMALL, "head": "toy"})


# --- the line for editors


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def proposed() -> str:
    result = ie("init", str(bundled_directory() / "data" / "quickstart" / "dev.json"))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_init_names_the_schema_of_the_package(here: Path) -> None:
    first, second, *_ = proposed().splitlines()
    name, equals, url = first.partition("=")
    assert (name, equals) == ("# yaml-language-server: $schema", "=")
    assert url.isascii()
    assert " " not in url
    assert Path(unquote(url.removeprefix("file://"))) == SCHEMA_FILE
    assert second.startswith("# 150 examples")


def test_init_prefers_a_schema_beside_the_recipe(here: Path) -> None:
    (here / "recipe.schema.json").write_text(ie("show", "--schema").stdout, encoding="utf-8")
    assert proposed().startswith("# yaml-language-server: $schema=recipe.schema.json\n# 150 examples")


def test_a_name_with_spaces_is_one_word(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = here / "my 环境" / "recipe.json"
    file.parent.mkdir()
    file.write_text("{}", encoding="utf-8")
    monkeypatch.setattr(json_schema, "SCHEMA_FILE", file)
    url = editor_line().removeprefix("# yaml-language-server: $schema=")
    assert url.isascii()
    assert len(url.split()) == 1
    monkeypatch.setattr(json_schema, "SCHEMA_FILE", here / "gone.json")
    assert editor_line() == ""


def test_the_line_changes_no_recipe(here: Path) -> None:
    recipes = []
    for name, text in (("with", proposed()), ("without", proposed().partition("\n")[2])):
        (here / f"{name}.yaml").write_text(text, encoding="utf-8")
        recipes.append(load_recipe(here / f"{name}.yaml", ["training.epochs=3"]))
    assert recipes[0] == recipes[1]
    assert recipes[0].training.epochs == 3


def test_the_line_is_no_description(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "recipes").mkdir()
    (here / "recipes" / "mine.yaml").write_text(proposed(), encoding="utf-8")
    monkeypatch.setattr("ie_cli.recipe.bundled.bundled_directory", lambda: here)
    [recipe] = list_recipes()
    assert recipe.description.startswith("150 examples")
    copied = ie("recipes", "copy", "mine", "copy.yaml")
    assert copied.exit_code == 0, copied.stderr
    assert (here / "copy.yaml").read_text(encoding="utf-8") == proposed()


def test_a_dump_is_valid() -> None:
    shown = ie("show", "quickstart-relations", "--help-fields")
    VALIDATOR.validate(parse(shown.stdout).data)
    assert "card" in Recipe.model_fields
    assert json.loads(schema_text()) == recipe_schema()
