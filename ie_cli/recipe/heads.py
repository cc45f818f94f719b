"""The heads that a recipe may name: a literal table of what each takes, what it can do, and where its parts are.

A head says how something is extracted. Its row joins three parts: a section of the recipe, a codec (gold annotation to
targets and model output to annotation, in numpy) and a builder of the torch module. The last two are imported when they are
needed, so that reading a recipe costs neither numpy nor torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ie_cli.recipe.base import Section


class HeadSection(Section):
    """What all heads have; a head of the table has a `name` of its own."""

    decoding: ClassVar[frozenset[str]] = frozenset({"flat", "threshold", "thresholds"})
    """Fields that may be changed after training: the weights do not depend on them."""
    has_predicates: ClassVar[bool] = False
    """Its thresholds and weights may name predicates beside labels, and data.schema_file may say what these join."""

    name: str
    """What it is called in the table of heads."""
    flat: bool = False
    """No overlapping entities in the output: greedy by score. False allows nesting."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Least score of an item in the output."""
    thresholds: dict[str, Annotated[float, Field(gt=0, lt=1)]] = {}
    """Least score per label or predicate, where it differs from `threshold`."""


class PointerSection(HeadSection):
    """Heads that score pairs of tokens by a query and a key."""

    head_size: Annotated[int, Field(gt=0, le=4096, multiple_of=2)] = 64
    """Dimension d of the query and key vectors."""
    rope: bool = True
    """Rotary positions in the scores; without them GlobalPointer can hardly tell spans apart."""


class EfficientGlobalPointerSection(PointerSection):
    """One shared span scorer and a bias per label and boundary (kexue.fm/archives/8877)."""

    name: Literal["efficient_global_pointer"] = "efficient_global_pointer"
    """What scores the spans: efficient_global_pointer, or global_pointer with a scorer of its own per label."""


class GlobalPointerSection(PointerSection):
    """A span scorer per label (kexue.fm/archives/8373)."""

    name: Literal["global_pointer"]
    """What scores the spans: global_pointer, or efficient_global_pointer with one scorer for all labels."""


class RelationSection(HeadSection):
    """What heads of relations share: the rows of their entities, and the types that a predicate joins."""

    has_predicates: ClassVar[bool] = True

    entity_rows: Literal["auto", "types", "roles"] = "auto"
    """Entity rows: a row per type, or one for subjects and one for objects; `auto`: types where the data annotate entities."""
    type_pairs: Literal["schema", "observed", "any"] = "schema"
    """With a row per type, which types a predicate joins: those of data.schema_file (without one any), those of train, any."""


class GPLinkerSection(RelationSection, PointerSection):
    """Relations: a scorer of entities, and two that link starts and ends of subject and object (kexue.fm/archives/8888)."""

    name: Literal["gplinker"]
    """What extracts relations: gplinker."""
    entity_scorer: Literal["global_pointer", "efficient_global_pointer"] = "global_pointer"
    """Scorer of the entity rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """A row of the table of heads.

    Attributes:
        section: its part of a recipe.
        tasks: names of the tasks that it can do. The default head of a task is the first of the table that can do it.
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
}


def heads_of(task: str) -> list[str]:
    """Names of the heads that can do a task, the default first."""
    return [name for name, spec in HEADS.items() if task in spec.tasks]


def task_names() -> list[str]:
    """Names of the tasks that some head can do, in the order of the table."""
    return list(dict.fromkeys(task for spec in HEADS.values() for task in spec.tasks))
