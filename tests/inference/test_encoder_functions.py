"""A model keeps the activation and the attention that it was trained with: stored, loaded, exported, trained further."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from support.corpora import documents, recipe, write_jsonl
from support.fakes import wordpiece
from support.heads import built, codec_of_head
from transformers import AttentionInterface, AutoModel, BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.activations import ACT2FN

import ie_cli.export.onnx
from ie_cli.doctor.data_checks import check
from ie_cli.errors import ModelError, RecipeError
from ie_cli.export.onnx import export_onnx
from ie_cli.inference.backends.onnx import OnnxBackend
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import ONNX
from ie_cli.modeling.encoder import apply_options, build_encoder, load_encoder
from ie_cli.modeling.model import ExtractionModel
from ie_cli.modeling.squareplus import SquarePlus
from ie_cli.recipe.encoder_functions import activation_name, attention_name
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import EncoderSection, Recipe
from ie_cli.training.events import Started
from ie_cli.training.run import train
from ie_cli.training.setup import prepare

OPTIONS = {
    "activation": "squareplus", "squareplus_b": 1.5,
    "attention_scale": "log_n", "attention_base": 8, "attention_floor": 2,
}  # fmt: skip
ACTIVATION, ATTENTION = "ie_squareplus_1.5", "ie_log_n_8_2"
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 400,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", documents())


def made(data: Path, **options: Any) -> Recipe:
    training = {"epochs": 1, **options.pop("training", {})}
    return recipe(data, encoder={**OPTIONS, **options}, training=training)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained") / "run"
    events = list(train(made(data), directory))
    assert not [event.changes for event in events if isinstance(event, Started) and event.changes]  # it is `tiny`
    return directory / "model"


def load(path: Path) -> Extractor:
    return Extractor.from_pretrained(path, device="cpu", precision="float32")


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 15, (3, 12), generator=torch.Generator().manual_seed(0))
    return ids, torch.arange(12) < torch.tensor([[12], [8], [3]])


def hidden(model: Any) -> torch.Tensor:
    ids, mask = batch()
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(input_ids=ids, attention_mask=mask).last_hidden_state[mask]
    return found


def test_the_stored_model_names_its_functions_and_uses_them(trained: Path) -> None:
    config = json.loads((trained / "config.json").read_text())
    assert (config["hidden_act"], config["attn_implementation"]) == (ACTIVATION, ATTENTION)
    encoder: Any = load(trained).model.encoder
    assert [module.b for module in encoder.modules() if isinstance(module, SquarePlus)] == [1.5, 1.5]
    assert encoder.config._attn_implementation == ATTENTION
    usual = BertConfig.from_dict({**config, "hidden_act": "gelu", "attn_implementation": "sdpa"})
    other = build_encoder(usual)
    other.load_state_dict(encoder.state_dict())
    assert not torch.allclose(hidden(encoder), hidden(other), atol=1e-3)
    activation = BertConfig.from_dict({**config, "attn_implementation": "sdpa"})
    third = build_encoder(activation)
    third.load_state_dict(encoder.state_dict())
    assert not torch.allclose(hidden(encoder), hidden(third), atol=1e-4)


def test_a_copy_of_the_model_names_them_too(trained: Path, tmp_path: Path) -> None:
    load(trained).save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / "config.json").read_text() == (trained / "config.json").read_text()
    torch.testing.assert_close(hidden(load(tmp_path / "copy").model.encoder), hidden(load(trained).model.encoder))


def test_a_library_that_does_not_know_the_functions_refuses_the_model(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = hidden(load(trained).model.encoder)
    transformers.utils.logging.set_verbosity_error()
    torch.testing.assert_close(hidden(AutoModel.from_pretrained(trained)), expected)  # registered in this process
    monkeypatch.delitem(AttentionInterface._global_mapping, ATTENTION)
    with pytest.raises(ValueError, match=ATTENTION):
        AutoModel.from_pretrained(trained)
    monkeypatch.delitem(ACT2FN, ACTIVATION)
    shutil.copytree(trained, tmp_path / "model")
    config = json.loads((trained / "config.json").read_text())
    del config["attn_implementation"]
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(KeyError, match=ACTIVATION):
        AutoModel.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("recipe.yaml", "activation: squareplus", "activation: null", "squareplus_b"),
        (
            "recipe.yaml",
            "squareplus_b: 1.5",
            "squareplus_b: 1.25",
            "ie_squareplus_1.5, but ie_squareplus_1.25 in recipe",
        ),
        (
            "recipe.yaml",
            "attention_floor: 2",
            "attention_floor: 3",
            "the attention is ie_log_n_8_2, but ie_log_n_8_3 in recipe",
        ),
        (
            "config.json",
            f'"{ACTIVATION}"',
            '"gelu"',
            "the activation is the usual one, but ie_squareplus_1.5 in recipe",
        ),
        ("config.json", f'"{ATTENTION}"', '"sdpa"', "the attention is the usual one, but ie_log_n_8_2 in recipe"),
    ],
)
def test_files_that_name_different_functions_are_an_error(
    file: str, old: str, new: str, message: str, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "ie.json").read_text())
    for field in ("files", "checksums"):  # otherwise these report the change first
        facts.pop(field, None)
    (tmp_path / "model" / "ie.json").write_text(json.dumps(facts))
    path = tmp_path / "model" / file
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises((ModelError, RecipeError), match=message):
        load(tmp_path / "model")


@pytest.mark.parametrize("field", ["attn_implementation", "experts_implementation"])
@pytest.mark.parametrize("name", ["ie_evil/kernel", "ie_log_n_8_2/kernel", "ie_log_n_512_16"])
def test_a_name_of_our_kind_is_no_way_to_other_code(field: str, name: str, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: name}), encoding="utf-8")
    facts = json.loads((tmp_path / "model" / "ie.json").read_text())
    (tmp_path / "model" / "ie.json").write_text(json.dumps({**facts, "files": {}, "checksums": {}}))
    with pytest.raises(
        ModelError, match=f"requires {field} '{name}'|the attention is {name}, but ie_log_n_8_2 in recipe"
    ):
        load(tmp_path / "model")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": None, "squareplus_b": 0.3927}, "encoder.activation: got None, but .* has squareplus"),
        ({"squareplus_b": 4.0}, "encoder.squareplus_b: got 4.0, but .* has 1.5"),
        (
            {"attention_scale": None, "attention_base": 512, "attention_floor": 16},
            "encoder.attention_scale: got None, but .* has log_n",
        ),
        ({"attention_floor": 3}, "encoder.attention_floor: got 3, but .* has 2"),
    ],
)
def test_a_run_from_the_model_requires_its_functions(
    options: dict[str, Any], message: str, trained: Path, data: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        prepare(made(data, **options, training={"init_from": str(trained)}))


def test_a_recipe_that_switches_one_off_is_an_error_about_that_option(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(
        f"name: a\ndata: {{train: '{data}'}}\nencoder: {{attention_scale: null}}\ntraining: {{init_from: '{trained}'}}\n"
    )
    wanted = load_recipe(file)
    assert (wanted.encoder.attention_scale, wanted.encoder.activation) == (None, "squareplus")
    with pytest.raises(RecipeError, match="encoder.attention_scale: got None, but .* has log_n"):
        prepare(wanted)


def test_a_run_from_the_model_has_its_functions(trained: Path, data: Path) -> None:
    setup = prepare(made(data, training={"init_from": str(trained)}))
    encoder: Any = setup.model.encoder
    assert encoder.config._attn_implementation == ATTENTION
    torch.testing.assert_close(hidden(encoder), hidden(load(trained).model.encoder))
    plain = prepare(recipe(data))
    assert plain.model.encoder.config.hidden_act == "gelu"  # type: ignore[union-attr]


@pytest.mark.slow
def test_an_export_computes_the_same(trained: Path, tmp_path: Path) -> None:
    parity = export_onnx(load(trained), tmp_path / "onnx", documents(), force=True)
    assert parity.largest < 1e-3
    texts = [document.text for document in documents()]
    for old, new in zip(
        load(trained).extract(texts), Extractor.from_pretrained(tmp_path / "onnx").extract(texts), strict=True
    ):
        assert [(e.start, e.end, e.label) for e in old.entities] == [(e.start, e.end, e.label) for e in new.entities]


@pytest.mark.slow
def test_a_graph_counts_the_tokens_of_local_attention(tmp_path: Path) -> None:
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    config = transformers.ModernBertConfig(**SIZES | ids, local_attention=4)
    apply_options(config, EncoderSection.model_validate({"name": "x", "max_length": 32, "stride": 8, **OPTIONS}))
    torch.manual_seed(0)
    model = ExtractionModel(
        build_encoder(config), {"task": built("global_pointer", hidden_size=16, head_size=8)}
    ).eval()
    ie_cli.export.onnx._write_graph(model, tmp_path / ONNX)
    assert model.encoder.config._attn_implementation == ATTENTION  # type: ignore[union-attr]
    before = TorchBackend(model, "float32")
    after = OnnxBackend(tmp_path / ONNX, {"task": codec_of_head("global_pointer")})
    for tokens, mask in (tuple(part.numpy() for part in batch()), (np.full((1, 20), 7), np.ones((1, 20), dtype=bool))):
        one, other = (next(backend.run(tokens, mask)["task"].matrix("entities")) for backend in (before, after))
        for name, array in one.items():
            rows = np.broadcast_to(
                mask[:, None, :, None], array.shape
            )  # padding may see nothing: its rows are arbitrary
            np.testing.assert_allclose(array[rows], other[name][rows], atol=2e-5)


def save(directory: Path) -> Path:
    """Save a pretrained encoder."""
    torch.manual_seed(0)
    BertModel(BertConfig(max_position_embeddings=64, **SIZES)).save_pretrained(directory)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=wordpiece(), unk_token="[UNK]", pad_token="[PAD]")
    tokenizer.save_pretrained(directory)
    return directory


def test_a_pretrained_encoder_gets_them_with_a_warning(data: Path, tmp_path: Path) -> None:
    name = str(save(tmp_path / "encoder"))
    wanted = made(data, name=name)
    encoder, _ = load_encoder(wanted.encoder)
    assert encoder.config.hidden_act == activation_name(wanted.encoder)  # type: ignore[union-attr]
    assert encoder.config._attn_implementation == attention_name(wanted.encoder)  # type: ignore[union-attr]
    warnings = [finding.text for finding in check(wanted) if finding.kind == "warning"]
    events = train(wanted, tmp_path / "run")
    started = next(event for event in events if isinstance(event, Started))
    events.close()  # type: ignore[attr-defined]
    assert len(started.changes) == 2
    assert set(started.changes) <= set(warnings)


def test_the_encoder_of_such_a_model_alone_requires_its_options(trained: Path, data: Path, tmp_path: Path) -> None:
    extractor = load(trained)
    encoder: Any = extractor.model.encoder
    encoder.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(trained / name, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    plain = recipe(data, encoder={"name": str(tmp_path)}).encoder
    same = made(data, name=str(tmp_path)).encoder
    for section, message in (
        (plain, "with the activation ie_squareplus_1.5, but the recipe requires the usual one"),
        (
            same.model_copy(update={"attention_base": 9}),
            "with the attention ie_log_n_8_2, but .* requires ie_log_n_9_2",
        ),
    ):
        with pytest.raises(ModelError, match=message) as error:
            load_encoder(section)
        assert "training.init_from" in str(error.value.hint)
    torch.testing.assert_close(hidden(load_encoder(same)[0]), hidden(encoder))
    (tmp_path / "config.json").write_text(json.dumps(config | {"attn_implementation": "ie_log_n_8_2/kernel"}))
    with pytest.raises(ModelError, match="with the attention ie_log_n_8_2/kernel, but"):
        load_encoder(same)


@pytest.mark.parametrize(
    ("kind", "option", "message"),
    [
        ("roformer", "attention_scale", "models of type roformer do not support this option: its attention"),
        ("deberta-v2", "attention_scale", "models of type deberta-v2 do not support this option: its attention"),
        ("esm", "activation", "models of type esm do not support this option: its config"),
    ],
)
def test_architectures_without_the_option_are_an_error(kind: str, option: str, message: str) -> None:
    options = {
        name: value for name, value in OPTIONS.items() if name.split("_")[0] in ("squareplus", option.split("_")[0])
    }
    if option == "attention_scale":
        options.pop("squareplus_b")
    section = EncoderSection.model_validate({"name": "x", "max_length": 32, "stride": 8, **options})
    with pytest.raises(ModelError, match=f"encoder.{option}: {message}"):
        apply_options(transformers.AutoConfig.for_model(kind), section)
