"""Pairs of texts in the pipeline: the sequences that their tasks read, and similarities from the outputs of the heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from ie_cli.codecs.base import Annotation, Floats, Outputs
from ie_cli.codecs.pairs import MATRIX, PairDecoder
from ie_cli.encoding.tokenizer import Ids
from ie_cli.recipe.heads import Reads

if TYPE_CHECKING:
    from ie_cli.inference.pipeline import Engine, Extraction, Pending, Window

Key = str | tuple[str, str]
"""What the output for a sequence is stored under: its text, or both texts of a pair."""


@dataclass(slots=True, eq=False)
class PairRows:
    """The outputs of heads for texts and pairs, which documents share so that each distinct one is encoded once.

    Attributes:
        planned: the texts and pairs that have a sequence.
        rows: vectors or logits by task and text or pair; float32 ``[d]`` or ``[K]``.
    """

    planned: set[Key] = field(default_factory=set)
    rows: dict[tuple[str, Key], Floats] = field(default_factory=dict)


def pair_sequences(engine: Engine, pending: Pending) -> Iterator[tuple[Reads, Key, Ids]]:
    """Yield the sequences that the pair of a document needs and that have not been planned: what each holds, key and ids.

    A text that is too long is truncated, and counted.
    """
    if pending.document.text_pair is None or pending.second is None:
        return
    first, second = pending.document.text, pending.document.text_pair
    if "texts" in engine.pairs:
        for text, tokens in ((first, pending.tokens), (second, pending.second)):
            if text not in pending.rows.planned:
                yield text_sequence(engine, pending.rows, text, tokens.ids)
    if "pair" in engine.pairs and (first, second) not in pending.rows.planned:
        pending.rows.planned.add((first, second))
        sequences = engine.pairs["pair"]
        [ids] = sequences.ids(pending.tokens.ids, pending.second.ids)
        engine.counts.shortened += bool(sequences.truncated(pending.tokens.ids, pending.second.ids))
        yield "pair", (first, second), ids


def text_sequence(engine: Engine, rows: PairRows, text: str, tokens: Ids) -> tuple[Reads, Key, Ids]:
    """Plan the sequence of a text, and return what it holds, its key and its ids."""
    rows.planned.add(text)
    sequences = engine.pairs["texts"]
    engine.counts.shortened += len(tokens) > sequences.capacity
    return "texts", text, sequences.text(tokens)


def store_rows(engine: Engine, batch: Sequence[Window], outputs: Mapping[str, Outputs], reads: Reads) -> None:
    """Store what the heads of the tasks that read texts or pairs output for a batch of them."""
    if not any(window.key is not None for window in batch):
        return
    for part in engine.tasks:
        if part.codec.reads != reads:
            continue
        [block] = outputs[part.name].matrix(MATRIX)
        [values] = block.values()
        for window, row in zip(batch, values, strict=True):
            if window.key is not None:
                window.owner.rows.rows[part.name, window.key] = np.array(row, dtype=np.float32)


def annotate_pair(engine: Engine, part: Extraction, pending: Pending) -> Annotation:
    """Return the similarity and the class of a document's pair; nothing if it is no pair."""
    first, second = pending.document.text, pending.document.text_pair
    if second is None:
        return Annotation()
    decoder, rows = cast(PairDecoder, part.decoder), pending.rows.rows
    if part.codec.reads == "pair":
        return decoder.annotation(float(decoder.similarities(rows[part.name, (first, second)][None])[0]))
    vectors = np.stack([rows[part.name, first], rows[part.name, second]])
    if decoder.by_cosine:
        return decoder.annotation(float(decoder.cosines(vectors[:1], vectors[1:])[0]))
    places = {"first": np.zeros(1, dtype=np.int64), "second": np.ones(1, dtype=np.int64)}
    logits = engine.backend.query(part.name, MATRIX, vectors, places)["logits"]
    return decoder.annotation(float(decoder.similarities(logits)[0]))
