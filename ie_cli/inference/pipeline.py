"""The pipeline from text to annotation: `ie predict`, `ie eval`, training and the Python API all call `extract`."""

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
    """A runtime for the model."""

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> Mapping[str, Outputs]:
        """Return the outputs of each task's head for one batch; ids int64 and mask bool ``[batch, L]``."""

    def write(self, directory: Path) -> None:
        """Write the files of the model into a model directory."""


@dataclass(slots=True)
class Counts:
    """Counts over an extraction."""

    texts: int = 0
    windows: int = 0
    truncated: int = 0
    """Windows that exceeded the candidate limit: the model is untrained, or the threshold is far too low."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """One task of an engine: its name in the recipe, and how its head's outputs are decoded.

    Attributes:
        flat: whether overlaps are removed from the output.
    """

    name: str
    codec: Codec
    decoder: Decoder
    flat: bool = False

    @classmethod
    def build(cls, name: str, codec: Codec, decoding: Decoding) -> Extraction:
        """Build the decoder of a task."""
        return cls(name, codec, codec.decoder(decoding), decoding.flat)


@dataclass(frozen=True)
class Engine:
    """Everything that extraction needs besides the texts.

    Attributes:
        tasks: the tasks to extract in one pass of the encoder.
        batch_size: windows per forward pass.
        lookahead: number of texts that are sorted by length together.
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
        """Return the engine restricted to one of its tasks."""
        return replace(self, tasks=tuple(part for part in self.tasks if part.name == name))


_LOOKAHEAD_CHARACTERS = 2**16
_TYPICAL_WINDOW = 512
_WAITING = 64  # items to prefetch during prediction; few, because each may be a document of several megabytes


def extract(
    engine: Engine, items: Iterable[Document | Other], *, idle: float | None = None
) -> Iterator[Document | Other]:
    """Annotate documents as a stream, in order; memory does not grow with the stream.

    Args:
        engine: what predicts.
        items: documents, whose own annotations are ignored; other items are passed through in their places.
        idle: for a pipe, seconds without input after which the items read so far are annotated. The batches, and with
            them the last digits of scores, then depend on time, unless `batch_size` is 1.

    Yields:
        New documents with the predicted annotations, and the id, meta and location of the given ones.
    """
    with closing(extract_chunks(engine, items, idle=idle)) as chunks:
        for chunk in chunks:
            yield from chunk


def extract_chunks(
    engine: Engine, items: Iterable[Document | Other], *, idle: float | None = None
) -> Generator[Iterator[Document | Other], None, None]:
    """Annotate documents like `extract`, in chunks that depend only on the items, unless `idle` is given.

    The result of a chunk is identical to the last bit whatever was read before it, so that a job can be resumed between
    two chunks.
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
    """Yield the items of a chunk, with documents replaced by annotated ones."""
    for item in chunk:
        yield next(annotated) if isinstance(item, Document) else item


def _tokenised(
    tokenizer: TextTokenizer, chunks: Iterable[list[Document | Other]]
) -> Iterator[tuple[list[Document | Other], list[Tokens]]]:
    """Yield each chunk with the tokens of its documents."""
    for chunk in chunks:
        yield chunk, tokenizer.encode([item.text for item in chunk if isinstance(item, Document)])


def _annotate(engine: Engine, documents: Sequence[Document], tokens: Sequence[Tokens]) -> Iterator[Document]:
    """Annotate documents: sort all their windows by length, run them in batches, and decode the outputs."""
    waiting = deque(Pending(document, own) for document, own in zip(documents, tokens, strict=True))
    windows = [window for pending in waiting for window in split_windows(engine, pending)]
    windows.sort(
        key=lambda window: -len(window.ids)
    )  # longest first, so that a lack of memory shows at once; the sort is stable
    start = 0
    while start < len(windows):
        batch = windows[start : start + max_windows(engine, len(windows[start].ids))]
        run_windows(engine, batch)
        start += len(batch)
    windows.clear()
    engine.counts.texts += len(waiting)
    while waiting:
        yield merge_windows(engine, waiting.popleft())


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A tokenised document whose windows are being run.

    Attributes:
        found: task -> part -> candidates of each window, with token positions counted from the start of the text.
    """

    document: Document
    tokens: Tokens
    found: dict[str, dict[str, list[Candidates]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A window of a document: its number, its first token, and its ids without special tokens."""

    owner: Pending
    number: int
    first: int
    ids: npt.NDArray[np.int32]


def split_windows(engine: Engine, pending: Pending) -> list[Window]:
    """Return the windows of a document; a text without tokens has none."""
    tokens = pending.tokens
    starts = engine.plan.starts(len(tokens)).tolist() if len(tokens) else []
    return [
        Window(pending, number, first, tokens.ids[first : first + engine.plan.capacity])
        for number, first in enumerate(starts)
    ]


def max_windows(engine: Engine, length: int) -> int:
    """Return the maximum number of windows of up to `length` tokens in a batch.

    A batch has at most as many tokens as one of typical windows, because memory grows with the square of the length.
    """
    return min(engine.batch_size, max(1, engine.batch_size * _TYPICAL_WINDOW // max(1, length)))


def run_windows(engine: Engine, batch: Sequence[Window]) -> None:
    """Run one batch of windows, and add the candidates to their documents."""
    tokenizer = engine.tokenizer
    ids, mask = pad([tokenizer.surround(window.ids) for window in batch], engine.pad_id)
    text = text_mask(mask, len(tokenizer.prefix), len(tokenizer.suffix))
    outputs = engine.backend.run(ids, mask)
    decoded = {part.name: part.decoder.decode(outputs[part.name], text) for part in engine.tasks}
    for part in engine.tasks:
        for name, candidates in decoded[part.name].parts.items():
            columns = part.decoder.tokens[name]
            for window, entries, scores in _by_window(batch, candidates):
                entries[:, columns] += window.first - len(tokenizer.prefix)
                entries = np.insert(entries, entries.shape[1], window.number, axis=1)
                window.owner.found.setdefault(part.name, {}).setdefault(name, []).append(Candidates(entries, scores))
    engine.counts.windows += len(batch)
    engine.counts.truncated += len(set[int]().union(*(found.truncated for found in decoded.values())))


def merge_windows(engine: Engine, pending: Pending) -> Document:
    """Return a document annotated from the candidates of all its windows."""
    document, annotation = pending.document, Annotation()
    for part in engine.tasks:
        found = pending.found.get(part.name, {})
        merged = {name: _concatenate(pieces) for name, pieces in found.items()}
        annotation.add(part.decoder.annotate(merged, pending.tokens, engine.plan, document.text))
    return Document(
        document.text,
        annotation.entities,
        annotation.relations,
        document.id,
        document.meta,
        document.where,
        text_pair=document.text_pair,
        columns=document.columns and document.columns.without_tags(),
        related=annotation.related,
    )


def _concatenate(pieces: Sequence[Candidates]) -> Candidates:
    return Candidates(
        np.concatenate([piece.entries for piece in pieces]), np.concatenate([piece.scores for piece in pieces])
    )


def _by_window(batch: Sequence[Window], found: Candidates) -> Iterator[tuple[Window, Index, Floats]]:
    """Yield the candidates of each window, without their sample number."""
    for sample in np.unique(found.entries[:, 0]).tolist():
        selected = found.entries[:, 0] == sample
        yield batch[sample], found.entries[selected, 1:], found.scores[selected]


def grouped(
    reader: Prefetcher[Other], *, size: int, characters: int, idle: float | None = None
) -> Iterator[list[Other]]:
    """Group items into chunks of at most `size` items and about `characters` characters of text.

    Args:
        reader: the items.
        size: maximum number of items.
        characters: number of characters after which a chunk ends.
        idle: seconds without input after which an unfinished chunk is yielded.
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
        except Exception as end:  # items read before an error are still yielded
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
