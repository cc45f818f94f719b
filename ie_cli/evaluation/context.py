"""Measure how much the neighbours of a text change what a model finds in it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ie_cli.document import Document, Entity
from ie_cli.encoding.joined_texts import join_texts
from ie_cli.inference.pipeline import Counts, Engine, extract
from ie_cli.metrics.scores import Scores
from ie_cli.tasks import ScoringOptions, Task


@dataclass(frozen=True, slots=True)
class Agreement:
    """A comparison of two predictions for the same texts.

    Attributes:
        texts: number of texts.
        same: number of texts with equal predictions.
        filled: number of texts for which at least one prediction is not empty.
        same_filled: number of those whose predictions are equal.
    """

    texts: int
    same: int
    filled: int
    same_filled: int

    @classmethod
    def of(cls, one: Sequence[set[Hashable]], other: Sequence[set[Hashable]]) -> Agreement:
        """Compare two predictions text by text."""
        pairs = list(zip(one, other, strict=True))
        filled = [pair for pair in pairs if any(pair)]
        return cls(len(pairs), sum(a == b for a, b in pairs), len(filled), sum(a == b for a, b in filled))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextScores:
    """The primary score of texts alone and between their neighbours, and how many texts keep their annotation.

    Attributes:
        neighbours: number of texts before and after each text.
        alone, between: the primary score.
    """

    neighbours: int
    alone: float
    between: float
    agreement: Agreement

    def line(self, metric: str) -> str:
        """Return the scores and counts as one line of text."""
        found, sides = self.agreement, f"{self.neighbours} {'text' if self.neighbours == 1 else 'texts'} on each side"
        return (
            f"{metric} {self.alone:.4f} alone, {self.between:.4f} with {sides}; {found.same} of {found.texts} texts keep their "
            f"annotation ({found.same_filled} of the {found.filled} in which anything is found)"
        )


def surrounded(texts: Sequence[str], before: int, after: int, joiner: str | None = None) -> Iterator[tuple[str, int]]:
    """Yield each text between its neighbours, and the offset at which it begins; the first text follows the last.

    Args:
        texts: the texts.
        before: number of neighbours before each text.
        after: number of neighbours after it.
        joiner: the text between two texts; None is that of a document, as in `join_texts`.
    """
    for place in range(len(texts)):
        around = range(place - before, place + after + 1)
        joined, starts = join_texts([texts[number % len(texts)] for number in around], joiner)
        yield joined, starts[before]


def cut_out(found: Document, start: int, length: int) -> Document:
    """Return what overlaps the characters from `start` on, relative to `start`; items may extend beyond them."""

    def touches(entity: Entity) -> bool:
        return entity.start < start + length and entity.end > start

    def moved(entity: Entity) -> Entity:
        return replace(entity, start=entity.start - start, end=entity.end - start)

    return Document(
        found.text[start : start + length],
        [moved(entity) for entity in found.entities if touches(entity)],
        [
            replace(relation, subject=moved(relation.subject), object=moved(relation.object))
            for relation in found.relations
            if touches(relation.subject) or touches(relation.object)
        ],
    )


def inside(document: Document) -> Document:
    """Return the items that are completely inside the text."""

    def whole(entity: Entity) -> bool:
        return entity.start >= 0 and entity.end <= len(document.text)

    relations = [r for r in document.relations if whole(r.subject) and whole(r.object)]
    return replace(document, entities=[e for e in document.entities if whole(e)], relations=relations)


@dataclass(slots=True)
class ContextMeasure:
    """Collects the gold texts and what is found in each alone, and then annotates each between its neighbours.

    Attributes:
        neighbours: number of texts before and after each text.
        joiner: the text between two texts, as in `surrounded`.
        gold, alone: the documents so far.
    """

    neighbours: int
    joiner: str | None = None
    gold: list[Document] = field(default_factory=list)
    alone: list[Document] = field(default_factory=list)

    def add(self, truth: Document, guess: Document) -> None:
        """Add a gold document, and what was found in it alone."""
        self.gold.append(truth)
        self.alone.append(guess)

    def scores(self, engine: Engine, alone: Scores, *, task: Task, options: ScoringOptions) -> ContextScores:
        """Annotate each text between its neighbours, and compare.

        Args:
            engine: an engine with this task only.
            alone: the scores of the texts alone.
            task: the task.
            options: the scoring options.
        """
        [part] = engine.tasks
        engine = replace(engine, counts=Counts())  # those of the texts alone are reported
        scorer = task.scorer(part.codec.schema, options)
        sides = (self.neighbours, self.neighbours)
        placed = list(surrounded([document.text for document in self.gold], *sides, self.joiner))
        between: list[Document] = []
        for truth, (_, start), found in zip(
            self.gold, placed, extract(engine, (Document(text) for text, _ in placed)), strict=True
        ):
            between.append(cut_out(found, start, len(truth.text)))
            scorer.add(truth, inside(between[-1]))
        return ContextScores(
            neighbours=self.neighbours,
            alone=alone.primary,
            between=scorer.scores().primary,
            agreement=Agreement.of(
                [task.items(found) for found in self.alone], [task.items(found) for found in between]
            ),
        )
