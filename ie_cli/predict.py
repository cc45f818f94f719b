"""The one path from text to annotation: `ie predict`, `ie eval`, training and the Python API all call `extract`."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ie_cli.batches import pad, text_mask
from ie_cli.decode import Factors, Floats, decode_spans, probability, score_threshold
from ie_cli.example import Entity, Example
from ie_cli.tokenization import TextTokenizer, Tokens
from ie_cli.windows import Plan, to_entities

Other = TypeVar("Other")


class Backend(Protocol):
    """What runs the model: ids int64 and mask bool ``[batch, L]`` in, factors out."""

    def factors(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> Iterator[Factors]:
        """Factors of the scores of one batch."""


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
        thresholds: least probability per label, in the order of `labels`.
        temperature: T of the probability σ(s/T).
        flat: no overlaps.
        batch_size: windows in a forward pass.
        lookahead: texts that are sorted by length together.
    """

    backend: Backend
    tokenizer: TextTokenizer
    plan: Plan
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    temperature: float = 1.0
    flat: bool = False
    pad_id: int = 0
    batch_size: int = 32
    lookahead: int = 1024
    counts: Counts = field(default_factory=Counts)


_LOOKAHEAD_CHARACTERS = 2**16
_WAITING = 64  # items read while others are predicted; few, as each may be a document of megabytes


def extract(
    engine: Engine, items: Iterable[Example | Other], *, idle: float | None = None
) -> Iterator[Example | Other]:
    """Annotate examples in a stream, in order; memory does not grow with the stream.

    Args:
        items: examples, whose own entities and relations are not looked at; anything else passes through in its place.
        idle: on a pipe, go on with what there is after so many seconds without input.

    Yields:
        New examples with the predicted entities, and the id, meta and place of the old ones.
    """
    for chunk in read_ahead(items, size=engine.lookahead, characters=_LOOKAHEAD_CHARACTERS, idle=idle):
        examples = [item for item in chunk if isinstance(item, Example)]
        annotated = iter(_annotate(engine, examples))
        for item in chunk:
            yield next(annotated) if isinstance(item, Example) else item


def _annotate(engine: Engine, examples: Sequence[Example]) -> Iterator[Example]:
    tokens = engine.tokenizer.encode([example.text for example in examples])
    found = _find(engine, tokens)
    for example, entities in zip(examples, found, strict=True):
        yield Example(example.text, entities, [], example.id, example.meta, example.where)


@dataclass(frozen=True, slots=True)
class _Window:
    document: int
    number: int
    first: int
    ids: npt.NDArray[np.int32]


def _find(engine: Engine, documents: Sequence[Tokens]) -> list[list[Entity]]:
    """Entities of each tokenised text: all windows, sorted by length, batched, decoded, judged by their owners."""
    windows = [
        _Window(document, number, first, tokens.ids[first : first + engine.plan.capacity])
        for document, tokens in enumerate(documents)
        if len(tokens)
        for number, first in enumerate(engine.plan.starts(len(tokens)).tolist())
    ]
    windows.sort(key=lambda window: -len(window.ids))  # longest first: memory is met at once; the sort is stable
    thresholds = score_threshold(engine.thresholds, engine.temperature)
    cells: list[list[npt.NDArray[np.int64]]] = [[] for _ in documents]  # (row, first, last, window)
    scores: list[list[Floats]] = [[] for _ in documents]
    for start in range(0, len(windows), engine.batch_size):
        batch = windows[start : start + engine.batch_size]
        for window, part, score in _decode(engine, batch, thresholds):
            part[:, 1:] += window.first
            cells[window.document].append(np.insert(part, 3, window.number, axis=1))
            scores[window.document].append(score)
    engine.counts.texts += len(documents)
    engine.counts.windows += len(windows)
    return [
        _merge(engine, tokens, np.concatenate(part), np.concatenate(score)) if part else []
        for tokens, part, score in zip(documents, cells, scores, strict=True)
    ]


def _decode(
    engine: Engine, batch: Sequence[_Window], thresholds: Floats
) -> Iterator[tuple[_Window, npt.NDArray[np.int64], Floats]]:
    prefix, suffix = engine.tokenizer.prefix, engine.tokenizer.suffix
    ids, mask = pad([np.concatenate([prefix, window.ids, suffix]) for window in batch], engine.pad_id)
    text = text_mask(mask, len(prefix), len(suffix))
    found = decode_spans(engine.backend.factors(ids, mask), text, thresholds)
    engine.counts.capped += found.capped
    for sample in np.unique(found.cells[:, 0]).tolist():
        mine = found.cells[:, 0] == sample
        cells: npt.NDArray[np.int64] = found.cells[mine, 1:]
        cells[:, 1:] -= len(prefix)
        yield batch[sample], cells, found.scores[mine]


def _merge(engine: Engine, tokens: Tokens, cells: npt.NDArray[np.int64], scores: Floats) -> list[Entity]:
    mine = engine.plan.owners(len(tokens), cells[:, 1], cells[:, 2]) == cells[:, 3]
    return to_entities(
        tokens,
        cells[mine, :3],
        probability(scores[mine], engine.temperature),
        engine.labels,
        flat=engine.flat,
    )


def read_ahead(
    items: Iterable[Other], *, size: int, characters: int, idle: float | None = None
) -> Iterator[list[Other]]:
    """Group a stream into chunks of at most `size` items, about `characters` of text; a thread reads meanwhile.

    Args:
        idle: seconds after which a chunk that has something is given out although more may come.
    """
    waiting: queue.Queue[Other | _End] = queue.Queue(maxsize=min(size, _WAITING))
    stop = threading.Event()
    reader = threading.Thread(target=_fill, args=(iter(items), waiting, stop), daemon=True)
    reader.start()
    try:
        chunk: list[Other] = []
        length = 0
        while True:
            try:
                item = waiting.get(timeout=idle if chunk else None)
            except queue.Empty:
                yield chunk
                chunk, length = [], 0
                continue
            if isinstance(item, _End):
                if chunk:
                    yield chunk
                if item.error is not None:
                    raise item.error
                return
            chunk.append(item)
            length += len(item.text) if isinstance(item, Example) else 0
            if len(chunk) >= size or length >= characters:
                yield chunk
                chunk, length = [], 0
    finally:
        stop.set()


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


def _fill(items: Iterator[Other], waiting: queue.Queue[Other | _End], stop: threading.Event) -> None:
    error: BaseException | None = None
    try:
        for item in items:
            if not _put(waiting, item, stop):
                return
    except BaseException as caught:  # it is raised again where the items are used
        error = caught
    _put(waiting, _End(error), stop)


def _put(waiting: queue.Queue[Other | _End], item: Other | _End, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            waiting.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False
