"""Heads of the table of heads for tests, with one schema and documents that all codecs can encode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args

import numpy as np
import torch
from hypothesis import strategies as st
from support.fakes import characters

from ie_cli.codecs.base import Codec, build_codec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.modeling.heads.base import Head, build_head
from ie_cli.recipe.heads import HEADS
from ie_cli.training.batching import TaskWindows
from ie_cli.training.encoded_dataset import encode_dataset
from ie_cli.training.window_encoding import Encoding
from ie_cli.triples import ROLES

SCHEMA = LabelSchema(("A", "B", "C"), ("p", "q", "r", "s"))
ROLE_SCHEMA = LabelSchema(ROLES, SCHEMA.predicates)
HIDDEN = 16
TOKENIZER = TextTokenizer(characters())
PLAN = WindowPlan(60, 20)


WINDOW_HEADS = [name for name, spec in HEADS.items() if spec.section.reads == "windows"]
"""The heads that find items in windows of a text."""
PAIR_HEADS = [name for name, spec in HEADS.items() if spec.section.reads != "windows"]
"""The heads that score pairs of texts."""
CLASSES = LabelSchema(("no", "maybe", "yes"))
GRADES = LabelSchema((), grades=(0.0, 5.0))


def schema_of_head(name: str) -> LabelSchema:
    """Return the schema of the examples; its labels are roles if the head has no labels of entities."""
    if name in PAIR_HEADS:
        return CLASSES
    field = HEADS[name].section.model_fields.get("entity_rows")
    return ROLE_SCHEMA if field is not None and "types" not in get_args(field.annotation) else SCHEMA


def codec_of_head(name: str, schema: LabelSchema | None = None, **options: Any) -> Codec:
    """Build the codec of a head in the table."""
    schema = schema or schema_of_head(name)
    return build_codec(HEADS[name].section.model_validate({"name": name, **options}), schema)


def built(
    name: str, schema: LabelSchema | None = None, *, hidden_size: int = HIDDEN, **options: Any
) -> torch.nn.Module:
    """Build a head with fresh, fixed weights; `options` as in a recipe. Call `train` for dropout."""
    torch.manual_seed(0)
    section = HEADS[name].section.model_validate({"name": name, **options})
    return build_head(section, hidden_size=hidden_size, codec=codec_of_head(name, schema, **options)).eval()


def windows_for(
    name: str, head: torch.nn.Module, documents: Sequence[Document], *, schema: LabelSchema | None = None
) -> TaskWindows:
    """Encode documents for a head and its codec; each is one window or pair."""
    codec = codec_of_head(name, schema)
    encoding = Encoding(tokenizer=TOKENIZER, plan=PLAN, codec=codec, pad_id=0)
    return TaskWindows("task", encode_dataset(documents, encoding, key=None), codec, cast(Head, head).collate)


def example(length: int, *, most: int = 100, seed: int = 0) -> Document:
    """Draw entities that nest and cross, all with distinct starts and ends, each in at most one relation.

    Factors of any form can express such gold: a pair scorer shared by all labels needs no entry for two labels. No character
    occurs twice, so that a mention has only one place.
    """
    random = np.random.default_rng(seed)
    places = zip(random.permutation(length).tolist(), (random.permutation(length) + 1).tolist(), strict=True)
    spans = [(start, end) for start, end in places if start < end][:most]
    entities = [Entity(*span, str(random.choice(SCHEMA.labels))) for span in spans]
    relations = [
        Relation(subject, str(random.choice(SCHEMA.predicates)), object_)
        for subject, object_ in zip(entities[::2], entities[1::2], strict=False)
    ]
    return Document("".join(map(chr, range(0x4E00, 0x4E00 + length))), sorted(entities), sorted(relations))


EXAMPLES = st.builds(example, st.integers(0, 12), most=st.sampled_from([0, 1, 2, 100]), seed=st.integers(0, 2**20))
"""Documents with such entities."""

APART = Document(
    "一二三四五六七八九",
    [Entity(0, 2, "A"), Entity(3, 4, "B"), Entity(5, 8, "C"), Entity(8, 9, "A")],
    [Relation(Entity(0, 2, "A"), "p", Entity(3, 4, "B")), Relation(Entity(5, 8, "C"), "s", Entity(8, 9, "A"))],
)
"""A document whose entities do not overlap, so that every codec can encode it."""
