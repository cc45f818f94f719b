"""Recipe -> everything that the training loop needs: model, tokenizer, labels, encoded windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from ie_cli.batches import Store, build_store
from ie_cli.corpus import Scan, Split, splits
from ie_cli.devices import Precision, choose_device, choose_precision
from ie_cli.encoder import load_encoder, tiny_encoder
from ie_cli.errors import DataError, RecipeError
from ie_cli.model import SpanModel, build_head
from ie_cli.recipe import Recipe
from ie_cli.schema import Schema
from ie_cli.suggest import did_you_mean
from ie_cli.tokenization import recipe_tokenizer
from ie_cli.windows import Plan


@dataclass(frozen=True)
class Prepared:
    """A model with fresh head, and the data it will see."""

    model: SpanModel
    tokenizer: Tokenizer
    schema: Schema
    pad_id: int
    store: Store
    train: Split
    dev: Split | None
    test: Split | None
    label_weights: torch.Tensor | None
    device: torch.device
    precision: Precision


def prepare(recipe: Recipe) -> Prepared:
    """Read the data, build the model, encode the windows.

    Raises:
        DataError, ModelError, RecipeError: of the data, the encoder, or what the recipe says of them.
    """
    train, dev, test = splits(recipe.data)
    for split in (train, dev, test):
        if split is not None:
            split.must_be_readable_again()
    scan = Scan.of(train, characters=recipe.encoder.name == "tiny")
    if not scan.examples:
        raise DataError(f"{', '.join(train.sources)}: no example in it", hint="check data.train and data.format.")
    schema = Schema.build(scan.labels, recipe.data.labels)
    if recipe.encoder.name == "tiny":
        encoder, tokenizer = tiny_encoder(recipe.encoder, scan.characters)
    else:
        encoder, tokenizer = load_encoder(recipe.encoder)
    config = encoder.config
    head = build_head(recipe.head, hidden_size=config.hidden_size, labels=len(schema.labels))  # type: ignore[union-attr,arg-type]
    pad_id = getattr(config, "pad_token_id", None) or 0
    text_tokenizer = recipe_tokenizer(tokenizer, recipe.encoder)
    plan = Plan.build(
        max_length=recipe.encoder.max_length,
        stride=recipe.encoder.stride,
        special_tokens=text_tokenizer.special_tokens,
    )
    weights = label_weights(recipe, schema)
    store = build_store(train, text_tokenizer, plan, schema.ids, pad_id=pad_id, key=train.fingerprint())
    if not len(store):
        raise DataError(f"{', '.join(train.sources)}: every text is empty", hint="check data.train and data.format.")
    device = choose_device(recipe.training.device)
    return Prepared(
        SpanModel(encoder, head),
        tokenizer,
        schema,
        pad_id,
        store,
        train,
        dev,
        test,
        weights,
        device,
        choose_precision(recipe.training.precision, device),
    )


def label_weights(recipe: Recipe, schema: Schema) -> torch.Tensor | None:
    """Weights of the labels' losses, in the order of the schema; None where all are 1."""
    for field, named in (
        ("training.label_weights", recipe.training.label_weights),
        ("head.thresholds", recipe.head.thresholds),
    ):
        for label in named:
            if label not in schema.ids:
                raise RecipeError(
                    f"{field}: the data have no label '{label}'{did_you_mean(label, schema.labels)}",
                    hint=f"labels of the data: {', '.join(schema.labels[:20])}",
                )
    if not recipe.training.label_weights:
        return None
    return torch.tensor([recipe.training.label_weights.get(label, 1.0) for label in schema.labels])
