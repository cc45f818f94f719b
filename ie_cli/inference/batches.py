"""Run sequences of tokens in batches, and add what is found in them to their documents.

A batch is launched and then decoded. A CPU has computed the outputs when the launch returns; a GPU only queues the work, and
computes while the CPU does something else. So `Engine.ahead` batches are launched before the oldest of them is decoded. What is
found does not depend on this number: the batches, and the order in which they are decoded, are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Candidates, Floats, Index, Mask, Outputs, decode
from ie_cli.encoding.padding import pad, text_mask
from ie_cli.encoding.word_boundaries import boundary_masks
from ie_cli.inference.pairs import store_rows
from ie_cli.recipe.heads import Reads

if TYPE_CHECKING:
    from ie_cli.inference.pipeline import Engine, Window

_TYPICAL_WINDOW = 512


def run_all(engine: Engine, windows: list[Window]) -> None:
    """Run windows in batches of similar lengths, and empty the list."""
    # Those that are read alike together; the longest first, so that a lack of memory shows at once. The sort is stable.
    windows.sort(key=lambda window: (window.reads != "windows", window.reads, -len(window.ids)))
    _run(engine, _batches(engine, windows))
    windows.clear()


def run_windows(engine: Engine, batch: Sequence[Window]) -> None:
    """Run one batch of sequences, and add what is found to their documents."""
    _run(engine, [batch])


def _batches(engine: Engine, windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
    start = 0
    while start < len(windows):
        batch = windows[start : start + max_windows(engine, len(windows[start].ids))]
        yield batch
        start += len(batch)


def max_windows(engine: Engine, length: int) -> int:
    """Return the maximum number of windows of up to `length` tokens in a batch.

    A batch has at most as many tokens as one of typical windows, because memory grows with the square of the length.
    """
    return min(engine.batch_size, max(1, engine.batch_size * _TYPICAL_WINDOW // max(1, length)))


def padded(engine: Engine, batch: Sequence[Window]) -> tuple[npt.NDArray[np.int64], Mask, Mask]:
    """Return the ids, the mask and the mask of text tokens of sequences that are read alike; ``[batch, L]`` each."""
    tokenizer = engine.tokenizer
    sequences = [tokenizer.surround(window.ids) if window.reads == "windows" else window.ids for window in batch]
    ids, mask = pad(sequences, engine.pad_id)
    return ids, mask, text_mask(mask, len(tokenizer.prefix), len(tokenizer.suffix))


@dataclass(frozen=True, slots=True)
class _Launched:
    """A batch of sequences that are read alike, and the outputs for it, which a GPU may still be computing.

    Attributes:
        text: the mask of text tokens, bool ``[batch, L]``.
        outputs: the outputs of each task's head.
    """

    batch: Sequence[Window]
    reads: Reads
    text: Mask
    outputs: Mapping[str, Outputs]


def _run(engine: Engine, batches: Iterable[Sequence[Window]]) -> None:
    launched: deque[_Launched] = deque()
    for batch in batches:
        for reads in ("windows", "texts", "pair"):
            if alike := [window for window in batch if window.reads == reads]:
                launched.append(_launch(engine, alike, reads))
            while len(launched) > engine.ahead:
                _decode(engine, launched.popleft())  # which nothing refers to afterwards, so that its memory is free
    while launched:
        _decode(engine, launched.popleft())


def _launch(engine: Engine, batch: Sequence[Window], reads: Reads) -> _Launched:
    ids, mask, text = padded(engine, batch)
    return _Launched(batch, reads, text, engine.backend.run(ids, mask))


def _decode(engine: Engine, launched: _Launched) -> None:
    batch, reads, text, outputs = launched.batch, launched.reads, launched.text, launched.outputs
    store_rows(engine, batch, outputs, "texts" if reads == "windows" else reads)
    if reads != "windows":
        return
    parts = [part for part in engine.tasks if part.codec.reads == "windows"]
    owners = [(window.owner.tokens, window.first) for window in batch]
    masks = boundary_masks(text, owners, len(engine.tokenizer.prefix)) if engine.whole_words else None
    decoded = {
        part.name: decode(part.decoder, outputs[part.name], text, masks if part.whole_words else None) for part in parts
    }
    for part in parts:
        for name, candidates in decoded[part.name].parts.items():
            columns = part.decoder.tokens[name]
            for window, entries, scores in _by_window(batch, candidates):
                entries[:, columns] += window.first - len(engine.tokenizer.prefix)
                entries = np.insert(entries, entries.shape[1], window.number, axis=1)
                window.owner.found.setdefault(part.name, {}).setdefault(name, []).append(Candidates(entries, scores))
    engine.counts.windows += len(batch)
    engine.counts.truncated += len(set[int]().union(*(found.truncated for found in decoded.values())))


def _by_window(batch: Sequence[Window], found: Candidates) -> Iterator[tuple[Window, Index, Floats]]:
    """Yield the candidates of each window, without their sample number."""
    for sample in np.unique(found.entries[:, 0]).tolist():
        selected = found.entries[:, 0] == sample
        yield batch[sample], found.entries[selected, 1:], found.scores[selected]
