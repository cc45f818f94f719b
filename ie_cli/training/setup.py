"""Recipe -> everything that the training loop needs: model, tokenizer, labels, encoded windows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import torch
from tokenizers import Tokenizer

from ie_cli.data.dataset import Split, splits
from ie_cli.data.label_schema import LabelSchema, read_schema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.encoding.tokenizer import recipe_tokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import DataError, RecipeError
from ie_cli.modeling.cpu.training import prepare_for_training
from ie_cli.modeling.devices import choose_device, choose_precision
from ie_cli.modeling.encoder import load_encoder, tiny_encoder
from ie_cli.modeling.model import SpanModel, build_head
from ie_cli.recipe.base import Precision
from ie_cli.recipe.heads import GPLinkerSection
from ie_cli.recipe.schema import Recipe
from ie_cli.system.suggest import did_you_mean
from ie_cli.training.encoded_dataset import EncodedDataset, encode_dataset


@dataclass(frozen=True)
class TrainingSetup:
    """A model with fresh head, and the data it will see."""

    model: SpanModel
    tokenizer: Tokenizer
    schema: LabelSchema
    pad_id: int
    store: EncodedDataset
    train: Split
    dev: Split | None
    test: Split | None
    weights: tuple[torch.Tensor, ...] | None
    device: torch.device
    precision: Precision

    def encoder_facts(self) -> str:
        """Configuration of the encoder and its tokenizer, whole; without what says where they came from."""
        config = self.model.encoder.config.to_dict()  # type: ignore[operator,union-attr]
        own = {name: value for name, value in config.items() if name not in ("_name_or_path", "transformers_version")}
        return json.dumps(own, sort_keys=True, default=str) + self.tokenizer.to_str()


def prepare(recipe: Recipe) -> TrainingSetup:
    """Read the data, build the model, encode the windows.

    Raises:
        DataError, ModelError, RecipeError: of the data, the encoder, or what the recipe says of them.
    """
    train, dev, test = splits(recipe.data)
    for split in (train, dev, test):
        if split is not None:
            split.must_be_readable_again()
    statistics = DatasetStatistics.of(train, characters=recipe.encoder.name == "tiny")
    if not statistics.documents:
        raise DataError(f"{', '.join(train.sources)}: no example in it", hint="check data.train and data.format.")
    schema = build_schema(recipe, statistics)
    if recipe.encoder.name == "tiny":
        encoder, tokenizer = tiny_encoder(recipe.encoder, statistics.characters)
    else:
        encoder, tokenizer = load_encoder(recipe.encoder)
    config = encoder.config
    head = build_head(recipe.head, hidden_size=config.hidden_size, schema=schema)  # type: ignore[union-attr,arg-type]
    pad_id = getattr(config, "pad_token_id", None) or 0
    text_tokenizer = recipe_tokenizer(tokenizer, recipe.encoder)
    plan = WindowPlan.build(
        max_length=recipe.encoder.max_length,
        stride=recipe.encoder.stride,
        special_tokens=text_tokenizer.special_tokens,
    )
    weights = loss_weights(recipe, schema)
    store = encode_dataset(
        train,
        text_tokenizer,
        plan,
        schema,
        pad_id=pad_id,
        key=train.fingerprint(),
        mentions=recipe.data.mentions,
    )
    if not len(store):
        raise DataError(f"{', '.join(train.sources)}: every text is empty", hint="check data.train and data.format.")
    device = choose_device(recipe.training.device)
    if device.type == "cpu":
        prepare_for_training(encoder)
    return TrainingSetup(
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


def build_schema(recipe: Recipe, statistics: DatasetStatistics) -> LabelSchema:
    """The labels and predicates of a model, from the recipe and one pass over the training data.

    Raises:
        DataError: the data hold nothing to train on, or what the recipe does not list.
    """
    head, data = recipe.head, recipe.data
    if statistics.guessed and recipe.task == "relation" and recipe.training.match in ("strict", "boundaries"):
        raise RecipeError(
            f"training.match: {recipe.training.match}, but the data give no offsets: such scores on guessed offsets would "
            "be luck",
            hint="use training.match: text.",
        )
    if not isinstance(head, GPLinkerSection):
        return LabelSchema.build(statistics.labels, data.labels)
    known = read_schema(data.schema_file) if data.schema_file is not None else None
    typed = head.entity_rows == "types" or (head.entity_rows == "auto" and bool(statistics.labels))
    schema = LabelSchema.of_relations(
        {*statistics.labels, *statistics.arguments} if typed else None,
        statistics.pairs,
        listed=data.labels if typed else None,
        known=known,
        observed=head.type_pairs == "observed",
        slots=statistics.slots,
    )
    return replace(schema, constrained=schema.constrained and head.type_pairs != "any")


def loss_weights(recipe: Recipe, schema: LabelSchema) -> tuple[torch.Tensor, ...] | None:
    """Weights of the rows' losses for each table of the head, in the order of the schema; None where all are 1."""
    names = {*schema.labels, *schema.predicates}
    for field, named in (
        ("training.label_weights", recipe.training.label_weights),
        ("head.thresholds", recipe.head.thresholds),
    ):
        for name in named:
            if name not in names:
                what = "label or predicate" if schema.predicates else "label"
                raise RecipeError(
                    f"{field}: the data have no {what} '{name}'{did_you_mean(name, names)}",
                    hint=f"they have: {', '.join([*schema.labels, *schema.predicates][:20])}",
                )
    weights = recipe.training.label_weights
    if not weights:
        return None
    labels, predicates = (
        torch.tensor([weights.get(name, 1.0) for name in rows]) for rows in (schema.labels, schema.predicates)
    )
    return (labels, predicates, predicates) if schema.predicates else (labels,)
