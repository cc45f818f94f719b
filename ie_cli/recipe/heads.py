"""The heads that a recipe may name: a literal table of their options, their tasks and their parts.

A head defines how something is extracted. Its entry joins a section of the recipe, a codec (gold annotations to targets and model
outputs to annotations, in numpy) and a builder of the torch module. The last two are imported on demand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ie_cli.recipe.base import Section
from ie_cli.recipe.threshold import ThresholdOption

Reads = Literal["windows", "texts", "pair"]
"""What a sequence of the encoder holds: a window of a text, one of the two texts of a pair, or both."""


class HeadSection(Section):
    """Options of all heads; each head in the table defines its own `name`."""

    decoding: ClassVar[frozenset[str]] = frozenset({"flat", "threshold", "thresholds"})
    """Fields that may be changed after training, because the weights do not depend on them."""
    training: ClassVar[frozenset[str]] = frozenset()
    """Fields that matter only in training; a model that was trained with other values of them can be trained on."""
    nests: ClassVar[bool] = True
    """Whether the head can express entities that overlap."""
    has_predicates: ClassVar[bool] = False
    """Whether thresholds and weights may name predicates as well as labels, and data.schema_file is allowed."""
    reads: ClassVar[Reads] = "windows"
    """What a sequence of the encoder holds."""
    loss_options: ClassVar[frozenset[str]] = frozenset()
    """The fields of `training` that change the loss which the head supports."""

    name: str
    """Name of the head in the table of heads."""
    flat: bool = False
    """Output no overlapping entities: greedy selection by score. False allows nested entities."""
    threshold: ThresholdOption = "auto"
    """Minimum score of an item in the output; `auto`: 0.5, or what `ie train` chooses on data.dev if that is clearly better."""
    thresholds: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    """Minimum score per label or predicate, if it differs from `threshold`; nothing is then chosen on data.dev."""
    input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the components of the encoder's output that are dropped before the head in training."""
    whole_words: Literal["auto"] | bool = "auto"
    """Learn and find no entity that starts or ends inside a word; `auto`: if at most 0.1 % of the training data's do."""

    @property
    def compares_pairs(self) -> bool:
        """Whether the loss compares the pairs of a batch with each other, and learns nothing from those of a single class."""
        return False

    @property
    def cut_by(self) -> Literal["accuracy", "f1"]:
        """What the cuts between the classes of pairs maximise."""
        return "accuracy"

    def has_entity_types(self, *, annotated: bool) -> bool:
        """Return whether the head learns the annotated entities with their types, those in no relation included.

        Args:
            annotated: whether the training data annotate entities.
        """
        return True


class PointerSection(HeadSection):
    """Options of heads that score pairs of tokens with query and key vectors."""

    loss_options: ClassVar[frozenset[str]] = frozenset({"r_drop", "label_smoothing", "negative_sampling"})

    head_size: Annotated[int, Field(gt=0, le=4096, multiple_of=2)] = 64
    """Dimension of the query and key vectors."""
    rope: bool = True
    """Use rotary position embeddings in the scores; without them, a head can hardly distinguish spans."""


class EfficientGlobalPointerSection(PointerSection):
    """One shared span scorer and a bias per label and boundary (kexue.fm/archives/8877)."""

    name: Literal["efficient_global_pointer"] = "efficient_global_pointer"
    """Span scorer: efficient_global_pointer, or global_pointer with a separate scorer per label."""


class GlobalPointerSection(PointerSection):
    """A separate span scorer per label (kexue.fm/archives/8373)."""

    name: Literal["global_pointer"]
    """Span scorer: global_pointer, or efficient_global_pointer with one shared scorer for all labels."""


class TagSection(HeadSection):
    """Options of heads that give every token one tag, so that entities cannot overlap."""

    nests: ClassVar[bool] = False

    flat: bool = True
    """Output no overlapping entities: greedy selection by score. The best tags have no overlaps; lower thresholds may have."""
    scheme: Literal["bio", "bioes"] = "bio"
    """Tags of the tokens of an entity: `bio` marks the first and the other tokens, `bioes` also the last and the only one."""


class CrfSection(TagSection):
    """A linear-chain conditional random field: scores of tags, and learned scores of neighbouring tags."""

    training: ClassVar[frozenset[str]] = frozenset({"mask_illegal", "transition_learning_rate"})

    name: Literal["crf"]
    """Tagger: crf, or softmax without scores of neighbouring tags."""
    mask_illegal: bool = True
    """Exclude illegal sequences of tags in training; false excludes them only in decoding."""
    transition_learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    """Peak learning rate of the scores of neighbouring tags; they learn too little at the encoder's (kexue.fm/archives/7196)."""


class SoftmaxSection(TagSection):
    """A separate choice of the tag of each token; only decoding looks at neighbouring tags."""

    loss_options: ClassVar[frozenset[str]] = frozenset({"label_smoothing"})

    name: Literal["softmax"]
    """Tagger: softmax, or crf with scores of neighbouring tags."""


class BiaffineSection(PointerSection):
    """One label, or none, for every span: a softmax over biaffine scores (Yu et al. 2020, arXiv 2005.07150)."""

    training: ClassVar[frozenset[str]] = frozenset({"dropout"})
    loss_options: ClassVar[frozenset[str]] = frozenset({"negative_sampling"})

    name: Literal["biaffine"]
    """Span classifier: biaffine. Spans may nest, but a span has at most one label."""
    head_size: Annotated[int, Field(gt=0, le=4096, multiple_of=2)] = 150
    """Dimension of the vectors of first and last tokens; each label has a square matrix of this size."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the components of these vectors that are dropped in training, in addition to the encoder's dropout."""


class RelationSection(HeadSection):
    """Options of relation heads: their entity labels, and the types that a predicate joins."""

    has_predicates: ClassVar[bool] = True
    has_entity_labels: ClassVar[bool] = True
    """Whether the head can find labelled entities; otherwise its entity labels are always the roles subject and object."""

    flat: bool = False
    """Output no overlapping entities: greedy selection by score. A span may still be both subject and object. Relations whose
    subject or object is removed are removed, too."""
    entity_rows: Literal["auto", "types", "roles"] = "auto"
    """Entity labels: the entity types, or the roles subject and object; `auto`: types if the data annotate entities."""

    @property
    def allowed_pairs(self) -> Literal["schema", "observed", "any"]:
        """The pairs of entity types that a predicate may join."""
        return "schema"

    def has_entity_types(self, *, annotated: bool) -> bool:
        """Return whether the entity labels are types, not roles."""
        typed = self.entity_rows == "types" or (self.entity_rows == "auto" and annotated)
        return typed and self.has_entity_labels


class GPLinkerSection(RelationSection, PointerSection):
    """An entity scorer, and two scorers that link starts and ends of subject and object (kexue.fm/archives/8888)."""

    name: Literal["gplinker"]
    """Relation extractor: gplinker."""
    entity_scorer: Literal["global_pointer", "efficient_global_pointer"] = "global_pointer"
    """Scorer of the entities."""
    type_pairs: Literal["schema", "observed", "any"] = "schema"
    """With entity types as labels, the types a predicate joins: those of data.schema_file (else any), those of train, or any."""

    @property
    def allowed_pairs(self) -> Literal["schema", "observed", "any"]:
        """The pairs that the recipe names."""
        return self.type_pairs


class CasRelSection(RelationSection):
    """A tagger of subjects, and a tagger of the objects of each subject (Wei et al., ACL 2020; kexue.fm/archives/7161)."""

    has_entity_labels: ClassVar[bool] = False

    name: Literal["casrel"]
    """Relation extractor: casrel, which finds subjects first, and then the objects of each."""
    entity_rows: Literal["auto", "roles"] = "auto"
    """Entity labels: always the roles subject and object."""


class TPLinkerSection(RelationSection):
    """Tags of pairs of tokens: entities, and links between starts and ends of subject and object (COLING 2020)."""

    has_entity_labels: ClassVar[bool] = False
    training: ClassVar[frozenset[str]] = frozenset({"entities_first"})

    name: Literal["tplinker"]
    """Relation extractor: tplinker."""
    entity_rows: Literal["auto", "roles"] = "auto"
    """Entity labels: always the roles subject and object."""
    head_size: Annotated[int, Field(gt=0, le=4096)] | None = None
    """Dimension of the vectors of pairs of tokens; by default that of the encoder."""
    entities_first: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the training in which the weight of the losses moves from entities to links; 0: equal weights from the start."""


class MatchSection(HeadSection):
    """Options of heads that score pairs of texts. As these have no items, a recipe cannot set what is a class variable below."""

    decoding: ClassVar[frozenset[str]] = frozenset({"decision"})
    nests: ClassVar[bool] = False
    by_cosine: ClassVar[bool] = False
    """Whether the similarity of a pair is the cosine of two vectors, not what a classifier says."""
    flat: ClassVar[bool] = False  # type: ignore[misc]
    threshold: ClassVar[float] = 0.5  # type: ignore[misc]
    thresholds: ClassVar[dict[str, float]] = {}  # type: ignore[misc]
    input_dropout: ClassVar[float] = 0.0  # type: ignore[misc]
    whole_words: ClassVar[bool] = False  # type: ignore[misc]

    decision: Literal["accuracy", "f1"] = "accuracy"
    """What the scores between classes, chosen on dev, maximise: `accuracy`; or `f1`, for data with a rare class: that of the most
    similar of two classes, or the mean of more."""

    @property
    def cut_by(self) -> Literal["accuracy", "f1"]:
        return self.decision

    @property
    def classifies(self) -> bool:
        """Whether each class has weights of its own."""
        return True

    @property
    def compares_pairs(self) -> bool:
        """As its classes have no weights, the loss is the CoSENT loss."""
        return not self.classifies


class BiEncoderSection(MatchSection):
    """Options of heads that compare a vector of each text, so that each distinct text is encoded once."""

    reads: ClassVar[Reads] = "texts"
    by_cosine: ClassVar[bool] = True

    pooling: Literal["cls", "mean", "first_last"] = "mean"
    """Vector of a text: that of its first token, the mean of all tokens, or that mean over the first and the last layer."""


class CosentSection(BiEncoderSection):
    """Ranks pairs by the cosine of their vectors; labels need an order only (CoSENT, kexue.fm/archives/8847)."""

    training: ClassVar[frozenset[str]] = frozenset({"scale"})

    name: Literal["cosent"]
    """Scorer of pairs: cosent, a ranking of cosines."""
    scale: Annotated[float, Field(gt=0, le=1000)] = 20.0
    """λ: factor of the differences of cosines in the loss."""

    @property
    def classifies(self) -> bool:
        """No: only the order of the classes matters."""
        return False


class SbertSection(BiEncoderSection):
    """Learns classes from [u, v, |u - v|], or grades from the cosine; predicts by the cosine (SBERT, arXiv 1908.10084)."""

    name: Literal["sbert"]
    """Scorer of pairs: sbert, whose classifier of [u, v, |u - v|] serves in training only."""


class InferSentSection(BiEncoderSection):
    """Classifies pairs by [u, v, |u - v|, u * v] (InferSent, arXiv 1705.02364)."""

    by_cosine: ClassVar[bool] = False

    name: Literal["infersent"]
    """Scorer of pairs: infersent, a classifier of [u, v, |u - v|, u * v]."""


class CrossEncoderSection(MatchSection):
    """Encodes both texts of a pair together, and scores the first token (kexue.fm/archives/8860 and 9341)."""

    reads: ClassVar[Reads] = "pair"

    name: Literal["cross_encoder"]
    """Scorer of pairs: cross_encoder, which is more accurate than comparing vectors, but has to encode every pair."""
    loss: Literal["cross_entropy", "cosent"] = "cross_entropy"
    """`cross_entropy` learns the classes, or the grade as a share of its range; `cosent` learns only the order of the labels."""

    @property
    def classifies(self) -> bool:
        """Only with the cross-entropy."""
        return self.loss == "cross_entropy"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """An entry of the table of heads.

    Attributes:
        section: its section of a recipe.
        tasks: names of the tasks that it supports. The default head of a task is the first in the table that supports it.
        codec: imports and returns the class of its codec (`codecs.base.Codec`).
        builder: imports and returns the function that builds its module (`modeling.heads.base.Builder`).
    """

    section: type[HeadSection]
    tasks: tuple[str, ...]
    codec: Callable[[], Any]
    builder: Callable[[], Any]


HEADS: dict[str, HeadSpec] = {
    "efficient_global_pointer": HeadSpec(
        section=EfficientGlobalPointerSection,
        tasks=("ner",),
        codec=lambda: import_module("ie_cli.codecs.spans").SpanCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.efficient_global_pointer").build,
    ),
    "global_pointer": HeadSpec(
        section=GlobalPointerSection,
        tasks=("ner",),
        codec=lambda: import_module("ie_cli.codecs.spans").SpanCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.global_pointer").build,
    ),
    "crf": HeadSpec(
        section=CrfSection,
        tasks=("ner",),
        codec=lambda: import_module("ie_cli.codecs.tags").TagCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.crf").build,
    ),
    "softmax": HeadSpec(
        section=SoftmaxSection,
        tasks=("ner",),
        codec=lambda: import_module("ie_cli.codecs.tags").TagCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.softmax").build,
    ),
    "biaffine": HeadSpec(
        section=BiaffineSection,
        tasks=("ner",),
        codec=lambda: import_module("ie_cli.codecs.biaffine").BiaffineCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.biaffine").build,
    ),
    "gplinker": HeadSpec(
        section=GPLinkerSection,
        tasks=("relation",),
        codec=lambda: import_module("ie_cli.codecs.gplinker").GPLinkerCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.gplinker").build,
    ),
    "casrel": HeadSpec(
        section=CasRelSection,
        tasks=("relation",),
        codec=lambda: import_module("ie_cli.codecs.casrel").CasRelCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.casrel").build,
    ),
    "tplinker": HeadSpec(
        section=TPLinkerSection,
        tasks=("relation",),
        codec=lambda: import_module("ie_cli.codecs.tplinker").TPLinkerCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.tplinker").build,
    ),
    "cosent": HeadSpec(
        section=CosentSection,
        tasks=("match",),
        codec=lambda: import_module("ie_cli.codecs.pairs").PairCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.cosent").build,
    ),
    "sbert": HeadSpec(
        section=SbertSection,
        tasks=("match",),
        codec=lambda: import_module("ie_cli.codecs.pairs").PairCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.sbert").build,
    ),
    "infersent": HeadSpec(
        section=InferSentSection,
        tasks=("match",),
        codec=lambda: import_module("ie_cli.codecs.pairs").PairCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.infersent").build,
    ),
    "cross_encoder": HeadSpec(
        section=CrossEncoderSection,
        tasks=("match",),
        codec=lambda: import_module("ie_cli.codecs.pairs").PairCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.cross_encoder").build,
    ),
}


def heads_of(task: str) -> list[str]:
    """Return the names of the heads that support a task, the default first."""
    return [name for name, spec in HEADS.items() if task in spec.tasks]


def task_names() -> list[str]:
    """Return the names of the tasks that some head supports, in the order of the table."""
    return list(dict.fromkeys(task for spec in HEADS.values() for task in spec.tasks))
