"""Score an engine on gold examples, through the very function that predicts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from ie_cli.example import Example
from ie_cli.metrics import Ceiling, EntityScorer, EntityScores
from ie_cli.predict import Engine, extract
from ie_cli.windows import align


def score(
    engine: Engine,
    gold: Iterable[Example],
    *,
    each: Callable[[Example, Example], None] | None = None,
    seen: set[tuple[str, str]] | None = None,
) -> EntityScores:
    """Predict and score a stream of gold examples against all their entities, reachable or not.

    Args:
        each: called with every pair of gold and predicted example, e.g. to sort the errors.
        seen: (label, mention) of the training data; recall on all others is then reported by itself.
    """
    scorer = EntityScorer(engine.labels, seen=seen)
    reach = Reach(engine)
    waiting: deque[Example] = deque()

    def remember() -> Iterator[Example]:
        for example in gold:
            waiting.append(example)
            yield example

    for predicted in extract(engine, remember()):
        example = waiting.popleft()
        reach.add(example)
        scorer.add(example, predicted)
        if each is not None:
            each(example, predicted)
    return scorer.scores(reach.ceiling())


def mentions(examples: Iterable[Example]) -> set[tuple[str, str]]:
    """The (label, mention) pairs that occur in some data, e.g. to tell seen from unseen ones."""
    return {
        (entity.label, example.text[entity.start : entity.end]) for example in examples for entity in example.entities
    }


class Reach:
    """Counts the gold entities that the tokens, the windows and the labels of an engine can express."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ids = {label: row for row, label in enumerate(engine.labels)}
        self._total, self._reasons = 0, dict[str, int]()

    def add(self, example: Example) -> None:
        """Count one gold example."""
        if not example.entities:
            return
        [tokens] = self._engine.tokenizer.encode([example.text])
        entities = set(example.entities)
        self._total += len(entities)
        for _, reason in align(example.text, entities, tokens, self._engine.plan, self._ids).unreachable:
            self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def ceiling(self) -> Ceiling:
        """Reachable and total, with the reasons of the rest."""
        return Ceiling(self._total - sum(self._reasons.values()), self._total, dict(self._reasons))
