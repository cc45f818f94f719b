"""Texts as unit vectors, whose dot product is the similarity of two texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import numpy as np

from ie_cli.codecs.base import Floats
from ie_cli.document import Document
from ie_cli.errors import ModelError
from ie_cli.inference.batches import run_all
from ie_cli.inference.chunks import grouped
from ie_cli.inference.pairs import PairRows, text_sequence
from ie_cli.inference.pipeline import Engine, Pending, Window
from ie_cli.system.prefetch import Prefetcher

_CHARACTERS = 2**16  # of the texts that are sorted by length together
_WAITING = 64  # texts to prefetch
_REMEMBERED = 2**24  # numbers in the vectors of earlier texts, which are not encoded again


def embedding_engine(engine: Engine, task: str | None = None) -> Engine:
    """Return the engine restricted to the task whose head gives a text a vector.

    Args:
        engine: the engine of a model.
        task: the name of the task in the recipe; it may be omitted if there is only one such task.

    Raises:
        ModelError: there is no such task, or there are several and none is named.
    """
    able = [part.name for part in engine.tasks if part.codec.reads == "texts"]
    if not able:
        raise ModelError(
            "the model gives a text no vector: it has no head that reads the texts of a pair one at a time",
            hint="train a model with task: match and the head cosent or sbert.",
        )
    if task is not None and task not in able:
        exists = any(part.name == task for part in engine.tasks)
        problem = f"the task {task} gives a text no vector" if exists else f"the model has no task {task}"
        raise ModelError(problem, hint=f"name {' or '.join(able)} with --task.")
    if task is None and len(able) > 1:
        raise ModelError(f"several tasks give a text a vector: {', '.join(able)}", hint="name one with --task.")
    return engine.only(task or able[0])


def embed(engine: Engine, texts: Iterable[str]) -> Iterator[Floats]:
    """Yield the unit vector of each text, in order; float32 ``[d]``.

    A text that occurs again gets the same vector without being encoded again, unless many other texts were in between;
    memory does not grow with the stream.

    Args:
        engine: an engine of one task whose head gives a text a vector; see `embedding_engine`.
        texts: the texts, which a separate thread prefetches.
    """
    for _, vector in embed_documents(engine, map(Document, texts)):
        yield vector


def embed_documents(engine: Engine, documents: Iterable[Document]) -> Iterator[tuple[Document, Floats]]:
    """Yield each document with the unit vector of its (first) text; see `embed`."""
    [part] = engine.tasks
    known = _Known()
    with closing(Prefetcher(documents, waiting=min(engine.lookahead, _WAITING))) as reader:
        for chunk in grouped(reader, size=engine.lookahead, characters=_CHARACTERS, idle=None):
            found = known.look_up(chunk)
            missing = list(dict.fromkeys(document.text for document in chunk if document.text not in found))
            new = _vectors(engine, part.name, missing)
            known.add(new)
            found |= new
            for document in chunk:
                yield document, found[document.text]


def _vectors(engine: Engine, task: str, texts: Sequence[str]) -> dict[str, Floats]:
    """Return the unit vectors of distinct texts; a text that is longer than the encoder's sequences is truncated."""
    rows = PairRows()
    windows = []
    for text, tokens in zip(texts, engine.tokenizer.encode(texts), strict=True):
        reads, key, ids = text_sequence(engine, rows, text, tokens.ids)
        windows.append(Window(Pending(Document(text), tokens, rows=rows), 0, 0, ids, reads, key))
    run_all(engine, windows)
    engine.counts.texts += len(texts)
    return {text: _unit(rows.rows[task, text]) for text in texts}


class _Known:
    """The vectors of the most recent texts."""

    def __init__(self) -> None:
        self._vectors: dict[str, Floats] = {}
        self._size = 0

    def look_up(self, documents: Iterable[Document]) -> dict[str, Floats]:
        """Return the vectors of those texts that are known."""
        return {d.text: self._vectors[d.text] for d in documents if d.text in self._vectors}

    def add(self, vectors: dict[str, Floats]) -> None:
        """Add texts, and remove the oldest ones above the limit."""
        for text, vector in vectors.items():
            self._vectors[text] = vector
            self._size += len(vector) + len(text)
        while self._size > _REMEMBERED:
            oldest = next(iter(self._vectors))
            self._size -= len(self._vectors.pop(oldest)) + len(oldest)


def _unit(vector: Floats) -> Floats:
    """Return a vector of length 1 in the same direction; a vector of zeros remains one."""
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    unit: Floats = (vector / max(norm, 1e-12)).astype(np.float32)
    return unit
