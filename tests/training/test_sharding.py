"""With `training.shard_weights`, two processes train as they do with whole weights, and as one process does.

The tolerance is that of `support.joint_runs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
import transformers
from support.corpora import documents, write_jsonl
from support.joint_runs import assert_close, halved_batches, ner, pairs, relations, tasks, watch, weights
from support.two_processes import Pair, run_ranks, two_processes
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedTokenizerFast

from ie_cli.errors import DataError, IEError, RecipeError, TrainingError
from ie_cli.modeling.encoder import tiny_tokenizer
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import Recipe
from ie_cli.system.launcher import launched_rank
from ie_cli.training.checkpoint import read_checkpoint
from ie_cli.training.processes import Processes
from ie_cli.training.run import train
from ie_cli.training.setup import prepare
from ie_cli.training.sharding import layers_of, place
from ie_cli.training.techniques.averaged_weights import AveragedWeights


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with two_processes() as started:
        yield started


def divided(made: Recipe, *, shard_weights: bool = True, **training: Any) -> Recipe:
    """A recipe with divided weights."""
    fields = made.model_dump()
    fields["training"] |= {"shard_weights": shard_weights, **training}
    return Recipe.model_validate(fields)


def thrifty(directory: Path, **training: Any) -> Recipe:
    """The layers compute their activations again in the backward pass; the model is stored without being scored."""
    made = ner(directory, **training)
    encoder = made.encoder.model_copy(update={"gradient_checkpointing": True, "layers": 2})
    return made.model_copy(update={"encoder": encoder, "data": made.data.model_copy(update={"dev": None})})


def hashed(directory: Path, **training: Any) -> Recipe:
    """An encoder that is not one of `transformers`."""
    made = ner(directory, **training)
    encoder = {"name": "hash_cnn", "max_length": 64, "stride": 16, "layers": 2, "dropout": 0.0}
    return Recipe.model_validate({**made.model_dump(exclude={"encoder"}), "encoder": encoder})


def odd(directory: Path, **training: Any) -> Recipe:
    """The last of four batches has a single sentence."""
    write_jsonl(directory / "train.jsonl", documents(19))
    return ner(directory, **training)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "entities": (ner, {"eval_every": 2, "ema": 0.9}),
    "relations": (relations, {"clip": 0.05, "layer_decay": 0.8}),
    "accumulated": (ner, {"accumulation": 2, "batch_size": 4, "clip": None}),
    "a process without a sample": (odd, {"batch_size": 6, "epochs": 1}),
    "tasks in turn": (tasks, {"epochs": 1, "balance": {"name": "prior"}}),
    "recomputed": (thrifty, {}),
    "hash_cnn": (hashed, {"learning_rate": 2e-3}),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_with_parts_of_the_weights_as_with_all(case: str, pair: Pair, tmp_path: Path) -> None:
    build, training = CASES[case]
    made = build(tmp_path, **training)
    alone = watch(made, tmp_path / "one", {})
    whole = pair.run(watch, halved_batches(made), tmp_path / "two", {})
    found = pair.run(watch, divided(halved_batches(made)), tmp_path / "divided", {})
    assert [one["outcome"] for one in (alone, *whole, *found)] == [""] * 5
    assert found[0]["evaluated"] == found[1]["evaluated"] == whole[0]["evaluated"] == alone["evaluated"]
    assert_close(tmp_path / "one", tmp_path / "divided")
    assert_close(tmp_path / "two", tmp_path / "divided")
    assert Counter(found[0]["seen"] + found[1]["seen"]) == Counter(alone["seen"])
    for name, size in whole[0]["kept"].items():
        assert max(one["kept"][name] for one in found) < 0.52 * size, name
        assert sum(one["kept"][name] for one in found) < 1.01 * size, name


def test_processes_compute_the_same_number_of_parts_of_a_batch(pair: Pair, tmp_path: Path) -> None:
    made = ner(tmp_path, batch_size=5, epochs=1)
    watch(made, tmp_path / "one", {})
    fifths = divided(made, batch_size=1)  # in 3 parts, although one of two processes has only 2 of 5 sentences
    found = pair.run(watch, fifths, tmp_path / "divided", {"shares": 5}, timeout=60)
    assert [one["outcome"] for one in found] == ["", ""]
    assert_close(tmp_path / "one", tmp_path / "divided")


def test_in_bfloat16_they_differ_by_rounding(pair: Pair, tmp_path: Path) -> None:
    made = halved_batches(ner(tmp_path, epochs=1, precision="bfloat16"))
    pair.run(watch, made, tmp_path / "whole", {})
    found = pair.run(watch, divided(made), tmp_path / "divided", {})
    assert [one["outcome"] for one in found] == ["", ""]
    pair.run(watch, divided(made, shard_weights=False, precision="float32"), tmp_path / "float32", {})
    expected, plain = weights(tmp_path / "whole"), weights(tmp_path / "float32")
    gap, lower = distance(weights(tmp_path / "divided"), expected), distance(plain, expected)
    assert gap < 0.1 * lower, (gap, lower)


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The mean difference of the weights."""
    return float(torch.cat([(one[name] - tensor).abs().flatten() for name, tensor in other.items()]).mean())


def test_a_run_is_resumed_with_and_without_divided_weights(pair: Pair, tmp_path: Path) -> None:
    made = ner(tmp_path, batch_size=2, epochs=2, ema=0.9, checkpoints=9)  # 5 steps an epoch
    pair.run(watch, made, tmp_path / "whole", {})
    output = tmp_path / "cut"
    assert resumed(pair, divided(made), output, (0, 1), first=True) == "stopped at step 2 of 10"
    alone = watch(divided(made), output, {"stop_at": (0, 4)}, True)
    assert alone["outcome"].startswith("Stopped: stopped at step 4 of 10")
    assert [note for note in alone["notes"] if "shard_weights" in note] == [
        "training.shard_weights has no effect: there is one process, which has all weights; start several with --processes"
    ]
    assert resumed(pair, divided(made), output, (1, 5)) == "stopped at step 5 of 10"
    assert resumed(pair, made, output, (1, 6)) == "stopped at step 7 of 10"
    assert resumed(pair, divided(made), output, None) == ""
    assert_close(tmp_path / "whole", output)


def resumed(pair: Pair, made: Recipe, output: Path, stop_at: tuple[int, int] | None, *, first: bool = False) -> str:
    """Start or resume a run, stop it after a step, and return what it says of that."""
    [outcome] = {one["outcome"] for one in pair.run(watch, made, output, {"stop_at": stop_at}, not first)}
    return str(outcome).removeprefix("Stopped: ").removesuffix("; continue with --resume")


def test_with_divided_weights_a_run_is_resumed_bit_by_bit_from_checkpoints_of_the_same_form(
    pair: Pair, tmp_path: Path
) -> None:
    made = ner(tmp_path, batch_size=4, ema=0.9, r_drop=1.0)
    made = made.model_copy(update={"encoder": made.encoder.model_copy(update={"dropout": 0.1})})
    for name, one in (("whole", made), ("divided", divided(made))):
        pair.run(watch, one, tmp_path / name, {"stop_at": (0, 1)})
    expected, found = (read_checkpoint(tmp_path / name / "checkpoints") for name in ("whole", "divided"))
    assert expected is not None
    assert found is not None
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == {
        name: tensor.shape for name, tensor in expected.tensors.items()
    }
    for name, tensor in expected.tensors.items():
        torch.testing.assert_close(found.tensors[name], tensor, rtol=1e-4, atol=1e-4, msg=name)
    assert found.numbers.keys() == expected.numbers.keys()
    pair.run(watch, divided(made), tmp_path / "uncut", {})
    pair.run(watch, divided(made), tmp_path / "divided", {}, True)
    uncut, cut = weights(tmp_path / "uncut"), weights(tmp_path / "divided")
    assert all(torch.equal(cut[name], tensor) for name, tensor in uncut.items())


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (
        ner,
        {"adversarial": "fgm"},
        r"training\.adversarial: moves whole word embeddings.*omit it, or training\.shard_weights",
    ),
    (ner, {"compile": True}, r"training\.compile: compiles whole layers"),
    (ner, {"precision": "float16"}, r"training\.precision: got float16.*use bfloat16 or float32"),
    (tasks, {"balance": {"name": "grad_norm"}}, r"training\.balance: got grad_norm.*use sum, weights or prior"),
    (tasks, {"balance": {"name": "initial_loss"}}, r"training\.balance: got initial_loss"),
    (pairs, {}, r"training\.shard_weights: got true, but the loss of the head cosent.*use false, or another head"),
]


@pytest.mark.parametrize(("build", "training", "message"), REFUSED)
def test_what_needs_whole_weights_is_an_error(
    build: Any, training: dict[str, Any], message: str, tmp_path: Path
) -> None:
    made = divided(build(tmp_path), **training)
    with pytest.raises(RecipeError, match=message):
        next(train(made, tmp_path / "run"))
    file = tmp_path / "recipe.yaml"
    file.write_text(made.model_dump_json(), encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(file))
    assert not (tmp_path / "run").exists()


def test_techniques_of_a_user_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"techniques that are given to `train`, such as training\.ema"):
        next(train(divided(ner(tmp_path)), tmp_path / "run", techniques=[AveragedWeights(0.9)]))


def outcome_of(made: Recipe, output: Path) -> str:
    """Train, and return the error."""
    try:
        list(train(made, output))
    except IEError as error:
        return str(error)
    return ""


def test_float16_of_the_machine_is_an_error_of_all(pair: Pair, tmp_path: Path) -> None:
    for outcome in pair.run(train_in_float16, divided(ner(tmp_path), precision="auto"), tmp_path / "run"):
        assert "does not support float16, which training.precision: auto results in" in outcome


def train_in_float16(made: Recipe, output: Path) -> str:
    """Train on a machine that computes in float16, and return the error."""
    with patch("ie_cli.training.setup.choose_precision", lambda *given: "float16"):
        return outcome_of(made, output)


def test_a_weight_that_is_a_number_is_an_error_of_all(pair: Pair, tmp_path: Path) -> None:
    for outcome in pair.run(train_changed, divided(ner(tmp_path)), tmp_path / "run", add_number):
        assert outcome == "training.shard_weights: the weight encoder.scale is a single number, which cannot be divided"


SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48}
DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
FAMILIES: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16, **DROPOUT},  # all layers have the same weights
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 48, "dropout": 0.0, "attention_dropout": 0.0},
    "modernbert": {"global_attn_every_n_layers": 3},
}


def test_the_layers_of_an_encoder_are_gathered_one_by_one(tmp_path: Path) -> None:
    for made, count in ((relations(tmp_path), 2), (hashed(tmp_path), 2), (ner(tmp_path), 1)):
        assert len(layers_of(prepare(made).model)) == count
    for family, count in {"albert": 0, "distilbert": 3, "modernbert": 3, "bert": 3}.items():
        config = transformers.AutoConfig.for_model(
            family, **{**SIZES, "vocab_size": 9, "pad_token_id": 0, **FAMILIES.get(family, {})}
        )
        assert len(layers_of(ExtractionModel(transformers.AutoModel.from_config(config), {}))) == count, family


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_of_other_encoders_are_divided(family: str, pair: Pair, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(Counter("".join(document.text for document in documents())))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(tmp_path / "encoder")
    ids = {"vocab_size": tokenizer.get_vocab_size(), "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(family, **{**SIZES, **ids, **FAMILIES[family]})
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path / "encoder")
    made = ner(tmp_path, epochs=1)
    section = {"name": str(tmp_path / "encoder"), "max_length": 64, "stride": 16}
    made = Recipe.model_validate(made.model_dump() | {"encoder": section})
    assert watch(made, tmp_path / "one", {})["outcome"] == ""
    found = pair.run(watch, divided(halved_batches(made)), tmp_path / "divided", {})
    assert [one["outcome"] for one in found] == ["", ""]
    assert_close(tmp_path / "one", tmp_path / "divided")


def train_changed(made: Recipe, output: Path, change: Callable[[Any], None]) -> str:
    """Train with an encoder that is changed, and return the error."""

    def changed(recipe: Recipe, **options: Any) -> Any:
        setup = prepare(recipe, **options)
        change(setup.model.encoder)
        return setup

    with patch("ie_cli.training.run.prepare", changed):
        return outcome_of(made, output)


def add_number(encoder: Any) -> None:
    """Add a weight that is a single number."""
    encoder.scale = nn.Parameter(torch.ones(()))


def test_two_models_have_the_memory_of_one_until_the_weights_are_divided(pair: Pair, tmp_path: Path) -> None:
    for shared, buffer in pair.run(divided_twice, divided(relations(tmp_path)), timeout=60):
        assert shared == [True] * 3  # two layers, and all other weights
        assert buffer == [3.0, 3.0]


def divided_twice(made: Recipe) -> tuple[list[bool], list[float]]:
    """Divide a model, load other numbers, and return whether the memory was shared, and a buffer that was loaded."""
    torch.manual_seed(0)
    setup, shared = prepare(made), list[bool]()
    model = setup.model
    model.encoder.register_buffer("seen", torch.zeros(2))
    pointers = {weight.data_ptr() for weight in model.parameters()}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def noted(module: nn.Module, **options: Any) -> None:
        whole = [weight for weight in module.parameters() if not isinstance(weight, DTensor)]
        shared.append(bool(whole) and all(weight.data_ptr() in pointers for weight in whole))
        fully_shard(module, **options)

    with patch("ie_cli.training.sharding.fully_shard", noted):
        placement = place(made, setup, Processes.connect(made), setup.device)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.encoder.get_buffer("seen").fill_(3)
    placement.distribute()
    placement.release()
    with placement.whole():
        assert all(
            torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items() if "seen" not in name
        )
        return shared, model.encoder.get_buffer("seen").tolist()


def test_an_error_of_one_process_while_weights_are_divided_is_that_of_all(pair: Pair, tmp_path: Path) -> None:
    made = divided(ner(tmp_path))
    for outcome in pair.run(fail_to_divide, made, tmp_path / "run", timeout=60):
        assert outcome == "disk is gone"


def fail_to_divide(made: Recipe, output: Path) -> str:
    """Train with an error in the second process, and return what this one reports."""

    def raising(*arguments: Any, **options: Any) -> Any:
        raise DataError("disk is gone")

    with patch("ie_cli.training.sharding.fully_shard", raising) if launched_rank() else nullcontext():
        return outcome_of(made, output)


def test_a_head_that_needs_no_weights_for_the_gold_of_one_process_blocks_none(pair: Pair, tmp_path: Path) -> None:
    assert pair.run(train_half, divided(ner(tmp_path, epochs=1)), tmp_path / "run", timeout=60) == [None, None]


def train_half(made: Recipe, output: Path) -> None:
    """Train with a loss that depends on no weight of the head in the second process."""

    def losses(head: Any, hidden: Tensor, *arguments: Any, **options: Any) -> dict[str, Tensor]:
        return {"entities": hidden.pow(2).mean()}

    head = type(prepare(made).model.head("ner"))
    with patch.object(head, "losses", losses) if launched_rank() else nullcontext():
        list(train(made, output))


FAILING = """
import sys
from pathlib import Path
from unittest.mock import patch

import torch

from ie_cli.cli import main
from ie_cli.modeling.model import ExtractionModel
from ie_cli.system.launcher import launched_rank

forward, calls = ExtractionModel.forward, []


def limited(model, *arguments, **options):
    calls.append(1)
    if launched_rank() == 1 and len(calls) == 3:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return forward(model, *arguments, **options)


with patch.object(ExtractionModel, "forward", limited):
    sys.argv = ["ie", "train", sys.argv[1], "--output", sys.argv[2]]
    main()
"""


def test_a_process_that_runs_out_of_memory_ends_all_with_an_error(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(divided(ner(tmp_path)).model_dump_json(), encoding="utf-8")
    done = run_ranks(FAILING, str(file), str(tmp_path / "run"))
    assert [process.returncode for process in done] == [1, 1]
    first, second = (" ".join(process.stderr.split()) for process in done)
    assert "out of memory; with training.shard_weights, a process cannot repeat its share of a batch" in second
    assert "the processes of the run could not exchange data" in first
    assert "Traceback" not in first + second
