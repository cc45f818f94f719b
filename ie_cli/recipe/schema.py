"""The recipe: one closed schema that describes a run. Reading it from YAML is `recipe.loader`'s work."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ie_cli.recipe.base import PositiveInt, Precision, Probability, Section, Text
from ie_cli.recipe.heads import HEADS, EfficientGlobalPointerSection, HeadSection, task_names


class DataSection(Section):
    train: Text | Annotated[list[Text], Field(min_length=1)]
    """Training data: a file, a list of files, `hub:org/dataset`, relative to the recipe."""
    dev: Text | Annotated[list[Text], Field(min_length=1)] | Annotated[float, Field(gt=0, lt=1)] | None = None
    """Development data: a file, or a share of train (0.1) chosen by a hash of the text. Without it the last weights are kept."""
    test: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    """Test data, read at the start and scored once at the end of training."""
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
    vocabulary: Literal["characters", "words"] = "characters"
    """`tiny`: what its tokens are; `words` for languages that put spaces between them, rare words being unknown."""
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


def _validate_head(value: Any) -> HeadSection:
    """The section of the head that a mapping names; faults inside it keep their places."""
    if isinstance(value, HeadSection):
        return value
    if not isinstance(value, dict):
        raise PydanticCustomError("head_type", "expected a mapping")
    name = value.get("name")
    if not isinstance(name, str) or name not in HEADS:
        raise PydanticCustomError("unknown_head", "no such head")
    return HEADS[name].section.model_validate(value)


class _AnyHead:
    """The JSON schema of a head: one of those in the table, as it stands when it is asked for."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"oneOf": [spec.section.model_json_schema() for spec in HEADS.values()]}


Head = Annotated[SerializeAsAny[HeadSection], PlainValidator(_validate_head), _AnyHead]


def _validate_task(value: str) -> str:
    if value not in task_names():
        raise PydanticCustomError("unknown_task", "no such task")
    return value


def _name_tasks(schema: dict[str, Any]) -> None:
    schema["enum"] = task_names()


TaskName = Annotated[str, AfterValidator(_validate_task), Field(json_schema_extra=_name_tasks)]


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
    """Stop after so many evaluations without a better score on dev."""
    negatives: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the windows without an entity that an epoch draws."""
    label_weights: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Weight of the loss of a label or predicate, 1 where not given."""
    match: Literal["auto", "strict", "boundaries", "text"] = "auto"
    """Relations: what counts as right when the best model is chosen; `auto`: text where data have no offsets, else strict."""
    trackers: list[Literal["csv", "tensorboard", "wandb", "mlflow"]] = ["csv"]
    """Logs: `log.csv` and TensorBoard events beside the model; runs of Weights & Biases and MLflow, where their variables say."""


class TaskSection(Section):
    """One task of a model: what is extracted, from which data, by which head."""

    task: TaskName = "ner"
    """What is extracted: entities, or relations between them (head gplinker)."""
    data: DataSection
    """Where the examples are."""
    head: Head = EfficientGlobalPointerSection()
    """What stands on the encoder."""


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Recipe(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the run; its folder under runs/."""
    task: TaskName = "ner"
    """What is extracted: entities, or relations between them (head gplinker)."""
    data: DataSection | None = None
    """Where the examples are."""
    encoder: EncoderSection
    """The pretrained encoder and how text becomes its input."""
    head: Head = EfficientGlobalPointerSection()
    """What stands on the encoder."""
    tasks: dict[Name, TaskSection] = {}
    """Several tasks on one encoder by names of their own, each with task, data and head; instead of these three."""
    training: TrainingSection = TrainingSection()
    """How it is trained."""

    @model_validator(mode="after")
    def _has_data(self) -> Recipe:
        if self.data is None and not self.tasks:
            raise PydanticCustomError("no_data", "data is missing")
        if self.tasks and self.model_fields_set & {"task", "data", "head"}:
            raise PydanticCustomError("two_forms", "tasks: stands for task, data and head, which go into each of them")
        return self

    @model_serializer(mode="wrap")
    def _one_form(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields of the form that it has: of one task, or of several."""
        fields: dict[str, Any] = handler(self)
        left_out = ("task", "data", "head") if self.tasks else ("tasks",)
        return {name: value for name, value in fields.items() if name not in left_out}

    def instances(self) -> dict[str, TaskSection]:
        """The tasks of the model by their names; one that is given in the short form is called what it is."""
        if self.data is None:
            return self.tasks
        return {self.task: TaskSection(task=self.task, data=self.data, head=self.head)}
