"""The one path from text to annotation: `ie predict`, `ie eval`, training and the Python API all call `extract`."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Annotation, Candidates, Codec, Decoder, Decoding, Floats, Index, Outputs
from ie_cli.document import Document
from ie_cli.encoding.padding import pad, text_mask
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.system.prefetch import Idle, Prefetcher

Other = TypeVar("Other")


class Backend(Protocol):
    """What runs the model."""

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> Mapping[str, Outputs]:
        """The outputs of each task's head for one batch; ids int64 and mask bool ``[batch, L]``."""

    def write(self, directory: Path) -> None:
        """Write the model's own files into a model directory."""


@dataclass(slots=True)
class Counts:
    """What an extraction met."""

    texts: int = 0
    windows: int = 0
    capped: int = 0
    """Windows in which more was found than is kept: the model is untrained or the threshold far too low."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """One task of an engine, by its name in the recipe: how its head's outputs become annotation."""

    name: str
    codec: Codec
    decoder: Decoder

    @classmethod
    def build(cls, name: str, codec: Codec, decoding: Decoding) -> Extraction:
        return cls(name, codec, codec.decoder(decoding))


@dataclass(frozen=True)
class Engine:
    """All that extraction needs besides the texts.

    Attributes:
        tasks: what is extracted, in one pass over the encoder.
        batch_size: windows in a forward pass.
        lookahead: texts that are sorted by length together.
    """

    backend: Backend
    tokenizer: TextTokenizer
    plan: WindowPlan
    tasks: tuple[Extraction, ...]
    pad_id: int = 0
    batch_size: int = 32
    lookahead: int = 1024
    counts: Counts = field(default_factory=Counts)

    def only(self, name: str) -> Engine:
        """The same engine for one of its tasks."""
        return replace(self, tasks=tuple(part for part in self.tasks if part.name == name))


_LOOKAHEAD_CHARACTERS = 2**16
_USUAL_WINDOW = 512
_WAITING = 64  # items read while others are predicted; few, as each may be a document of megabytes


def extract(
    engine: Engine, items: Iterable[Document | Other], *, idle: float | None = None
) -> Iterator[Document | Other]:
    """Annotate examples in a stream, in order; memory does not grow with the stream.

    Args:
        items: examples, whose own entities and relations are not looked at; anything else passes through in its place.
        idle: on a pipe, go on with what there is after so many seconds without input. Which windows are computed together
            then depends on time, and with it the last digits of scores, unless `batch_size` is 1.

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
    """Annotated documents: all windows, sorted by length, batched, decoded."""
    waiting = deque(Pending(document, own) for document, own in zip(documents, tokens, strict=True))
    windows = [window for pending in waiting for window in cut(engine, pending)]
    windows.sort(key=lambda window: -len(window.ids))  # longest first: memory is met at once; the sort is stable
    start = 0
    while start < len(windows):
        batch = windows[start : start + most_windows(engine, len(windows[start].ids))]
        run_windows(engine, batch)
        start += len(batch)
    windows.clear()
    engine.counts.texts += len(waiting)
    while waiting:
        yield annotated(engine, waiting.popleft())


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A tokenised document whose windows are being run.

    Attributes:
        found: task -> part -> candidates of each window, whose tokens count from the beginning of the text.
    """

    document: Document
    tokens: Tokens
    found: dict[str, dict[str, list[Candidates]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A part of a document that the model sees at once: its number, its first token, the ids without special tokens."""

    owner: Pending
    number: int
    first: int
    ids: npt.NDArray[np.int32]


def cut(engine: Engine, pending: Pending) -> list[Window]:
    """The windows of a document; a text without tokens has none."""
    tokens = pending.tokens
    starts = engine.plan.starts(len(tokens)).tolist() if len(tokens) else []
    return [
        Window(pending, number, first, tokens.ids[first : first + engine.plan.capacity])
        for number, first in enumerate(starts)
    ]


def most_windows(engine: Engine, length: int) -> int:
    """How many windows of at most `length` tokens make a batch.

    As many tokens as a batch of usual windows has, at most: memory grows with the square of a longer one.
    """
    return min(engine.batch_size, max(1, engine.batch_size * _USUAL_WINDOW // max(1, length)))


def run_windows(engine: Engine, batch: Sequence[Window]) -> None:
    """Run one batch of windows, and hand what is found to their documents."""
    tokenizer = engine.tokenizer
    ids, mask = pad([tokenizer.surround(window.ids) for window in batch], engine.pad_id)
    text = text_mask(mask, len(tokenizer.prefix), len(tokenizer.suffix))
    outputs = engine.backend.run(ids, mask)
    decoded = {part.name: part.decoder.decode(outputs[part.name], text) for part in engine.tasks}
    for part in engine.tasks:
        for name, candidates in decoded[part.name].parts.items():
            columns = part.decoder.tokens[name]
            for window, cells, scores in _by_window(batch, candidates):
                cells[:, columns] += window.first - len(tokenizer.prefix)
                cells = np.insert(cells, cells.shape[1], window.number, axis=1)
                window.owner.found.setdefault(part.name, {}).setdefault(name, []).append(Candidates(cells, scores))
    engine.counts.windows += len(batch)
    engine.counts.capped += len(set[int]().union(*(found.truncated for found in decoded.values())))


def annotated(engine: Engine, pending: Pending) -> Document:
    """A document with what was found in all its windows."""
    document, annotation = pending.document, Annotation()
    for part in engine.tasks:
        if part.name in pending.found:
            pieces = {name: _joined(pieces) for name, pieces in pending.found[part.name].items()}
            annotation.add(part.decoder.annotate(pieces, pending.tokens, engine.plan, document.text))
    return Document(
        document.text,
        annotation.entities,
        annotation.relations,
        document.id,
        document.meta,
        document.where,
        text_pair=document.text_pair,
    )


def _joined(pieces: Sequence[Candidates]) -> Candidates:
    return Candidates(
        np.concatenate([piece.cells for piece in pieces]), np.concatenate([piece.scores for piece in pieces])
    )


def _by_window(batch: Sequence[Window], found: Candidates) -> Iterator[tuple[Window, Index, Floats]]:
    """The items of each window, without the number of the sample."""
    for sample in np.unique(found.cells[:, 0]).tolist():
        mine = found.cells[:, 0] == sample
        yield batch[sample], found.cells[mine, 1:], found.scores[mine]


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
