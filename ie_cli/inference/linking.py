"""Links from mentions to canonical names: by an equal name, by similar vectors, or by a second model that reads both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from ie_cli.codecs.base import Floats
from ie_cli.codecs.pairs import PairDecoder
from ie_cli.document import Document
from ie_cli.errors import ModelError
from ie_cli.inference.canonical_names import Index, NameIndex
from ie_cli.inference.embedding import embed
from ie_cli.inference.pipeline import Engine, extract
from ie_cli.inference.search import TopHits

_BLOCK = 2**16  # rows of names in one product
_REMEMBERED_LINKS = 2**20
_REMEMBERED = 2**24  # numbers in the vectors of earlier mentions


class Mention(NamedTuple):
    """A mention: its text, the text that the models read, and its label."""

    text: str
    read: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """What a mention was linked to.

    Attributes:
        owner: the number of the name; None if the mention is linked to none of them.
        score: the similarity of the mention and the name; 1 if they are equal.
        is_equal: whether the mention equals the name or an alias, so that no model was asked.
        by_order: whether other names have the same form, so that their order decided.
    """

    owner: int | None = None
    score: float = 0.0
    is_equal: bool = False
    by_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """How mentions are linked.

    Attributes:
        top_k: the number of names that the second model reads with each mention.
        threshold: the score that a link must exceed; None links each mention to its best name.
        equal_first: whether a mention that equals a name or an alias is linked to it without a model.
    """

    top_k: int = 10
    threshold: float | None = None
    equal_first: bool = True


def reranking_engine(engine: Engine) -> Engine:
    """Return the engine of a model restricted to the task whose head reads both texts of a pair together.

    Raises:
        ModelError: there is no such task, or there are several.
    """
    able = [part.name for part in engine.tasks if part.codec.reads == "pair"]
    if not able:
        raise ModelError(
            "the model for --rerank has no head that reads both texts of a pair together",
            hint="train a model with task: match and the head cross_encoder.",
        )
    if len(able) > 1:
        raise ModelError(
            f"the model for --rerank has several tasks that read pairs: {', '.join(able)}",
            hint="use a model with one of them.",
        )
    return engine.only(able[0])


def decided_threshold(engine: Engine) -> float | None:
    """Return the score above which a model calls two texts the same; None if its classes are not two, or do not decide scores.

    Args:
        engine: the engine of one task that scores pairs.
    """
    [part] = engine.tasks
    decoder = cast(PairDecoder, part.decoder)
    if part.codec.reads == "texts" and not decoder.by_cosine:  # the decision is on what a classifier says
        return None
    return float(decoder.decision[0]) if len(decoder.schema.labels) == 2 and len(decoder.decision) == 1 else None


class Linker:
    """Links mentions to the names of an index; each distinct mention is encoded and compared once.

    Args:
        index: the names.
        vectors: the unit vector of each of its rows; float32 ``[rows, d]``.
        engine: an engine of one task whose head gives a text a vector; see `embedding_engine`.
        reranker: an engine of one task that reads the pair of a mention and a name; see `reranking_engine`.
        options: how mentions are linked.
    """

    def __init__(
        self, index: NameIndex, vectors: Floats, engine: Engine, *, reranker: Engine | None, options: LinkOptions
    ) -> None:
        self._index, self._name_vectors, self._engine, self._reranker = index, vectors, engine, reranker
        self._options = options
        self._links: dict[Mention, Link] = {}
        self._vectors: dict[str, Floats] = {}

    def link(self, mentions: Sequence[Mention]) -> list[Link]:
        """Return the link of each mention."""
        keys = [mention._replace(label=self._index.group(mention.label)) for mention in mentions]
        found = {key: known for key in keys if (known := self._links.get(key)) is not None}
        missing = [key for key in dict.fromkeys(keys) if key not in found]
        new = {key: equal for key in missing if (equal := self._equal(key)) is not None}
        new |= self._similar([key for key in missing if key not in new])
        self._links |= new
        while len(self._links) > _REMEMBERED_LINKS:
            del self._links[next(iter(self._links))]
        found |= new
        return [found[key] for key in keys]

    def _equal(self, mention: Mention) -> Link | None:
        """Return the link to a name or an alias that equals a mention; no link if there are no names for its label."""
        if not len(self._index.rows(mention.label)):
            return Link()
        if not self._options.equal_first:
            return None
        owners = self._index.owners_of(mention.text, mention.label)
        return Link(owners[0], 1.0, is_equal=True, by_order=len(owners) > 1) if owners else None

    def _similar(self, mentions: Sequence[Mention]) -> dict[Mention, Link]:
        """Return the links of mentions to the most similar names."""
        candidates = self._candidates(mentions)
        if self._reranker is not None:
            candidates = _reranked(self._reranker, self._index, candidates)
        return {mention: self._decided(mention, rows[0]) for mention, rows in candidates.items()}

    def _decided(self, mention: Mention, best: tuple[int, float]) -> Link:
        row, score = best
        if self._options.threshold is not None and not score > self._options.threshold:
            return Link()
        owners = self._index.owners_of(self._index.forms[row], mention.label)
        return Link(int(self._index.owners[row]), score, by_order=len(owners) > 1)

    def _candidates(self, mentions: Sequence[Mention]) -> dict[Mention, list[tuple[int, float]]]:
        """Return the best row of each of the best names of mentions, with their scores, the best first."""
        vectors = self._encoded([mention.read for mention in mentions])
        count = 1 if self._reranker is None else self._options.top_k
        found: dict[Mention, list[tuple[int, float]]] = {}
        for group in dict.fromkeys(mention.label for mention in mentions):
            asked = [mention for mention in mentions if mention.label == group]
            rows = self._index.rows(group)
            hits = TopHits(np.stack([vectors[mention.read] for mention in asked]), self._index.depth(group, count))
            everything = (
                len(rows) == len(self._name_vectors) and group is None
            )  # in their order, so that none is copied
            for first in range(0, len(rows), _BLOCK):
                part = slice(first, first + _BLOCK)
                hits.add(self._name_vectors[part if everything else rows[part]])
            for mention, places, scores in zip(asked, hits.rows, hits.scores.tolist(), strict=True):
                found[mention] = self._best_rows(rows[places], scores)[:count]
        return {mention: found[mention] for mention in mentions}

    def _best_rows(self, rows: Index, scores: Sequence[float]) -> list[tuple[int, float]]:
        """Return the first of these rows of each name."""
        best: dict[int, tuple[int, float]] = {}
        for row, owner, score in zip(rows.tolist(), self._index.owners[rows].tolist(), scores, strict=True):
            best.setdefault(owner, (row, score))
        return list(best.values())

    def _encoded(self, texts: Iterable[str]) -> dict[str, Floats]:
        """Return the unit vectors of texts."""
        distinct = list(dict.fromkeys(texts))
        missing = [text for text in distinct if text not in self._vectors]
        found = {text: self._vectors[text] for text in distinct if text in self._vectors}
        new = dict(zip(missing, embed(self._engine, missing), strict=True))
        self._vectors |= new
        while len(self._vectors) * self._name_vectors.shape[1] > _REMEMBERED:
            del self._vectors[next(iter(self._vectors))]
        return found | new


def _reranked(
    engine: Engine, index: NameIndex, candidates: dict[Mention, list[tuple[int, float]]]
) -> dict[Mention, list[tuple[int, float]]]:
    """Return the candidates with the scores of a model that reads mention and name together, the best first.

    The model reads the name or the alias that is most similar to the mention. Equal scores keep their order.
    """
    asked = [(mention, row) for mention, rows in candidates.items() for row, _ in rows]
    pairs = (Document(mention.read, text_pair=index.forms[row]) for mention, row in asked)
    found: dict[Mention, list[tuple[int, float]]] = {mention: [] for mention in candidates}
    for (mention, row), document in zip(asked, extract(engine, pairs), strict=True):
        found[mention].append((row, cast(float, document.score)))
    return {mention: sorted(rows, key=lambda one: -one[1]) for mention, rows in found.items()}
