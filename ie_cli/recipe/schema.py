"""The recipe: one closed schema that describes a run. `recipe.loader` reads it from YAML."""

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

from ie_cli.document.relabelling import NO_RELATION
from ie_cli.recipe.balance import Balance, BalanceSection, Sampling, Select
from ie_cli.recipe.base import Million, PositiveInt, Precision, Probability, Section, Text
from ie_cli.recipe.context import CONTEXT, Context
from ie_cli.recipe.folds import FOLD
from ie_cli.recipe.heads import HEADS, EfficientGlobalPointerSection, HeadSection, task_names
from ie_cli.recipe.techniques import Adversarial

TablePart = Literal[
    "id",
    "text",
    "number",
    "start",
    "end",
    "label",
    "mention",
    "score",
    "sentence",
    "word",
    "entities",
    "tokens",
    "tags",
]
"""A part of a table whose column has a name; `formats.common.table_columns` has the usual names."""


class DataSection(Section):
    train: Text | Annotated[list[Text], Field(min_length=1)]
    """Training data: a file or a list of files, relative to the recipe, or `hub:org/dataset`."""
    dev: Text | Annotated[list[Text], Field(min_length=1)] | Annotated[float, Field(gt=0, lt=1)] | None = None
    """Development data: files, or a fraction of train (0.1) chosen by a text hash. If omitted, the last weights are kept."""
    test: Text | Annotated[list[Text], Field(min_length=1)] | None = None
    """Test data, read at the start and scored once at the end of training."""
    format: Text | None = None
    """Input format; detected from the file if omitted."""
    labels: Annotated[list[Text], Field(min_length=1)] | None = None
    """Labels in the order in which the model stores them; if omitted, the sorted labels of the data. Classes of pairs: from the
    least to the most similar; numbers and words like `neutral` and `yes` have a known order."""
    text_column: int = 0
    """conll: column of the token, from 0; negative numbers count from the right. 0 skips columns that count, and tags. pairs: the
    column of the first text, which the second one follows."""
    label_columns: list[int] | None = None
    """conll: columns of the tags; if omitted, they are detected: several columns if they contain nested entities. pairs: that of
    the label."""
    grades: bool | None = None
    """pairs, pairs-json: whether numbers are grades (true) or classes (false); if omitted, those with a decimal point are grades,
    and all in a column named score or similarity."""
    columns: dict[TablePart, Text] = {}
    """csv, tsv, parquet, excel: the names of columns by their part of the table, `{text: body, label: kind}`. The usual names are
    known."""
    schema_file: Text | None = None
    """Relations: file of predicates and the types they join, in DuIE's layout; if omitted, those of the data are used."""
    mentions: Literal["nearest", "first", "all"] = "nearest"
    """Triples without offsets: which of several occurrences to use: the closest pair, the first ones, or all pairs."""
    joiner: str | None = None
    """conll, conll04, multihead, hub: text between tokens. If omitted, train decides: a space, but nothing next to Chinese
    characters, and nothing at all if nearly all tokens are single characters."""
    trim: bool = False
    """Remove whitespace and invisible characters from both ends of each span; triples without offsets never have them."""
    rename: dict[Text, Text] = {}
    """New names of labels and predicates, by the names in the data; several that get the same name are merged."""
    ignore: Annotated[list[Text], Field(min_length=1)] | None = None
    """Labels and predicates in the data to leave out; also left out are relations between entities with such labels."""
    no_relation: list[Text] = list(NO_RELATION)
    """Predicates that mark two entities without a relation and are skipped; an empty list keeps them as predicates."""
    context: Context = CONTEXT
    """Join examples to longer texts in training, so that the model knows texts of several sentences: the maximum number of texts
    that are joined, or a mapping with options. If omitted, each example is a text of its own."""
    fold: Annotated[str, Field(pattern=FOLD)] | None = None
    """Instead of dev: `2/5` makes the second of five parts of train, chosen by a text hash, the development data. `ie train
    --folds 5` sets it to train on each of them in turn."""

    @property
    def has_dev(self) -> bool:
        """Whether there are development data."""
        return self.dev is not None or self.fold is not None

    @property
    def context_joiner(self) -> str | None:
        """The text between joined examples; None if the recipe does not give one."""
        return None if self.context is None else self.context.joiner


TINY, HASH_CNN = "tiny", "hash_cnn"
FROM_SCRATCH = (HASH_CNN, TINY)
"""The names of encoders that are built from scratch."""
SCRATCH_RATE = 1.5e-3
"""The peak learning rate of `hash_cnn`, whose weights are all new."""


class EncoderSection(Section):
    name: Text
    """Hub id; directory with config.json, tokenizer.json and *.safetensors; or, built from scratch without a download, `hash_cnn`
    (hashed features of words, convolutions) or `tiny` (a small BERT)."""
    max_length: Annotated[int, Field(ge=8, le=1_000_000)] = 256
    """Number of tokens in a window, including special tokens."""
    stride: Annotated[int, Field(ge=0, le=1_000_000)] = 64
    """Number of tokens by which consecutive windows of a long text overlap. Pairs of texts have none: they are truncated."""
    layers: Annotated[int, Field(gt=0, le=1000)] | None = None
    """Keep only the first N layers; `hash_cnn` and `tiny`: build N layers, by default 4 and 2."""
    vocabulary: Literal["characters", "words"] = "characters"
    """`tiny`: what its tokens are; `words` for languages that put spaces between them, rare words being unknown."""
    tokenization: Literal["subword", "char"] = "subword"
    """`char` makes every character a token, so that every entity boundary can be predicted."""
    normalization: Literal["none", "nfkc"] = "none"
    """`nfkc` maps `，` to `,` and `Ａ` to `A` for the tokenizer, character by character; text and offsets do not change."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: uses less memory, but is about a third slower."""
    dropout: Probability | None = None
    """Hidden dropout of the encoder; if omitted, the value of its configuration."""
    attention_dropout: Probability | None = None
    """Attention dropout of the encoder; if omitted, the value of its configuration."""
    activation: Literal["squareplus"] | None = None
    """Activation of the feed-forward layers, for encoders built from scratch: `squareplus` is (x + √(x² + b)) / 2. If omitted,
    the encoder's own."""
    squareplus_b: Annotated[float, Field(ge=1e-4, le=100)] = 0.3927
    """`squareplus`: b. 0.3927 (π/8) has the curvature of GELU at 0, 4 that of SoftPlus; 1.5238 is closest to SoftPlus."""
    attention_scale: Literal["log_n"] | None = None
    """`log_n` multiplies the attention scores by log n / log base, where a token sees n tokens: longer windows than in training
    then lose less. For encoders built from scratch. If omitted, the factor is 1."""
    attention_base: Annotated[int, Field(ge=2, le=1_000_000)] = 512
    """`log_n`: the number of visible tokens at which the factor is 1."""
    attention_floor: Annotated[int, Field(ge=1, le=1_000_000)] = 16
    """`log_n`: fewer visible tokens than this have the factor of this number; if it is attention_base, no factor is below 1."""

    @property
    def from_scratch(self) -> bool:
        """Whether the encoder is built with fresh weights instead of loaded."""
        return self.name in FROM_SCRATCH


def _validate_head(value: Any) -> HeadSection:
    """Validate a mapping as the section of the head that it names; errors inside it keep their locations."""
    if isinstance(value, HeadSection):
        return value
    if not isinstance(value, dict):
        raise PydanticCustomError("head_type", "expected a mapping")
    name = value.get("name")
    if not isinstance(name, str) or name not in HEADS:
        raise PydanticCustomError("unknown_head", "no such head")
    return HEADS[name].section.model_validate(value)


class _AnyHead:
    """JSON schema of a head: any of those in the table at the time of the call."""

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
    init_from: Text | None = None
    """Run or model directory to start from instead of a new head on a pretrained encoder; it makes `encoder` optional."""
    epochs: Million = 10
    """Number of passes over the training data."""
    batch_size: Million = 16
    """Windows, or pairs of texts, per batch and process; the texts of a joined text (`data.context`) count separately."""
    batch_tokens: PositiveInt | None = None
    """Maximum number of tokens per batch and process, padding included, instead of batch_size windows."""
    eval_batch_size: Million = 32
    """Windows per forward pass in evaluation and prediction."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    """Peak learning rate of the encoder; 1.5e-3 if it is omitted and the encoder is `hash_cnn`."""
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate of the head."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor between the learning rate of an encoder layer and that of the layer above."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW weight decay; not applied to biases and normalisation weights."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Learning rate schedule after the warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Fraction of all steps during which the learning rate rises."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Maximum gradient norm; null disables clipping."""
    accumulation: Million = 1
    """Number of batches whose gradients are accumulated into one step."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    """Random seed of initialisation, shuffling and dropout."""
    precision: Precision | Literal["auto"] = "auto"
    """Precision of the encoder; `auto` is bfloat16 if the hardware supports it, including CPUs with AVX512-BF16 or AMX."""
    device: Literal["auto", "cpu"] = "auto"
    """Device for training; `auto` uses a GPU if there is one, `cpu` ignores it."""
    compile: bool = False
    """Compile the encoder for training with torch.compile, which needs a C++ compiler, once for each length of batches; lengths
    are rounded up to multiples of 32. A long training on a GPU can become faster."""
    shard_weights: bool = False
    """Several processes: each keeps a part of the weights, their gradients and the state of the optimizer (FSDP2), not all of
    them; for encoders that a GPU cannot train otherwise."""
    eval_every: PositiveInt | None = None
    """Steps between two evaluations on dev; once per epoch if omitted."""
    checkpoint_every: PositiveInt | None = None
    """Steps between two checkpoints, from which `ie train --resume` continues; every ten minutes if omitted."""
    checkpoints: PositiveInt = 2
    """Number of most recent checkpoints to keep until the run is finished."""
    patience: PositiveInt | None = None
    """Stop after this number of evaluations without a better score on dev; warm-up and scores below 0.1 do not count."""
    negatives: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Fraction of the windows without entities that each epoch samples."""
    label_weights: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Loss weights of labels or predicates; 1 if omitted."""
    match: Literal["auto", "strict", "boundaries", "text"] = "auto"
    """Relations: criterion for a correct relation in model selection; `auto`: text if the data have no offsets, else strict."""
    sampling: Sampling | None = None
    """Several tasks: what a step draws. `in_turn`: every batch of every task once per epoch; `size` and `temperature`: a random
    task, by its share of the batches, or by that share to the power 1/T; `together`: one batch of each task, short tasks starting
    again. If omitted, `together` for methods of `balance` that compare the tasks in a step, otherwise `in_turn`."""
    sampling_temperature: Annotated[float, Field(ge=1)] | None = None
    """`sampling: temperature`: T; 1 draws by size, and the larger T, the more equal the tasks; 2 if omitted."""
    balance: Balance = BalanceSection()
    """Several tasks or losses: how their gradients are combined; the name of a method, or a mapping with its options."""
    select: Select = "mean"
    """Several tasks: the score on dev that selects the model and counts for patience: the mean of their primary scores, the worst
    of them, or a mean with weights by task, in which other tasks do not count."""
    trackers: list[Literal["csv", "tensorboard", "wandb", "mlflow"]] = ["csv"]
    """Loggers: `log.csv` and TensorBoard events next to the model; Weights & Biases and MLflow as their variables configure."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, e.g. 0.999; in step t, it is at most (1 + t) / (10 + t). The average is what is
    evaluated and stored. If omitted, the weights themselves are."""
    adversarial: Adversarial = None
    """Adversarial training: adds the gradients of a second pass over each batch, with moved word embeddings; `fgm`, ε alone, or a
    mapping of both. If omitted, there is no second pass."""
    r_drop: Annotated[float, Field(gt=0, le=100)] | None = None
    """R-Drop: α, the weight of the divergence of two passes with different dropout (arXiv 2106.14448). For heads with a score for
    each span and label. If omitted, there is one pass."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """ε of label smoothing: the target of gold spans is 1 - ε, and ε is spread over all spans; for softmax, over all tags. For
    softmax, and heads with a score for each span and label."""
    negative_sampling: Annotated[float, Field(gt=0, le=1000)] | None = None
    """λ: only about λ·n of the spans (and links) without annotation count in a step, n being the number of tokens; for data that
    lack annotation (arXiv 2012.05426). For heads that score spans. If omitted, all count."""


Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class CardSection(Section):
    language: Identifier | Annotated[list[Identifier], Field(min_length=1)] | None = None
    """Language of the texts by its ISO 639 code, such as zh, or a list of codes. If omitted, the model card names none."""
    license: Identifier | None = None
    """License of the model by its identifier on the Hub, such as apache-2.0. If omitted, the model card names none."""

    @property
    def first_language(self) -> str:
        """The first language; English if none is given, whose abbreviations are the most frequent ones."""
        languages = [self.language] if isinstance(self.language, str) else self.language
        return languages[0] if languages else "en"


class TaskSection(Section):
    """One task of a model: what is extracted, the data and the head."""

    task: TaskName = "ner"
    """What to extract: entities, relations between them (head gplinker, casrel or tplinker), or the similarity of two texts."""
    data: DataSection
    """The training, development and test data."""
    head: Head = EfficientGlobalPointerSection()
    """The head on top of the encoder."""


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


SHORT_FORM = ("task", "data", "head")
"""The fields of a recipe with one task, which `tasks` replaces."""
TWO_FORMS = "tasks: replaces task, data and head; move these into each task, e.g. tasks.NAME.head"


class Recipe(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the run and of its directory under runs/."""
    task: TaskName = "ner"
    """What to extract: entities, relations between them (head gplinker, casrel or tplinker), or the similarity of two texts."""
    data: DataSection | None = None
    """The training, development and test data."""
    encoder: EncoderSection
    """The pretrained encoder and the preparation of its input."""
    head: Head = EfficientGlobalPointerSection()
    """The head on top of the encoder."""
    tasks: dict[Name, TaskSection] = {}
    """Several named tasks on one encoder, each with task, data and head, which replace these three keys."""
    training: TrainingSection = TrainingSection()
    """Options of training."""
    card: CardSection = CardSection()
    """Facts for the model card that `ie` cannot know."""

    @model_validator(mode="after")
    def _has_data(self) -> Recipe:
        if self.data is None and not self.tasks:
            raise PydanticCustomError("no_data", "data is missing")
        if self.tasks and self.model_fields_set & set(SHORT_FORM):
            raise PydanticCustomError("two_forms", TWO_FORMS)
        return self

    @model_validator(mode="after")
    def _fits_stride(self) -> Recipe:
        """Lower the default stride to what max_length allows if no head reads windows, which alone have a stride."""
        encoder = self.encoder
        if "stride" not in encoder.model_fields_set and all(
            section.head.reads != "windows" for section in self.instances().values()
        ):
            smaller = encoder.model_copy(update={"stride": min(encoder.stride, encoder.max_length // 4)})
            object.__setattr__(self, "encoder", smaller)  # the section is frozen
        return self

    @model_validator(mode="after")
    def _fits_rate(self) -> Recipe:
        """Raise the default learning rate, which is that of pretrained encoders."""
        training = self.training
        if self.encoder.name == HASH_CNN and "learning_rate" not in training.model_fields_set:
            higher = training.model_copy(update={"learning_rate": SCRATCH_RATE})
            object.__setattr__(self, "training", higher)  # the section is frozen
        return self

    @model_serializer(mode="wrap")
    def _one_form(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the fields of the form in use: that of a single task or that of several tasks."""
        fields: dict[str, Any] = handler(self)
        left_out = ("task", "data", "head") if self.tasks else ("tasks",)
        return {name: value for name, value in fields.items() if name not in left_out}

    def instances(self) -> dict[str, TaskSection]:
        """Return the tasks of the model by name; a task in the short form is named after its kind."""
        if self.data is None:
            return self.tasks
        return {self.task: TaskSection(task=self.task, data=self.data, head=self.head)}
