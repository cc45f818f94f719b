"""Choose the documents that people should annotate first: those most in doubt, unlike each other.

The choice is farthest-first: each document is the one with the largest product of its uncertainty and its distance to the
nearest document chosen before. The distance is that of hashed character n-grams, not of vectors of the encoder: an exported
model outputs only what its head reads, and a vector of every document would have to be kept or computed in a second pass. The
n-grams of the few candidates cost nothing beside a model, and find what matters here, repeated and similar wording.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Floats
from ie_cli.document import Document

CANDIDATES_PER_DOCUMENT, MOST_OTHERS = 10, 9_000
"""How many documents are kept to choose from: ten for each, and at most 9,000 more than are chosen."""
DIMENSIONS = 512
_LONGEST = 2**16
"""Number of characters of a text that are looked at."""
_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9))
_SAME = 1e-6
"""What is added to a distance, so that of texts that occur already the one most in doubt comes first."""


@dataclass(order=True, slots=True)
class _Candidate:
    """A document, ordered by its uncertainty; of equal ones, the later has the lower rank."""

    uncertainty: float
    rank: int
    document: Document = field(compare=False)
    vector: Floats = field(compare=False)


class Selection:
    """The documents most in doubt of a stream; memory holds only the candidates.

    Args:
        wanted: how many documents to choose.

    Attributes:
        seen: how many documents were considered.
        in_doubt: how many of them had any doubt.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted, self.seen, self.in_doubt = wanted, 0, 0
        self._limit = min(CANDIDATES_PER_DOCUMENT * wanted, wanted + MOST_OTHERS)
        self._candidates: list[_Candidate] = []

    def add(self, document: Document, uncertainty: float) -> None:
        """Consider a document; one without any doubt is never chosen."""
        self.seen += 1
        if uncertainty <= 0:
            return
        self.in_doubt += 1
        full = len(self._candidates) >= self._limit
        if full and uncertainty <= self._candidates[0].uncertainty:
            return
        candidate = _Candidate(uncertainty, -self.seen, document, ngram_vector(document))
        (heapq.heapreplace if full else heapq.heappush)(self._candidates, candidate)

    def chosen(self) -> Iterator[Document]:
        """Yield the chosen documents, the one to look at first first."""
        candidates = sorted(self._candidates, reverse=True)
        if not candidates:
            return
        vectors = np.stack([candidate.vector for candidate in candidates])
        doubt = np.array([candidate.uncertainty for candidate in candidates])
        distance = np.ones(len(candidates))
        for _ in range(min(self.wanted, len(candidates))):
            best = int((doubt * (distance + _SAME)).argmax())
            yield candidates[best].document
            doubt[best] = -1.0
            distance = np.minimum(distance, (1.0 - vectors @ vectors[best]).clip(0.0))


def ngram_vector(document: Document) -> Floats:
    """Return the counts of hashed character pairs and triples of a document's texts, damped, with the length 1; ``[d]``."""
    vector = np.zeros(DIMENSIONS)
    for text in (document.text, document.text_pair or ""):
        codes = np.frombuffer(text[:_LONGEST].lower().encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        for size in (2, 3):
            vector += np.bincount(_hashed(codes.astype(np.uint64), size), minlength=DIMENSIONS)
    vector = np.sqrt(vector)
    unit: Floats = (vector / max(1.0, float(np.linalg.norm(vector)))).astype(np.float32)
    return unit


def _hashed(codes: npt.NDArray[np.uint64], size: int) -> npt.NDArray[Any]:
    """Return the place in a vector of every n-gram; the same in every process."""
    count = max(0, len(codes) - size + 1)
    mixed = np.full(count, np.uint64(size), dtype=np.uint64)
    for at, factor in zip(range(size), _FACTORS, strict=False):
        mixed = (mixed ^ codes[at : at + count]) * factor  # modulo 2**64
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(32)).astype(np.int64) % DIMENSIONS
