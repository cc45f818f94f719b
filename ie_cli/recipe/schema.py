"""The recipe: one closed schema that describes a run. Reading it from YAML is `recipe_file`'s work."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]

Precision = Literal["float32", "bfloat16", "float16"]


class Section(BaseModel):
    """What all sections share: unknown keys are errors, docstrings below fields are their help."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, frozen=True, strict=True, allow_inf_nan=False
    )


class DataSection(Section):
    train: Text | Annotated[list[Text], Field(min_length=1)]
    """Training data: a file, a list of files, `hub:org/dataset`, relative to the recipe."""
    dev: Text | Annotated[list[Text], Field(min_length=1)] | Annotated[float, Field(gt=0, lt=1)] | None = None
    """Development data: a file, or a share of train (0.1) chosen by a hash of the text. Without it the last weights are kept."""
    test: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    """Test data, scored once at the end of training."""
    format: Text | None = None
    """Input format; detected from the file where not given."""
    labels: Annotated[list[Text], Field(min_length=1)] | None = None
    """Labels in the order the model stores; sorted labels of the data where not given."""
    text_column: int = 0
    """conll: column of the token, from 0; negative counts from the right."""
    label_columns: list[int] | None = None
    """conll: columns of the tags; the last one (or the last two, where both hold tags) where not given."""
    schema_file: Text | None = None
    """Relations: predicates with the types they join, in the layout of DuIE's schema file; those of the data where not given."""
    mentions: Literal["nearest", "first", "all"] = "nearest"
    """Triples without offsets: on which of several places they are put; the pair with least between, the first ones, all."""
    joiner: str | None = None
    """conll, conll04, multihead: what stands between tokens; a blank, or nothing between Chinese characters, where not given."""


class EncoderSection(Section):
    name: Text
    """Hub id, a folder with config.json, tokenizer.json and *.safetensors, or `tiny`: a small BERT built from scratch."""
    max_length: Annotated[int, Field(ge=8)] = 256
    """Tokens in a window, special tokens included."""
    stride: Annotated[int, Field(ge=0)] = 64
    """Tokens by which two windows of one long text overlap."""
    layers: Annotated[int, Field(gt=0, le=1000)] | None = None
    """Keep only the first N layers (`tiny`: build N layers, 2 by default)."""
    tokenization: Literal["subword", "char"] = "subword"
    """`char` makes a token of every character, so that every entity border is reachable."""
    normalization: Literal["none", "nfkc"] = "none"
    """`nfkc` shows the tokenizer `，` as `,` and `Ａ` as `A`, one character for one; text and offsets stay as they are."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third slower."""
    dropout: Probability | None = None
    """Hidden dropout of the encoder; its own where not given."""
    attention_dropout: Probability | None = None
    """Attention dropout of the encoder; its own where not given."""


class HeadSection(Section):
    head_size: Annotated[int, Field(gt=0, le=4096, multiple_of=2)] = 64
    """Dimension d of the query and key vectors."""
    rope: bool = True
    """Rotary positions in the scores; without them GlobalPointer can hardly tell spans apart."""
    flat: bool = False
    """No overlapping entities in the output: greedy by score. False allows nesting."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Least score of an item in the output."""
    thresholds: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    """Least score per label or predicate, where it differs from `threshold`."""


class EfficientGlobalPointerSection(HeadSection):
    """One shared span scorer and a bias per label and border (kexue.fm/archives/8877)."""

    name: Literal["efficient_global_pointer"] = "efficient_global_pointer"
    """What scores the spans: efficient_global_pointer, or global_pointer with a scorer of its own per label."""


class GlobalPointerSection(HeadSection):
    """A span scorer per label (kexue.fm/archives/8373)."""

    name: Literal["global_pointer"]
    """What scores the spans: global_pointer, or efficient_global_pointer with one scorer for all labels."""


class GPLinkerSection(HeadSection):
    """Relations: a scorer of entities, and two that link starts and ends of subject and object (kexue.fm/archives/8888)."""

    name: Literal["gplinker"]
    """What extracts relations: gplinker."""
    entity_rows: Literal["auto", "types", "roles"] = "auto"
    """Entity rows: a row per type, or one for subjects and one for objects; `auto`: types where the data annotate entities."""
    entity_scorer: Literal["global_pointer", "efficient_global_pointer"] = "global_pointer"
    """Scorer of the entity rows."""
    type_pairs: Literal["schema", "observed", "any"] = "schema"
    """With a row per type, which types a predicate joins: those of data.schema_file (without one any), those of train, any."""


Head = Annotated[EfficientGlobalPointerSection | GlobalPointerSection | GPLinkerSection, Field(discriminator="name")]


class TrainingSection(Section):
    epochs: PositiveInt = 10
    """Passes over the training data."""
    batch_size: PositiveInt = 16
    """Windows per step and device."""
    batch_tokens: PositiveInt | None = None
    """At most so many tokens per step (padding included) instead of batch_size windows."""
    eval_batch_size: PositiveInt = 32
    """Windows per forward pass in evaluation and prediction."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    """Peak learning rate of the encoder."""
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate of the head."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of an encoder layer as a multiple of the one above it."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW weight decay; biases and normalisations have none."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Learning rate after the warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of all steps over which the learning rate rises."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient; null switches clipping off."""
    accumulation: PositiveInt = 1
    """Batches whose gradients are summed into one step."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Seed of initialisation, shuffling and dropout."""
    precision: Precision | Literal["auto"] = "auto"
    """Of the encoder; `auto` is bfloat16 where the hardware has it, CPUs with AVX512-BF16 or AMX included."""
    device: Literal["auto", "cpu"] = "auto"
    """`cpu` leaves a GPU unused."""
    eval_every: PositiveInt | None = None
    """Steps between two evaluations on dev; once an epoch where not given."""
    checkpoint_every: PositiveInt | None = None
    """Steps between two checkpoints, from which `ie train --resume` goes on; every ten minutes where not given."""
    checkpoints: PositiveInt = 2
    """How many of the last checkpoints are kept until the run is finished."""
    patience: PositiveInt | None = None
    """Stop after so many evaluations without a better dev F1."""
    negatives: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the windows without an entity that an epoch draws."""
    label_weights: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Weight of the loss of a label or predicate, 1 where not given."""
    match: Literal["auto", "strict", "boundaries", "text"] = "auto"
    """Relations: what counts as right when the best model is chosen; `auto`: text where data have no offsets, else strict."""
    trackers: list[Literal["csv", "tensorboard", "wandb", "mlflow"]] = ["csv"]
    """Logs: `log.csv` and TensorBoard events beside the model; runs of Weights & Biases and MLflow, where their variables say."""


class Recipe(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the run; its folder under runs/."""
    task: Literal["ner", "relation"] = "ner"
    """What is extracted: entities, or relations between them (head gplinker)."""
    data: DataSection
    """Where the examples are."""
    encoder: EncoderSection
    """The pretrained encoder and how text becomes its input."""
    head: Head = EfficientGlobalPointerSection()
    """What stands on the encoder."""
    training: TrainingSection = TrainingSection()
    """How it is trained."""
