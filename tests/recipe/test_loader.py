from __future__ import annotations

import os
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.errors import RecipeError
from ie_cli.formats.registry import READING_OPTIONS
from ie_cli.recipe.heads import HEADS, EfficientGlobalPointerSection, GlobalPointerSection
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.recipe.schema import FROM_SCRATCH, SCRATCH_RATE, DataSection, EncoderSection, Recipe, TrainingSection

HEAD_FIELDS = list(dict.fromkeys(field for spec in HEADS.values() for field in spec.section.model_fields))

SMALL = "name: a\ndata: {train: t.jsonl}\nencoder: {name: tiny}\n"


def load(tmp_path: Path, text: str, *overrides: str, stored: bool = True) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides, stored=stored)


def complaint(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    """Return the lines of the error, without the directory."""
    with pytest.raises(RecipeError) as raised:
        load(tmp_path, text, *overrides)
    return [line.removeprefix(f"{tmp_path}{os.sep}") for line in raised.value.message.split("\n")]


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    recipe = load(tmp_path, SMALL)
    assert recipe.encoder.max_length == 256
    assert recipe.head == EfficientGlobalPointerSection()
    assert recipe.training == TrainingSection()


@pytest.mark.parametrize(
    "head",
    ["head: {head_size: 32}", "head:\n  head_size: 32", "head: {name: efficient_global_pointer, head_size: 32}"],
)
def test_a_head_without_a_name_is_the_default_one(tmp_path: Path, head: str) -> None:
    assert load(tmp_path, SMALL + head).head == EfficientGlobalPointerSection(head_size=32)


def test_a_head_may_be_just_its_name(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL + "head: global_pointer").head == GlobalPointerSection(name="global_pointer")
    recipe = load(tmp_path, SMALL + "head: global_pointer", "head.flat=true")
    assert recipe.head == GlobalPointerSection(name="global_pointer", flat=True)


def test_sections_without_content_are_all_defaults(tmp_path: Path) -> None:
    recipe = load(tmp_path, SMALL + "head:\ntraining:\n  # epochs: 3\n")
    assert recipe == load(tmp_path, SMALL)


def test_labels_that_look_like_something_else(tmp_path: Path) -> None:
    recipe = load(tmp_path, "name: a\ndata: {train: t, labels: [NO, on, '1', 'null']}\nencoder: {name: tiny}\n")
    assert recipe.data.labels == ["NO", "on", "1", "null"]


HEAD_FIELDS = list(dict.fromkeys(field for spec in HEADS.values() for field in spec.section.model_fields))
FAULTS = [
    ("epochs: 3", "recipe.yaml:4: unknown key 'epochs'; did you mean 'training.epochs'?"),
    ("trainig: {epochs: 3}", "recipe.yaml:4: unknown key 'trainig'; did you mean 'training'?"),
    ("training: {\n epoch: 3}", "recipe.yaml:5: unknown key 'training.epoch'; did you mean 'training.epochs'?"),
    ("training: {head_size: 3}", "recipe.yaml:4: unknown key 'training.head_size'; did you mean 'head.head_size'?"),
    ("training: {max_lenght: 3}", "recipe.yaml:4: unknown key 'training.max_lenght'; did you mean 'encoder.max_length'?"),
    ("head: {epochs: 3}", "recipe.yaml:4: unknown key 'head.epochs'; did you mean 'training.epochs'?"),
    (
        "head: {xyzzy: 3}",
        f"recipe.yaml:4: unknown key 'head.xyzzy' (known: {', '.join(HEAD_FIELDS)})",
    ),
    ("training:\n  epochs: ten", "recipe.yaml:5: training.epochs: got 'ten', expected an integer above 0 and at most 1,000,000"),
    ("training:\n  epochs: 0", "recipe.yaml:5: training.epochs: got 0, expected an integer above 0 and at most 1,000,000"),
    ("training:\n  epochs: 1.5", "recipe.yaml:5: training.epochs: got 1.5, expected an integer above 0 and at most 1,000,000"),
    ("training:\n  epochs: '3'", "recipe.yaml:5: training.epochs: got '3', expected an integer above 0 and at most 1,000,000"),
    ("training:\n  epochs: true", "recipe.yaml:5: training.epochs: got true, expected an integer above 0 and at most 1,000,000"),
    ("training:\n  epochs:", "recipe.yaml:5: training.epochs: got nothing, expected an integer above 0 and at most 1,000,000"),
    ("training:\n  epochs: [1]", "recipe.yaml:5: training.epochs: got [1], expected an integer above 0 and at most 1,000,000"),
    ("training:\n  epochs: {}", "recipe.yaml:5: training.epochs: got an empty mapping, expected an integer above 0 and at most 1,000,000"),  # noqa: E501
    ("training: {learning_rate: 2e-5x}", "recipe.yaml:4: training.learning_rate: got '2e-5x', expected a number above 0"),
    ("training: {learning_rate: -2E-5}", "recipe.yaml:4: training.learning_rate: got -2E-5, expected a number above 0"),
    ("training: {learning_rate: .inf}", "recipe.yaml:4: training.learning_rate: got .inf, expected a number above 0"),
    ("training: {layer_decay: 2}", "recipe.yaml:4: training.layer_decay: got 2, expected a number above 0 and at most 1"),
    ("training: {warmup: 1}", "recipe.yaml:4: training.warmup: got 1, expected a number from 0 to below 1"),
    ("training: {seed: -1}", "recipe.yaml:4: training.seed: got -1, expected an integer from 0 to below 4,294,967,296"),
    (
        "training: {schedule: lineer}",
        "recipe.yaml:4: training.schedule: got 'lineer', expected 'linear', 'cosine' or 'constant'; did you mean 'linear'?",
    ),
    (
        "training: {trackers: [csv,\n comet]}",
        "recipe.yaml:5: training.trackers[1]: got 'comet', expected 'csv', 'tensorboard', 'wandb' or 'mlflow'",
    ),
    (
        "training: {trackers: csv}",
        "recipe.yaml:4: training.trackers: got 'csv', expected a list of 'csv', 'tensorboard', 'wandb' or 'mlflow'",
    ),
    (
        "training: {label_weights: {PER: 0}}",
        "recipe.yaml:4: training.label_weights.PER: got 0, expected a number above 0",
    ),
    ("training: 3", "recipe.yaml:4: training: got 3, expected a mapping"),
    ("head: 3", "recipe.yaml:4: head: got 3, expected a mapping"),
    ("head: {head_size: 7}", "recipe.yaml:4: head.head_size: got 7, expected an even integer above 0 and at most 4,096"),
    ("head: {rope: yes}", "recipe.yaml:4: head.rope: got 'yes', expected true or false"),
    (
        "head: {\n name: global_pointr}",
        "recipe.yaml:5: head.name: unknown head 'global_pointr'; did you mean 'global_pointer'? "
        f"(heads: {', '.join(HEADS)})",
    ),
    (
        "head: {name: perceptron}",
        f"recipe.yaml:4: head.name: unknown head 'perceptron' (heads: {', '.join(HEADS)})",
    ),
    ("task: nre", "recipe.yaml:4: task: got 'nre', expected 'ner', 'relation' or 'match'; did you mean 'ner'?"),
    ("name: b", "recipe.yaml:4: name: duplicate key, first given in line 1"),
    ("test: !!python/name:os.system", "recipe.yaml:4: the tag !!python/name:os.system is not allowed: a recipe is plain data"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), FAULTS)
def test_an_error_names_the_place_the_value_and_the_expectation(tmp_path: Path, text: str, message: str) -> None:
    assert message in complaint(tmp_path, SMALL + text)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("train: 3", 'data.train: got 3, expected text or a list of texts (put quotes around it: "3")'),
        ("train: ''", "data.train: got an empty string, expected text or a list of texts"),
        ("train: []", "data.train: got [], expected text or a list of texts"),
        ("train: [a, 2]", 'data.train[1]: got 2, expected text (put quotes around it: "2")'),
        ("train: t, dev: 1.5", "data.dev: got 1.5, expected text or a list of texts or a number above 0 and below 1"),
        ("train: t, dev: true", "data.dev: got true, expected text or a list of texts or a number above 0 and below 1"),
        ("train: t, labels: [1e3]", 'data.labels[0]: got 1e3, expected text (put quotes around it: "1e3")'),
        ("train: t, labels: [A, '']", "data.labels[1]: got an empty string, expected text"),
        ("train: t, labels: [A, B, A]", "data.labels[2]: the label 'A' is listed twice"),
        (
            "train: t, format: text, joiner: ''",
            f"data.joiner: applies only to format {', '.join(READING_OPTIONS['joiner'])}, but data.format is text",
        ),
        ("dev: d", "data.train is missing"),
        ("Train: t", "data.train is missing"),
        ("Train: t", "unknown key 'data.Train'; did you mean 'data.train'?"),
    ],
)
def test_errors_of_the_data_section(tmp_path: Path, data: str, message: str) -> None:
    lines = complaint(tmp_path, f"name: a\nencoder: {{name: tiny}}\ndata: {{{data}}}\n")
    assert f"recipe.yaml:3: {message}" in lines


def test_all_errors_at_once_by_line_including_inconsistencies(tmp_path: Path) -> None:
    text = (
        "name: a\n"
        "data: {train: t.jsonl, labels: [PER, PER]}\n"
        "encoder:\n"
        "  name: tiny\n"
        "  max_length: 64\n"
        "  stride: 64\n"
        "head: {thresholds: {PRE: 0.3}, flat: maybe}\n"
        "training:\n"
        "  epochs: 0\n"
        "  label_weights: {LOC: 2.0}\n"
    )
    assert complaint(tmp_path, text, "training.epoch=1") == [
        "recipe.yaml:2: data.labels[1]: the label 'PER' is listed twice",
        "recipe.yaml:6: encoder.stride: got 64, expected at most 61 (recommended: 16), because windows of "
        "encoder.max_length 64, including 2 special tokens, must advance",
        "recipe.yaml:7: head.flat: got 'maybe', expected true or false",
        "recipe.yaml:7: head.thresholds.PRE: data.labels has no label 'PRE'; did you mean 'PER'?",
        "recipe.yaml:9: training.epochs: got 0, expected an integer above 0 and at most 1,000,000",
        "recipe.yaml:10: training.label_weights.LOC: data.labels has no label 'LOC'",
        "--set training.epoch=1: unknown key 'training.epoch'; did you mean 'training.epochs'?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "recipe.yaml:1: expected a mapping with name, data and encoder, got nothing"),
        ("# only\n", "recipe.yaml:1: expected a mapping with name, data and encoder, got nothing"),
        ("- a\n- b\n", "recipe.yaml:1: expected a mapping with name, data and encoder, got a list"),
        ("hello", "recipe.yaml:1: expected a mapping with name, data and encoder, got a single value"),
        ("name: a: b", "recipe.yaml:1: not valid YAML: mapping values are not allowed here"),
    ],
)
def test_no_recipe_at_all(tmp_path: Path, text: str, message: str) -> None:
    assert complaint(tmp_path, text) == [message]


def test_missing_sections_are_reported_at_the_first_line(tmp_path: Path) -> None:
    assert complaint(tmp_path, "# a\n\nname: a\n") == [
        "recipe.yaml:3: data is missing",
        "recipe.yaml:3: encoder is missing",
    ]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.epochs=1", {"epochs": 1}),
        ("training.learning_rate=2e-5", {"learning_rate": 2e-5}),
        ("training.trackers=[csv, tensorboard]", {"trackers": ["csv", "tensorboard"]}),
        ("training.clip=null", {"clip": None}),
        ("training.epochs=null", {}),
        ("training.epochs=", {}),
        ("training={epochs: 7}", {"epochs": 7}),
        ("training.label_weights.book.title=2", {"epochs": 3, "label_weights": {"book.title": 2.0}}),
        ("training.label_weights={NO: 2}", {"epochs": 3, "label_weights": {"NO": 2.0}}),
        ("training=null", {}),
    ],
)
def test_overrides(tmp_path: Path, override: str, value: dict[str, Any]) -> None:
    recipe = load(tmp_path, SMALL + "training: {epochs: 3}", override)
    default = {"epochs": 3} if "epochs" not in override and override != "training=null" else {}
    assert recipe.training == TrainingSection.model_validate(default | value)


def test_the_last_override_wins(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, "training.epochs=1", "training.epochs=2").training.epochs == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epoch=1", "unknown key 'training.epoch'; did you mean 'training.epochs'?"),
        ("epochs=1", "unknown key 'epochs'; did you mean 'training.epochs'?"),
        ("training.epochs=ten", "training.epochs: got 'ten', expected an integer above 0 and at most 1,000,000"),
        ("training.epochs.x=1", "training.epochs: got a mapping, expected an integer above 0 and at most 1,000,000"),
        ("training.label_weights={a: 0}", "training.label_weights.a: got 0, expected a number above 0"),
        ("encoder.stride=300", "encoder.stride: got 300, expected at most 253 (recommended: 64), because windows of "
         "encoder.max_length 256, including 2 special tokens, must advance"),
        ("name=2024", 'name: got 2024, expected letters, digits, \'.\', \'_\' and \'-\', starting with a letter or digit '
         '(put quotes around it: "2024")'),
        ("training.epochs", "expected section.key=value, e.g. training.epochs=1"),
        ("=1", "expected section.key=value, e.g. training.epochs=1"),
        ("training..epochs=1", "expected section.key=value, e.g. training.epochs=1"),
        ("training={", "not valid YAML: expected the node content, but found '<stream end>' while parsing a flow node"),
        ("head=!!python/name:os.system", "the tag !!python/name:os.system is not allowed: a recipe is plain data"),
    ],
)  # fmt: skip
def test_errors_of_overrides_name_the_override(tmp_path: Path, override: str, message: str) -> None:
    assert complaint(tmp_path, SMALL, override) == [f"--set {override}: {message}"]


def test_paths_are_relative_to_the_recipe_and_those_of_overrides_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "bert").mkdir()
    (tmp_path / "recipes" / "r.yaml").write_text(
        "name: a\ndata: {train: [../d/t.jsonl, s3://b/t, 'hub:org/x', /abs/t], dev: d.jsonl}\nencoder: {name: bert}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("recipes/r.yaml", ["data.dev=mine.jsonl", "data.test=-"])
    absolute = os.path.normpath("/abs/t")
    assert recipe.data.train == [os.path.join("d", "t.jsonl"), "s3://b/t", "hub:org/x", absolute]
    assert recipe.data.dev == "mine.jsonl"
    assert recipe.data.test == "-"
    assert recipe.encoder.name == os.path.join(".", "recipes", "bert")
    monkeypatch.chdir(tmp_path / "recipes")
    assert load_recipe("r.yaml").data.train == [os.path.join("..", "d", "t.jsonl"), "s3://b/t", "hub:org/x", absolute]


def test_a_vocabulary_is_for_the_encoder_that_makes_its_own(tmp_path: Path) -> None:
    encoder = "name: a\ndata: {train: t.jsonl}\nencoder:\n  name: %s\n  vocabulary: words\n"
    assert load(tmp_path, encoder % "tiny").encoder.vocabulary == "words"
    assert complaint(tmp_path, encoder % "bert-base-cased") == [
        "recipe.yaml:5: encoder.vocabulary: is for the encoder tiny; bert-base-cased has a vocabulary of its own"
    ]
    assert "encoder.vocabulary is words" in complaint(tmp_path, encoder % "tiny", "encoder.tokenization=char")[0]


def test_hash_cnn_has_a_learning_rate_and_no_options_of_other_encoders(tmp_path: Path) -> None:
    recipe = "name: a\ndata: {train: t.jsonl}\nencoder:\n  name: hash_cnn\n"
    assert load(tmp_path, recipe).training.learning_rate == SCRATCH_RATE
    assert load(tmp_path, recipe, "training.learning_rate=2e-5").training.learning_rate == 2e-5
    assert complaint(tmp_path, f"{recipe}  vocabulary: words\n") == [
        "recipe.yaml:5: encoder.vocabulary: is for the encoder tiny; hash_cnn needs none"
    ]
    [found] = complaint(tmp_path, f"{recipe}  gradient_checkpointing: true\n")
    assert "encoder.gradient_checkpointing: hash_cnn does not support this option" in found


@pytest.mark.parametrize("name", ["tiny", "hash_cnn", "bert-base-chinese", "org/model", "/no/such/directory"])
def test_names_that_are_not_a_directory_here_stay(tmp_path: Path, name: str) -> None:
    for built in FROM_SCRATCH:
        (tmp_path / built).mkdir()
    assert load(tmp_path, SMALL, f"encoder.name={name}", stored=False).encoder.name == name


def test_a_missing_relative_directory_stays_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(SMALL.replace("tiny", "./bert"), encoding="utf-8")
    assert load_recipe("r.yaml").encoder.name == os.path.join(".", "bert")


def test_a_share_of_train_stays_a_number(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL, "data.dev=0.1", stored=False).data.dev == 0.1


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(SMALL, encoding="utf-8")
    with pytest.raises(RecipeError) as raised:
        load_recipe(tmp_path / "recip.yaml")
    assert raised.value.message == f"{tmp_path / 'recip.yaml'}: no such recipe; did you mean 'recipe.yaml'?"


def test_a_directory_is_not_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="directory|denied"):
        load_recipe(tmp_path)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"name: a\n# caf\xe9\n")
    with pytest.raises(RecipeError, match=r"(?m)r\.yaml:2: not UTF-8$"):
        load_recipe(tmp_path / "r.yaml")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_as_editors_and_shells_write_them(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "r.yaml").write_text(SMALL.replace("\n", "\r\n"), encoding=encoding)
    assert load_recipe(tmp_path / "r.yaml").name == "a"


def test_data_in_place_of_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "a", "entities": []}\n{"text": "b"}\n', encoding="utf-8")
    with pytest.raises(RecipeError, match=r"train\.jsonl:2: not valid YAML") as raised:
        load_recipe(tmp_path / "train.jsonl")
    assert "`ie init DATA -o recipe.yaml`" in str(raised.value.hint)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text("#" * 2_000_000, encoding="utf-8")
    with pytest.raises(RecipeError, match="too large for a recipe: more than 1,000,000 bytes"):
        load_recipe(tmp_path / "big.yaml")


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=15) | st.sampled_from(
    ["NO", "on", "1e3", "null", "~", "a: b", "- x", "#x", "\u2028"]
)
labels = st.lists(texts, min_size=1, max_size=4, unique=True)
shares = st.floats(0, 1, exclude_min=True, exclude_max=True)
rates = st.floats(0, 1e6, exclude_min=True)
sources = texts | st.lists(texts, min_size=1, max_size=3)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    names = draw(labels)
    heads: Any = draw(st.sampled_from([EfficientGlobalPointerSection, GlobalPointerSection]))
    name = heads.model_json_schema()["properties"]["name"]["const"]
    thresholds = draw(st.dictionaries(st.sampled_from(names), shares))
    data = DataSection(
        train=draw(sources),
        dev=draw(st.none() | sources | shares),
        test=draw(st.none() | sources),
        format=draw(st.none() | st.just("conll")),
        labels=draw(st.none() | st.just(names)),
        text_column=draw(st.integers(-3, 3)),
        label_columns=draw(st.none() | st.lists(st.integers(-3, 3))),
        joiner=draw(st.none() | texts | st.just("")),
    )
    training = TrainingSection(
        epochs=draw(st.integers(1, 10**6)),
        learning_rate=draw(rates),
        weight_decay=draw(st.just(0.0) | rates),
        clip=draw(st.none() | rates),
        seed=draw(st.integers(0, 2**32 - 1)),
        label_weights=draw(st.dictionaries(st.sampled_from(names), rates)),
        trackers=draw(st.sampled_from([[], ["csv"], ["tensorboard", "csv"], ["wandb", "mlflow"]])),
    )
    return Recipe(
        name=draw(st.text(string.ascii_letters + string.digits + "._-", max_size=10).map(lambda text: "1" + text)),
        data=data,
        encoder=EncoderSection(name=draw(texts), dropout=draw(st.none() | st.floats(0, 1))),
        head=heads(name=name, flat=draw(st.booleans()), thresholds=thresholds),
        training=training,
    )


@given(recipes(), st.booleans())
def test_a_dumped_recipe_loads_as_itself(
    tmp_path_factory: pytest.TempPathFactory, recipe: Recipe, explain: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(dump_recipe(recipe, explain=explain), encoding="utf-8")
    assert load_recipe(path, stored=True) == recipe


def test_the_dump_explains_every_field() -> None:
    recipe = Recipe(name="a", data=DataSection(train="t"), encoder=EncoderSection(name="tiny"))
    lines = dump_recipe(recipe, explain=True).splitlines()
    fields = [number for number, line in enumerate(lines) if line and not line.lstrip().startswith("#")]
    assert len(fields) > 45
    assert all(lines[number - 1].lstrip().startswith("# ") for number in fields)
    schedule = lines[lines.index("  schedule: linear") - 1]
    assert schedule.startswith("  # Learning rate")
    assert schedule.endswith("['linear', 'cosine' or 'constant']")


def test_no_jargon_in_any_expectation() -> None:
    explained = dump_recipe(
        Recipe(name="a", data=DataSection(train="t"), encoder=EncoderSection(name="tiny")), explain=True
    )
    assert "[]" not in explained
    assert "pydantic" not in explained
