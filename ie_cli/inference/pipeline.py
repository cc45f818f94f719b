"""The one path from text to annotation: `ie predict`, `ie eval`, training and the Python API all call `extract`."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.links import decode_links
from ie_cli.codecs.relations import flat_roles, link_rules, to_relations
from ie_cli.codecs.spans import Factors, Floats, Index, SharedFactors, decode_spans, probability, score_threshold
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.padding import pad, text_mask
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.encoding.windows import WindowPlan, to_entities
from ie_cli.system.prefetch import Idle, Prefetcher

Other = TypeVar("Other")


class Backend(Protocol):
    """What runs the model: ids int64 and mask bool ``[batch, L]`` in, factors of each table of the head out."""

    def factors(
        self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]
    ) -> Sequence[Iterable[Factors]]:
        """Factors of the scores of one batch: entities; of a relation model also links of starts, links of ends."""

    def write(self, folder: Path) -> None:
        """Write the model's own files into a model folder."""


@dataclass(slots=True)
class Counts:
    """What an extraction met."""

    texts: int = 0
    windows: int = 0
    capped: int = 0
    """Windows in which more was found than is kept: the model is untrained or the threshold far too low."""


@dataclass(frozen=True)
class Engine:
    """All that extraction needs besides the texts.

    Attributes:
        thresholds: least probability per label, in the schema's order.
        link_thresholds: least probability per predicate.
        temperature: T of the probability σ(s/T).
        flat: no overlaps.
        batch_size: windows in a forward pass.
        lookahead: texts that are sorted by length together.
    """

    backend: Backend
    tokenizer: TextTokenizer
    plan: WindowPlan
    schema: LabelSchema
    thresholds: tuple[float, ...]
    link_thresholds: tuple[float, ...] = ()
    temperature: float = 1.0
    flat: bool = False
    pad_id: int = 0
    batch_size: int = 32
    lookahead: int = 1024
    counts: Counts = field(default_factory=Counts)


_LOOKAHEAD_CHARACTERS = 2**16
_USUAL_WINDOW = 512
_WAITING = 64  # items read while others are predicted; few, as each may be a document of megabytes


def extract(
    engine: Engine, items: Iterable[Document | Other], *, idle: float | None = None
) -> Iterator[Document | Other]:
    """Annotate examples in a stream, in order; memory does not grow with the stream.

    Args:
        items: examples, whose own entities and relations are not looked at; anything else passes through in its place.
        idle: on a pipe, go on with what there is after so many seconds without input.

    Yields:
        New examples with the predicted entities and relations, and the id, meta and place of the old ones.
    """
    with closing(extract_chunks(engine, items, idle=idle)) as chunks:
        for chunk in chunks:
            yield from chunk


def extract_chunks(
    engine: Engine, items: Iterable[Document | Other], *, idle: float | None = None
) -> Generator[Iterator[Document | Other], None, None]:
    """`extract`, in chunks that depend on nothing but the items, unless `idle` is given.

    What is found in a chunk is the same whatever was read before it, to the last bit: a job can go on between two.
    """
    reader = Prefetcher(items, waiting=min(engine.lookahead, _WAITING))
    chunks = grouped(reader, size=engine.lookahead, characters=_LOOKAHEAD_CHARACTERS, idle=idle)
    ready = Prefetcher(_tokenised(engine.tokenizer, chunks), waiting=1)
    try:
        for chunk, tokens in ready:
            documents = [item for item in chunk if isinstance(item, Document)]
            yield _filled(chunk, _annotate(engine, documents, tokens))
    finally:
        ready.close()
        reader.close()


def _filled(chunk: Iterable[Document | Other], annotated: Iterator[Document]) -> Iterator[Document | Other]:
    """A chunk with the annotated examples in the places of its own."""
    for item in chunk:
        yield next(annotated) if isinstance(item, Document) else item


def _tokenised(
    tokenizer: TextTokenizer, chunks: Iterable[list[Document | Other]]
) -> Iterator[tuple[list[Document | Other], list[Tokens]]]:
    """Each chunk with the tokens of its examples."""
    for chunk in chunks:
        yield chunk, tokenizer.encode([item.text for item in chunk if isinstance(item, Document)])


def _annotate(engine: Engine, documents: Sequence[Document], tokens: Sequence[Tokens]) -> Iterator[Document]:
    for document, own, found in zip(documents, tokens, _find(engine, tokens), strict=True):
        entities = found.entities(engine, own)
        relations = found.relations(engine, own, document.text, entities) if engine.schema.predicates else []
        yield Document(document.text, entities, relations, document.id, document.meta, document.where)


@dataclass(frozen=True, slots=True)
class _Window:
    document: int
    number: int
    first: int
    ids: npt.NDArray[np.int32]


@dataclass(slots=True)
class _Findings:
    """What its windows found in a text, in tokens of the text.

    *Shapes:* an item of spans int64 ``[n, 4]`` (row, first, last, window), of links ``[n, 8]`` (predicate, subject's row,
    first, last, object's row, first, last, window); scores float32 ``[n]`` beside each.
    """

    spans: list[tuple[Index, Floats]] = field(default_factory=list)
    links: list[tuple[Index, Floats]] = field(default_factory=list)

    def entities(self, engine: Engine, tokens: Tokens) -> list[Entity]:
        """The spans that the windows which own them found."""
        if not self.spans:
            return []
        cells, scores = (np.concatenate(parts) for parts in zip(*self.spans, strict=True))
        mine = engine.plan.owners(len(tokens), cells[:, 1], cells[:, 2]) == cells[:, 3]
        chances = probability(scores[mine], engine.temperature)
        roles = engine.schema.roles
        entities = to_entities(tokens, cells[mine, :3], chances, engine.schema.labels, flat=engine.flat and not roles)
        return flat_roles(entities) if engine.flat and roles else entities

    def relations(self, engine: Engine, tokens: Tokens, text: str, entities: Sequence[Entity]) -> list[Relation]:
        """The triples that the windows which own them found, between spans that are among the entities."""
        if not self.links:
            return []
        cells, scores = (np.concatenate(parts) for parts in zip(*self.links, strict=True))
        hull = cells[:, [2, 5]].min(axis=1), cells[:, [3, 6]].max(axis=1)
        mine = engine.plan.owners(len(tokens), *hull) == cells[:, 7]
        chances = probability(scores[mine], engine.temperature)
        return to_relations(tokens, cells[mine, :7], chances, engine.schema, text, entities)


def _find(engine: Engine, documents: Sequence[Tokens]) -> list[_Findings]:
    """What is found in each tokenised text: all windows, sorted by length, batched, decoded."""
    windows = [
        _Window(document, number, first, tokens.ids[first : first + engine.plan.capacity])
        for document, tokens in enumerate(documents)
        if len(tokens)
        for number, first in enumerate(engine.plan.starts(len(tokens)).tolist())
    ]
    windows.sort(key=lambda window: -len(window.ids))  # longest first: memory is met at once; the sort is stable
    decoder = _Decoder(engine)
    found = [_Findings() for _ in documents]
    start = 0
    while start < len(windows):
        # As many tokens as a batch of usual windows has, at most: memory grows with the square of a longer one.
        most = engine.batch_size * _USUAL_WINDOW // max(1, len(windows[start].ids))
        batch = windows[start : start + min(engine.batch_size, max(1, most))]
        decoder.decode(batch, found)
        start += len(batch)
    engine.counts.texts += len(documents)
    engine.counts.windows += len(windows)
    return found


class _Decoder:
    """Runs batches of windows through the model, and hands what is found to their documents."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.thresholds = score_threshold(engine.thresholds, engine.temperature)
        self.link_thresholds = score_threshold(engine.link_thresholds, engine.temperature)
        self.rules = link_rules(engine.schema) if engine.schema.predicates else None

    def decode(self, batch: Sequence[_Window], documents: Sequence[_Findings]) -> None:
        """Decode one batch."""
        engine = self.engine
        prefix, suffix = engine.tokenizer.prefix, engine.tokenizer.suffix
        ids, mask = pad([np.concatenate([prefix, window.ids, suffix]) for window in batch], engine.pad_id)
        text = text_mask(mask, len(prefix), len(suffix))
        tables = engine.backend.factors(ids, mask)
        found = decode_spans(tables[0], text, self.thresholds)
        truncated = found.truncated
        for window, cells, scores in _by_window(batch, found.cells, found.scores):
            cells[:, 1:] += window.first - len(prefix)
            documents[window.document].spans.append((np.insert(cells, 3, window.number, axis=1), scores))
        if self.rules is not None:
            links = decode_links(found, _one(tables[1]), _one(tables[2]), self.rules, self.link_thresholds)
            truncated |= links.truncated
            for window, cells, scores in _by_window(batch, links.cells, links.scores):
                cells[:, [2, 3, 5, 6]] += window.first - len(prefix)
                documents[window.document].links.append((np.insert(cells, 7, window.number, axis=1), scores))
        engine.counts.capped += len(truncated)


def _one(factors: Iterable[Factors]) -> SharedFactors:
    """The factors of a link table, which has one scorer for all predicates."""
    part = next(iter(factors))
    if not isinstance(part, SharedFactors):
        raise TypeError(f"a link table has shared factors, got {type(part).__name__}")
    return part


def _by_window(batch: Sequence[_Window], cells: Index, scores: Floats) -> Iterator[tuple[_Window, Index, Floats]]:
    """The items of each window, without the number of the sample."""
    for sample in np.unique(cells[:, 0]).tolist():
        mine = cells[:, 0] == sample
        yield batch[sample], cells[mine, 1:], scores[mine]


def grouped(
    reader: Prefetcher[Other], *, size: int, characters: int, idle: float | None = None
) -> Iterator[list[Other]]:
    """Group what is read into chunks of at most `size` items, about `characters` of text.

    Args:
        idle: seconds after which a chunk that has something is given out although more may come.
    """
    chunk: list[Other] = []
    length = 0
    while True:
        try:
            item = reader.get(timeout=idle if chunk else None)
        except Idle:
            yield chunk
            chunk, length = [], 0
            continue
        except Exception as end:  # what was read before an error is not lost
            if chunk:
                yield chunk
            if isinstance(end, StopIteration):
                return
            raise
        chunk.append(item)
        length += len(item.text) if isinstance(item, Document) else 0
        if len(chunk) >= size or length >= characters:
            yield chunk
            chunk, length = [], 0
