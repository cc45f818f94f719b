"""The pipeline from text to annotation: `ie predict`, `ie eval`, training and the Python API all call `extract`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Annotation, Candidates, Codec, Decoder, Decoding, Floats, Outputs
from ie_cli.document import Document
from ie_cli.encoding.pairs import PairSequences
from ie_cli.encoding.tokenizer import Ids, TextTokenizer, Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import with_whole_words
from ie_cli.inference.batches import run_all
from ie_cli.inference.chunks import grouped
from ie_cli.inference.merging import annotation_of
from ie_cli.inference.pairs import Key, PairRows, pair_sequences
from ie_cli.inference.splitting import Piece, Splitter, cut_texts, parts_of
from ie_cli.recipe.heads import Reads
from ie_cli.system.prefetch import Prefetcher

Other = TypeVar("Other")
Arguments = Mapping[str, npt.NDArray[Any]]


class Backend(Protocol):
    """A runtime for the model.

    One whose `run` returns before the outputs are computed has an attribute `ahead`, the default of `Engine.ahead`.
    """

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> Mapping[str, Outputs]:
        """Return the outputs of each task's head for one batch; ids int64 and mask bool ``[batch, L]``."""

    def query(self, task: str, name: str, vectors: Floats, arguments: Arguments) -> Mapping[str, npt.NDArray[Any]]:
        """Run a query of a task's head on vectors of its output, float32 ``[rows, d]``, whatever batches they are from."""

    def write(self, directory: Path) -> None:
        """Write the files of the model into a model directory."""


@dataclass(slots=True)
class Counts:
    """Counts over an extraction."""

    texts: int = 0
    windows: int = 0
    truncated: int = 0
    """Windows that exceeded the candidate limit: the model is untrained, or the threshold is far too low."""
    shortened: int = 0
    """Texts or pairs that a head reads as a whole, and that are longer than a window."""
    unpaired: int = 0
    """Documents without a second text, if every task compares two texts."""
    contested: int = 0
    """Pairs that several tasks have scored; a document has only the score of the last one."""
    cut: int = 0
    """Texts that were cut at sentence ends."""
    whole: int = 0
    """Texts that have far more tokens than the trained ones, and were not cut."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """One task of an engine: its name in the recipe, and how its head's outputs are decoded.

    Attributes:
        flat: whether overlaps are removed from the output.
        whole_words: whether no span starts or ends inside a word.
        decoding: the options that the decoder was built with.
    """

    name: str
    codec: Codec
    decoder: Decoder
    flat: bool = False
    whole_words: bool = False
    decoding: Decoding = field(default_factory=Decoding)

    @classmethod
    def build(cls, name: str, codec: Codec, decoding: Decoding, *, whole_words: bool = False) -> Extraction:
        """Build the decoder of a task."""
        return cls(name, codec, codec.decoder(decoding), decoding.flat, whole_words, decoding)

    def bounded(self, tokens: Tokens) -> Tokens:
        """Return the tokens of a text without the limits of another task."""
        return tokens if self.whole_words or tokens.may_bound is None else replace(tokens, may_bound=None)


@dataclass(frozen=True)
class Engine:
    """Everything that extraction needs besides the texts.

    Attributes:
        tasks: the tasks to extract in one pass of the encoder.
        batch_size: windows per forward pass.
        lookahead: number of texts that are sorted by length together.
        ahead: the number of batches that are launched before the oldest of them is decoded.
        splitter: cuts long texts; None cuts none, and counts none.
        observer: called with each document and its annotation, in order.
    """

    backend: Backend
    tokenizer: TextTokenizer
    plan: WindowPlan
    tasks: tuple[Extraction, ...]
    pad_id: int = 0
    batch_size: int = 32
    lookahead: int = 1024
    ahead: int = 0
    counts: Counts = field(default_factory=Counts)
    splitter: Splitter | None = None
    observer: Callable[[Pending, Annotation], None] | None = None

    @cached_property
    def pairs(self) -> dict[Reads, PairSequences]:
        """How texts and pairs become sequences, by what a head reads."""
        reads = {part.codec.reads for part in self.tasks} - {"windows"}
        length = self.plan.capacity + self.tokenizer.special_tokens
        return {kind: PairSequences.build(kind, self.tokenizer, length, pad_id=self.pad_id) for kind in reads}

    @property
    def reads_pairs(self) -> bool:
        """Whether a task needs the second texts of documents."""
        return bool(self.pairs)

    @property
    def needs_pairs(self) -> bool:
        """Whether every task compares two texts."""
        return all(part.codec.reads != "windows" for part in self.tasks)

    @property
    def pair_tasks(self) -> tuple[str, ...]:
        """The names of the tasks that compare two texts."""
        return tuple(part.name for part in self.tasks if part.codec.reads != "windows")

    @property
    def whole_words(self) -> bool:
        """Whether a task finds only spans of whole words."""
        return any(part.whole_words for part in self.tasks)

    def encode(self, texts: Sequence[str]) -> dict[str, Tokens]:
        """Return the tokens of each of some distinct texts, with the limits of words if a task has these."""
        tokens = dict(zip(texts, self.tokenizer.encode(texts), strict=True))
        return {t: with_whole_words(t, found) for t, found in tokens.items()} if self.whole_words else tokens

    def only(self, name: str) -> Engine:
        """Return the engine restricted to one of its tasks."""
        return replace(self, tasks=tuple(part for part in self.tasks if part.name == name))


_LOOKAHEAD_CHARACTERS = 2**16
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
    ready = Prefetcher(_tokenised(engine, chunks), waiting=1)
    try:
        for chunk, pending in ready:
            yield _filled(chunk, _annotate(engine, pending))
    finally:
        ready.close()
        reader.close()


def chunks_of(engine: Engine, items: Iterable[Document | Other]) -> Iterator[list[Document | Other]]:
    """Group documents into the chunks that `extract_chunks` annotates."""
    with closing(Prefetcher(items, waiting=min(engine.lookahead, _WAITING))) as reader:
        yield from grouped(reader, size=engine.lookahead, characters=_LOOKAHEAD_CHARACTERS)


def _filled(chunk: Iterable[Document | Other], annotated: Iterator[Document]) -> Iterator[Document | Other]:
    """Yield the items of a chunk, with documents replaced by annotated ones."""
    for item in chunk:
        yield next(annotated) if isinstance(item, Document) else item


def _tokenised(
    engine: Engine, chunks: Iterable[list[Document | Other]]
) -> Iterator[tuple[list[Document | Other], list[Pending]]]:
    """Yield each chunk with its documents and their tokens."""
    for chunk in chunks:
        yield chunk, tokenise(engine, [item for item in chunk if isinstance(item, Document)], PairRows())


def tokenise(engine: Engine, documents: Sequence[Document], rows: PairRows | None = None) -> list[Pending]:
    """Tokenise documents, and their second texts if a task needs these.

    Args:
        engine: what predicts.
        documents: the documents.
        rows: what the documents share of the outputs for pairs, so that each distinct text is encoded once; if omitted,
            each document has its own.
    """
    seconds = [document.text_pair if engine.reads_pairs else None for document in documents]
    distinct = list(dict.fromkeys(text for text in (*(d.text for d in documents), *seconds) if text is not None))
    tokens = engine.encode(distinct)
    pending = [
        Pending(
            document,
            tokens[document.text],
            None if second is None else tokens[second],
            PairRows() if rows is None else rows,
        )
        for document, second in zip(documents, seconds, strict=True)
    ]
    return cut_texts(engine, pending)


def _annotate(engine: Engine, documents: Sequence[Pending]) -> Iterator[Document]:
    """Annotate documents: sort all their windows by length, run them in batches, and decode the outputs."""
    waiting = deque(documents)
    run_all(engine, split_windows(engine, documents))
    engine.counts.texts += len(waiting)
    engine.counts.unpaired += sum(pending.second is None for pending in waiting) if engine.needs_pairs else 0
    while waiting:
        yield merge_windows(engine, waiting.popleft())


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A tokenised document whose windows are being run.

    Attributes:
        second: the tokens of the second text, if a task needs them.
        rows: the outputs for pairs.
        found: task -> part -> candidates of each window, with token positions counted from the start of the text.
        pieces: the parts of the text that are annotated instead of it, if it is cut.
    """

    document: Document
    tokens: Tokens
    second: Tokens | None = None
    rows: PairRows = field(default_factory=PairRows)
    found: dict[str, dict[str, list[Candidates]]] = field(default_factory=dict)
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A sequence of tokens for the encoder: a window of a document, a text of a pair, or a pair.

    Attributes:
        number, first: of a window of a document, its number and its first token.
        ids: the ids; those of a window of a document are without special tokens.
        reads: what the sequence holds.
        key: what the output for a complete text or a pair is stored under; None if it is not needed.
    """

    owner: Pending
    number: int
    first: int
    ids: Ids
    reads: Reads = "windows"
    key: Key | None = None


def split_windows(engine: Engine, documents: Sequence[Pending]) -> list[Window]:
    """Return the sequences that documents need: their windows, of which a text without tokens has none, and those of pairs."""
    windows = [window for pending in parts_of(documents) for window in _windows_of(engine, pending)]
    for pending in documents:  # after all windows, because a window that is a whole text is also the text's sequence
        windows += [Window(pending, 0, 0, ids, reads, key) for reads, key, ids in pair_sequences(engine, pending)]
    return windows


def _windows_of(engine: Engine, pending: Pending) -> list[Window]:
    tokens, text = pending.tokens, pending.document.text
    if not len(tokens) or engine.needs_pairs:
        return []
    starts, capacity = engine.plan.starts(len(tokens)).tolist(), engine.plan.capacity
    planned = pending.rows.planned
    key: Key | None = None
    if len(starts) == 1 and pending.second is not None and "texts" in engine.pairs and text not in planned:
        planned.add(text)
        key = text
    return [
        Window(pending, number, first, tokens.ids[first : first + capacity], key=key)
        for number, first in enumerate(starts)
    ]


def merge_windows(engine: Engine, pending: Pending) -> Document:
    """Return a document annotated from the candidates of all its windows."""
    engine.counts.contested += pending.document.text_pair is not None and len(engine.pair_tasks) > 1
    document, annotation = pending.document, annotation_of(engine, pending)
    if engine.observer is not None:
        engine.observer(pending, annotation)
    return Document(
        document.text,
        annotation.entities,
        annotation.relations,
        document.id,
        document.meta,
        document.where,
        text_pair=document.text_pair,
        label=annotation.label,
        score=annotation.score,
        columns=document.columns and document.columns.without_tags(),
        related=annotation.related,
    )
