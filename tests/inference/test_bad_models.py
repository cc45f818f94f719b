"""Damaged, mixed and foreign model directories, encoders and recipes: each is reported with its location and a remedy."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.fakes import wordpiece
from support.runner import ie, said
from support.untrained import write_model
from transformers import BertConfig, BertModel

from ie_cli.errors import ModelError
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.integrity import _recipe_fingerprint
from ie_cli.recipe.loader import dump_recipe
from ie_cli.recipe.schema import TrainingSection

MIXED = "hint: copy the complete model directory: its files belong together."
BACKUP = "hint: restore the directory from a backup, or train again."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models in `a`, `b` and `c`: `b` is of one shape with `a`, `c` has a label more."""
    directory = tmp_path_factory.mktemp("models")
    write_model(directory / "a")
    write_model(directory / "b", labels=("film", "river"))
    write_model(directory / "c", labels=("film", "river", "school"))
    return directory


@pytest.fixture
def here(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `a` in `model`, and a text."""
    shutil.copytree(models / "a", tmp_path / "model")
    (tmp_path / "x.jsonl").write_text('{"text": "王伟在青川"}\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*parts: str, model: str = "model") -> None:
    """Prediction must end with these words."""
    result = ie("predict", "x.jsonl", "--model", model)
    assert result.exit_code == 1, result.output
    for part in parts:
        assert part in said(result), result.stderr


Change = Callable[[dict[str, Any]], None]


def edit(file: str, change: Change | dict[str, Any]) -> None:
    """Change some fields of a JSON file of the model."""
    path = Path("model", file)
    fields = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(change, dict):
        fields |= change
    else:
        change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")


FILES = ("ie.json", "config.json", "tokenizer.json", "model.safetensors", "recipe.yaml")


@pytest.mark.parametrize("name", [*FILES, "metrics.json"])
@pytest.mark.parametrize("content", [b"", None, b"\x80\x81\xff" * 50, b"[" * 100_000, b"[]", b"null", b"3"])
def test_a_damaged_file_is_named(here: Path, name: str, content: bytes | None) -> None:
    file = here / "model" / name
    raw = file.read_bytes()
    # A recipe that ends between two lines may still be valid, so it ends within a key.
    end = raw.index(b"\nhead:") + 3 if name == "recipe.yaml" else len(raw) // 3
    file.write_bytes(raw[:end] if content is None else content)
    refused(f"error: {Path('model', name)}", "hint: ", "backup")


@pytest.mark.parametrize("name", FILES)
def test_a_directory_in_place_of_a_file(here: Path, name: str) -> None:
    (here / "model" / name).unlink()
    (here / "model" / name).mkdir()
    refused(f"model: not a model directory: {name} missing", "hint: name the directory `model`")


@pytest.mark.parametrize(
    ("other", "name", "words"),
    [
        ("b", "ie.json", "model.safetensors: this is not the file that was stored with ie.json"),
        ("b", "model.safetensors", "model.safetensors: this is not the file that was stored with ie.json"),
        (
            "c",
            "ie.json",
            "the weights do not fit config.json, ie.json and recipe.yaml: "
            "heads.ner_head.tables.entities.bias.weight has the shape [4,",
        ),
        (
            "c",
            "model.safetensors",
            "the weights do not fit config.json, ie.json and recipe.yaml: heads.ner_head.tables.entities.bias",
        ),
    ],
)
def test_files_of_two_models(models: Path, here: Path, other: str, name: str, words: str) -> None:
    shutil.copy(models / other / name, here / "model" / name)
    refused(words, MIXED)


def test_recipes_of_two_models(here: Path) -> None:
    file = here / "model" / "recipe.yaml"
    stored = file.read_text(encoding="utf-8")
    file.write_text(stored.replace("tokenization: subword", "tokenization: char"), encoding="utf-8")
    refused("recipe.yaml: this is not the file that was stored with ie.json", MIXED)
    file.write_text(stored.replace("head_size: 32", "head_size: 34"), encoding="utf-8")
    refused(
        "model.safetensors: the weights do not fit",
        "heads.ner_head.tables.entities.projection.weight has the shape [64, 192], expected [68, 192]",
        MIXED,
    )
    file.write_text(
        stored.replace("task: ner", "task: relation").replace("efficient_global_pointer", "gplinker"), "utf-8"
    )
    refused("model: recipe.yaml has the tasks relation, but ie.json has ner", MIXED)
    facts = (here / "model" / "ie.json").read_text(encoding="utf-8")
    edit("ie.json", lambda fields: fields.update(tasks={"relation": fields["tasks"]["ner"]}))
    refused("model: recipe.yaml has task: relation, but ie.json has no predicates", MIXED)
    (here / "model" / "ie.json").write_text(facts, encoding="utf-8")
    # What the weights do not depend on may be changed.
    changed = stored.replace("threshold: auto", "threshold: 0.6").replace("epochs: 40", "epochs: 3")
    assert "threshold: 0.6" in changed
    file.write_text(changed, "utf-8")
    assert ie("predict", "x.jsonl", "--model", "model").exit_code == 0


def fewer(fields: dict[str, Any]) -> None:
    for token in list(fields["model"]["vocab"])[6:]:
        del fields["model"]["vocab"][token]


def shuffled(fields: dict[str, Any]) -> None:
    ids = fields["model"]["vocab"]
    fields["model"]["vocab"] = dict(zip(ids, reversed(ids.values()), strict=True))


def larger(fields: dict[str, Any]) -> None:
    fields["model"]["vocab"]["zzz"] = 10**6


def without_unknown(fields: dict[str, Any]) -> None:
    fields["model"]["unk_token"] = "[NOPE]"


def beyond(fields: dict[str, Any]) -> None:
    fields["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [102]


def twice(fields: dict[str, Any]) -> None:
    fields["model"]["vocab"]["[UNK]"] = 7


def panics(fields: dict[str, Any]) -> None:
    fields["post_processor"]["special_tokens"] = {}


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        (fewer, "tokenizer.json: this is not the file that was stored with ie.json", MIXED),
        (shuffled, "tokenizer.json: this is not the file that was stored with ie.json", MIXED),
        (
            larger,
            "tokenizer.json: it has ids up to 1000000, but the embedding has only 13 rows",
            "hint: tokenizer and weights",
        ),
        (
            beyond,
            "tokenizer.json: it has ids up to 102, but the embedding has only 13 rows",
            "hint: tokenizer and weights",
        ),
        (twice, "tokenizer.json: damaged: two tokens have the same id", BACKUP),
        (without_unknown, "tokenizer.json: damaged: ", BACKUP),
        (panics, "tokenizer.json: damaged: ", BACKUP),
    ],
)
def test_a_tokenizer_that_does_not_match(here: Path, change: Change, words: str, hint: str) -> None:
    edit("tokenizer.json", change)
    refused(words, hint)


def test_a_config_of_a_size_that_no_memory_has(here: Path) -> None:
    edit("config.json", {"vocab_size": 10**10})
    refused("error: out of memory: model/config.json hint: ", "raise the memory limit")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"num_attention_heads": 2},
            "config.json: this is not the file that was stored with ie.json",
        ),  # of no other shape
        ({"num_hidden_layers": 1}, "encoder.encoder.layer.1.attention.output.LayerNorm.bias has no place in the model"),
        ({"num_hidden_layers": 5}, "encoder.encoder.layer.2.attention.output.LayerNorm.bias is missing"),
        ({"num_hidden_layers": 10**7}, "config.json: damaged: 10000000 layers, but model.safetensors has"),
        ({"hidden_size": 96}, "word_embeddings.weight has the shape [13, 192], expected [13, 96]"),
        ({"hidden_size": -4}, "config.json: damaged: "),
        ({"hidden_size": "x"}, "config.json: damaged: "),
        ({"num_attention_heads": 5}, "config.json: damaged: "),
        ({"num_attention_heads": 0}, "config.json: damaged: num_attention_heads is 0"),
        ({"num_attention_heads": -1}, "config.json: damaged: num_attention_heads is -1"),
        ({"hidden_act": "nope"}, "config.json: damaged: "),
        ({"vocab_size": 3}, "tokenizer.json: it has ids up to 12, but the embedding has only 3 rows"),
        ({"model_type": "nope"}, "config.json: damaged: "),
    ],
)
def test_a_config_that_does_not_match(here: Path, change: dict[str, Any], words: str) -> None:
    edit("config.json", change)
    refused(words, "hint: ")


def of_task(**change: Any) -> Change:
    """Change what is known of the one task."""
    return lambda fields: fields["tasks"]["ner"].update(change)


def renamed(fields: dict[str, Any]) -> None:
    fields["tasks"]["names"] = fields["tasks"].pop("ner")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pad_id": -1}, "ie.json: damaged: pad_id is -1"),
        ({"pad_id": 10**30}, "ie.json: damaged: pad_id is 1000000000"),
        ({"pad_id": 10**6}, "ie.json: pad_id is 1000000, but the embedding has 13 rows"),
        (of_task(labels="ab"), "ie.json: damaged: labels must be a list of names"),
        (of_task(predicates={"p": "ab"}), "ie.json: damaged: predicates must map names to pairs of types"),
        (
            of_task(predicates={"p": [["a", "b"]]}),
            "model: recipe.yaml has task: ner, but ie.json has predicates",
        ),
        (of_task(whole_words=1), "ie.json: damaged: whole_words must be true or false, got 1"),
        (of_task(temperature=0), "ie.json: damaged: temperature must be a number between 1e-6 and 1e6, got 0"),
        (of_task(threshold=1.0), "ie.json: damaged: threshold must be a number above 0 and below 1, got 1.0"),
        (of_task(threshold="0.5"), "ie.json: damaged: threshold must be a number above 0 and below 1, got '0.5'"),
        ({"tasks": {}}, "ie.json: damaged: tasks must map names to objects"),
        ({"tasks": {"ner": ["a"]}}, "ie.json: damaged: tasks must map names to objects"),
        (renamed, "model: recipe.yaml has the tasks ner, but ie.json has names"),
        ({"files": ["x"]}, "ie.json: damaged: 'files' must map file names to fingerprints"),
        (of_task(labels=["a"]), "heads.ner_head.tables.entities.bias.weight has the shape [4, 64], expected [2, 64]"),
    ],
)
def test_facts_that_do_not_match(here: Path, change: Change | dict[str, Any], words: str) -> None:
    edit("ie.json", change)
    refused(words, "hint: ")


def test_what_was_changed_on_purpose_can_be_loaded(here: Path) -> None:
    edit("config.json", {"layer_norm_eps": 1e-11})
    refused("If you changed it yourself, remove its line from 'files' in ie.json.")
    edit("ie.json", lambda fields: fields["files"].pop("config.json"))
    assert ie("predict", "x.jsonl", "--model", "model").exit_code == 0


def test_directories_without_fingerprints_are_read(here: Path) -> None:
    edit("ie.json", lambda fields: fields.pop("files"))
    edit("config.json", {"layer_norm_eps": 1e-11})
    assert ie("predict", "x.jsonl", "--model", "model").exit_code == 0


def test_line_ends_may_change_on_the_way(here: Path) -> None:
    for name in ("ie.json", "config.json", "tokenizer.json", "recipe.yaml"):
        file = here / "model" / name
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert ie("predict", "x.jsonl", "--model", "model").exit_code == 0


def test_an_exported_model_has_fingerprints_too(models: Path, here: Path) -> None:
    from ie_cli.inference.integrity import fingerprints, require_consistent
    from ie_cli.inference.model_directory import ONNX

    loaded = Extractor.from_pretrained(here / "model")
    for name, content in ((ONNX, b"graph"), (f"{ONNX}.data", b"weights")):
        (here / name).write_bytes(content)
    stored = fingerprints(here, loaded.recipe)
    assert set(stored) == {ONNX, f"{ONNX}.data", "recipe.yaml"}
    require_consistent(here, loaded.recipe, stored)
    (here / f"{ONNX}.data").write_bytes(b"Weights")
    with pytest.raises(ModelError, match=r"model\.onnx\.data: this is not the file that was stored"):
        require_consistent(here, loaded.recipe, stored)


def write_encoder(directory: Path) -> None:
    config = BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(directory)
    wordpiece().save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


@pytest.mark.parametrize(
    ("name", "content", "commands"),
    [
        ("config.json", "{", "check train"),
        ("config.json", "[]", "check train"),
        ("config.json", '{"model_type": "bert", "max_position_embeddings": "x"}', "check train"),
        ("tokenizer.json", "{", "check train init"),
        ("tokenizer.json", "[" * 100_000, "check train init"),
        ("model.safetensors", "{", "train"),
        ("model.safetensors", "", "train"),
    ],
)
def test_a_damaged_encoder(here: Path, name: str, content: str, commands: str) -> None:
    write_encoder(here / "encoder")
    (here / "encoder" / name).write_text(content)
    write_jsonl(here / "data.jsonl", documents())
    made = recipe(here / "data.jsonl", encoder={"name": "./encoder"}, data={"dev": None})
    (here / "recipe.yaml").write_text(dump_recipe(made), encoding="utf-8")
    for command in commands.split():
        arguments = ["init", "data.jsonl", "--encoder", "./encoder"] if command == "init" else [command, "recipe.yaml"]
        result = ie(*arguments)
        assert result.exit_code == 1, result.output
        assert ("encoder.name: " if command != "init" else os.path.join("encoder", name)) in said(result)
        assert "hint: " in said(result)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./nowhere", "directory ./nowhere not found"),
        ("~nobody-here/bert", "directory ./~nobody-here/bert not found"),
        ("x" * 300, "the config of xxx"),
        (
            "./model",
            "./model is a model trained by `ie train`, not an encoder",
        ),
    ],
)
def test_what_is_no_encoder(here: Path, name: str, words: str) -> None:
    write_jsonl(here / "data.jsonl", documents())
    text = f"name: a\ndata: {{train: data.jsonl}}\nencoder: {{name: {json.dumps(name)}}}\n"
    (here / "recipe.yaml").write_text(text, encoding="utf-8")
    for command in ("check", "train"):
        result = ie(command, "recipe.yaml")
        assert result.exit_code == 1
        assert f"error: encoder.name: {words}" in said(result)
        assert "hint: " in said(result)


def test_init_reports_a_directory_that_does_not_exist(here: Path) -> None:
    write_jsonl(here / "data.jsonl", documents())
    for name in ("./nowhere", "~nobody-here/bert", "/no/such/directory"):
        result = ie("init", "data.jsonl", "--encoder", name)
        assert result.exit_code == 1
        assert f"error: --encoder {name}: no such directory hint: name a hub id" in said(result)
    assert ie("init", "data.jsonl", "--encoder", "bert-base-chinese").exit_code == 0


def test_a_window_that_fits_no_memory(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(config: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    write_jsonl(here / "data.jsonl", documents())
    monkeypatch.setattr("ie_cli.modeling.encoder.build_encoder", build)
    made = recipe(here / "data.jsonl", encoder={"name": "tiny", "max_length": 10**6}, data={"dev": None})
    (here / "recipe.yaml").write_text(dump_recipe(made), encoding="utf-8")
    result = ie("train", "recipe.yaml")
    assert result.exit_code == 1
    assert "max_length 1000000 and 2 layers does not fit in memory: DefaultCPUAllocator" in said(result)
    assert "hint: set encoder.max_length to 512 or less" in said(result)


@pytest.mark.parametrize(("version", "mark"), [(2, "896e1935824b6f67"), (3, "9e320a2db79711f5")])
def test_fingerprints_do_not_change_with_the_version(version: int, mark: str) -> None:
    """A mark that came out otherwise would refuse every directory that was stored before."""
    made = recipe(Path("train.jsonl"))
    assert _recipe_fingerprint(made, version) == mark
    assert _recipe_fingerprint(made.model_copy(update={"training": TrainingSection(batch_size=3)}), version) == mark
    flat = made.head.model_copy(update={"flat": True, "threshold": 0.3, "thresholds": {"person": 0.7}})
    assert _recipe_fingerprint(made.model_copy(update={"head": flat}), version) == mark
    assert _recipe_fingerprint(made.model_copy(update={"name": "other"}), version) != mark
    wider = made.head.model_copy(update={"head_size": 64})
    assert _recipe_fingerprint(made.model_copy(update={"head": wider}), version) != mark


def test_a_window_longer_than_the_encoder_is_reported(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model")
    file = directory / "recipe.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("max_length: 64", "max_length: 256"), encoding="utf-8")
    with pytest.raises(ModelError, match="max_length is 256, but the encoder has 64 positions") as error:
        Extractor.from_pretrained(directory, device="cpu")
    assert "recipe.yaml" in error.value.message


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_whitespace_around_a_file_does_not_change_it(name: str, tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model")
    with (directory / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert Extractor.from_pretrained(directory, device="cpu").schema.labels == ("person", "place")
