"""Score an engine on gold documents, through the very function that predicts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.evaluation.gold import CeilingCounter
from ie_cli.inference.pipeline import Engine, extract
from ie_cli.metrics.scores import Ceiling, Scores
from ie_cli.tasks import ScoringOptions, Task

_PLAIN = ScoringOptions()


def score(
    engine: Engine,
    gold: Iterable[Document],
    *,
    task: Task,
    schema: LabelSchema,
    options: ScoringOptions = _PLAIN,
    each: Callable[[Document, Document], None] | None = None,
    ceilings: Mapping[str, Ceiling] | None = None,
) -> Scores:
    """Predict and score a stream of gold documents against all their items, reachable or not.

    Args:
        engine: for the task alone.
        each: called with every pair of gold and predicted document, e.g. to sort the errors.
        ceilings: of these documents, where they are known; else they are counted.
    """
    if ceilings is None:  # each text is tokenised once for both
        engine = replace(engine, tokenizer=engine.tokenizer.remembering())
    scorer = task.scorer(schema, options)
    reach = CeilingCounter.of(engine) if ceilings is None else None
    waiting: deque[Document] = deque()

    def remember() -> Iterator[Document]:
        for document in gold:
            waiting.append(document)
            yield document

    for predicted in extract(engine, remember()):
        document = waiting.popleft()
        if reach is not None:
            reach.add(document)
        scorer.add(document, predicted)
        if each is not None:
            each(document, predicted)
    return scorer.scores(ceilings if reach is None else reach.ceilings())
