"""The heads that a recipe may name: a literal table of their options, their tasks and their parts.

A head defines how something is extracted. Its entry joins three parts: a section of the recipe, a codec (gold annotations to
targets and model outputs to annotations, in numpy) and a builder of the torch module. The last two are imported on demand, so
that reading a recipe imports neither numpy nor torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ie_cli.recipe.base import Section


class HeadSection(Section):
    """Options of all heads; each head in the table defines its own `name`."""

    decoding: ClassVar[frozenset[str]] = frozenset({"flat", "threshold", "thresholds"})
    """Fields that may be changed after training, because the weights do not depend on them."""
    continued: ClassVar[frozenset[str]] = frozenset()
    """Fields of training alone: a head with another value takes over the weights in training.init_from."""
    has_predicates: ClassVar[bool] = False
    """Whether thresholds and weights may name predicates as well as labels, and data.schema_file is allowed."""

    name: str
    """Name of the head in the table of heads."""
    flat: bool = False
    """Output no overlapping entities: greedy selection by score. False allows nested entities."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Minimum score of an item in the output."""
    thresholds: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    """Minimum score per label or predicate, if it differs from `threshold`."""


class PointerSection(HeadSection):
    """Options of heads that score pairs of tokens with query and key vectors."""

    head_size: Annotated[int, Field(gt=0, le=4096, multiple_of=2)] = 64
    """Dimension of the query and key vectors."""
    rope: bool = True
    """Use rotary position embeddings in the scores; without them GlobalPointer can hardly distinguish spans."""


class EfficientGlobalPointerSection(PointerSection):
    """One shared span scorer and a bias per label and boundary (kexue.fm/archives/8877)."""

    name: Literal["efficient_global_pointer"] = "efficient_global_pointer"
    """Span scorer: efficient_global_pointer, or global_pointer with a separate scorer per label."""


class GlobalPointerSection(PointerSection):
    """A separate span scorer per label (kexue.fm/archives/8373)."""

    name: Literal["global_pointer"]
    """Span scorer: global_pointer, or efficient_global_pointer with one shared scorer for all labels."""


class RelationSection(HeadSection):
    """Options of relation heads: their entity labels, and the types that a predicate joins."""

    has_predicates: ClassVar[bool] = True

    entity_rows: Literal["auto", "types", "roles"] = "auto"
    """Entity labels: the entity types, or the roles subject and object; `auto`: types if the data annotate entities."""
    type_pairs: Literal["schema", "observed", "any"] = "schema"
    """With entity types as labels, the types a predicate joins: those of data.schema_file (else any), those of train, or any."""

    def has_entity_types(self, *, annotated: bool) -> bool:
        """Return whether the entity labels are types, not roles.

        Args:
            annotated: whether the training data annotate entities.
        """
        return self.entity_rows == "types" or (self.entity_rows == "auto" and annotated)


class GPLinkerSection(RelationSection, PointerSection):
    """An entity scorer, and two scorers that link starts and ends of subject and object (kexue.fm/archives/8888)."""

    name: Literal["gplinker"]
    """Relation extractor: gplinker."""
    entity_scorer: Literal["global_pointer", "efficient_global_pointer"] = "global_pointer"
    """Scorer of the entities."""


class TPLinkerSection(RelationSection):
    """Tags of pairs of tokens: entities, and links between starts and ends of subject and object (COLING 2020)."""

    continued: ClassVar[frozenset[str]] = frozenset({"entities_first"})

    name: Literal["tplinker"]
    """Relation extractor: tplinker."""
    entity_rows: Literal["auto", "roles"] = "auto"
    """Entity labels: always the roles subject and object."""
    head_size: Annotated[int, Field(gt=0, le=4096)] | None = None
    """Dimension of the vectors of pairs of tokens; by default that of the encoder."""
    entities_first: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the training in which the weight of the losses moves from entities to links; 0: equal weights from the start."""

    def has_entity_types(self, *, annotated: bool) -> bool:
        """Return False: an entity is any argument of a relation."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """An entry of the table of heads.

    Attributes:
        section: its section of a recipe.
        tasks: names of the tasks that it supports. The default head of a task is the first in the table that supports it.
        codec: imports and returns the class of its codec (`codecs.base.Codec`).
        builder: imports and returns the function that builds its module (`modeling.heads.base.Builder`); a recipe may set the
            function's keyword-only arguments.
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
    "gplinker": HeadSpec(
        section=GPLinkerSection,
        tasks=("relation",),
        codec=lambda: import_module("ie_cli.codecs.gplinker").GPLinkerCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.gplinker").build,
    ),
    "tplinker": HeadSpec(
        section=TPLinkerSection,
        tasks=("relation",),
        codec=lambda: import_module("ie_cli.codecs.tplinker").TPLinkerCodec,
        builder=lambda: import_module("ie_cli.modeling.heads.tplinker").build,
    ),
}


def heads_of(task: str) -> list[str]:
    """Return the names of the heads that support a task, the default first."""
    return [name for name, spec in HEADS.items() if task in spec.tasks]


def task_names() -> list[str]:
    """Return the names of the tasks that some head supports, in the order of the table."""
    return list(dict.fromkeys(task for spec in HEADS.values() for task in spec.tasks))
