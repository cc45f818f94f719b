"""Score an engine on gold documents, using the same function that predicts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from ie_cli.data.dataset import reading_of
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.evaluation.context import ContextMeasure
from ie_cli.evaluation.environment import describe_environment
from ie_cli.evaluation.gold import CeilingCounter
from ie_cli.evaluation.result import ErrorSummary, EvaluationResult
from ie_cli.evaluation.thresholds import ThresholdProbe
from ie_cli.formats import edited
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.pipeline import Engine, extract
from ie_cli.inference.splitting import Split
from ie_cli.metrics.scores import Ceiling, Scores
from ie_cli.tasks import TASKS, ScoringOptions, Task

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
        engine: an engine with this task only.
        gold: the gold documents.
        task: the task.
        schema: the labels and predicates of the model.
        options: the scoring options.
        each: called with every pair of gold and predicted document, e.g. to classify the errors.
        ceilings: the recall ceilings of these documents if known; otherwise they are counted.
    """
    if ceilings is None:  # tokenise each text only once for prediction and ceilings
        engine = replace(engine, tokenizer=engine.tokenizer.with_cache())
    scorer = task.scorer(schema, options)
    reach = CeilingCounter.of(engine) if ceilings is None else None
    waiting: deque[Document] = deque()

    def queued() -> Iterator[Document]:
        for document in gold:
            waiting.append(document)
            yield document

    for predicted in extract(engine, queued()):
        document = waiting.popleft()
        if reach is not None:
            reach.add(document)
        scorer.add(document, predicted)
        if each is not None:
            each(document, predicted)
    return scorer.scores(ceilings if reach is None else reach.ceilings())


def evaluate_engine(
    engine: Engine,
    gold: Iterable[Document],
    *,
    task: Task,
    options: ScoringOptions,
    model: str,
    data: str,
    keep: int = 0,
    context: int = 0,
    joiner: str | None = None,
    each: Callable[[], None] | None = None,
    probe: ThresholdProbe | None = None,
) -> EvaluationResult:
    """Predict, score and classify the errors.

    Args:
        engine: an engine with this task only.
        gold: the gold documents.
        task: the task.
        options: the scoring options.
        model: the name of the model, for reports.
        data: the name of the data, for reports.
        keep: the number of examples of each kind of error.
        context: also annotate each text between this number of neighbours on each side, if it is not 0.
        joiner: the text between these texts, as in `data.context.joiner`.
        each: called after every document.
        probe: what finds a better threshold meanwhile.

    Raises:
        DataError: an option does not apply to the task or these data.
    """
    task.validate_options(options)
    [part] = engine.tasks
    if context and engine.reads_pairs:
        raise DataError(
            "--context applies to entities and relations, but the task compares pairs of texts", hint="omit --context."
        )
    analysis, measure = task.errors(keep, options), ContextMeasure(context, joiner)

    def add(truth: Document, guess: Document) -> None:
        analysis.add(truth, guess)
        if context:
            measure.add(truth, guess)
        if probe is not None:
            probe.add(truth, guess)
        if each is not None:
            each()

    scores = score(
        engine if probe is None else probe.engine, gold, task=task, schema=part.codec.schema, options=options, each=add
    )
    return EvaluationResult(
        task=task.name,
        model=model,
        data=data,
        scores=scores,
        errors=ErrorSummary.of(analysis),
        environment=describe_environment(engine.backend),
        context=measure.scores(engine, scores, task=task, options=options) if context else None,
    )


def evaluate(
    extractor: Extractor,
    gold: Iterable[Document],
    *,
    task: str | None = None,
    options: ScoringOptions = _PLAIN,
    errors: int = 10,
    context: int = 0,
    split: Split = "auto",
) -> EvaluationResult:
    """Score a model on gold documents, as ``ie eval`` does.

    Args:
        extractor: the model.
        gold: the gold documents with the names that their data have: `data.rename`, `data.ignore`, `data.no_relation` and
            `data.trim` in the model's recipe apply to them.
        task: the task's name in the model's recipe; may be omitted for a model with one task.
        options: the scoring options.
        errors: the number of examples of each kind of error.
        context: also annotate each text between this number of neighbours on each side, if it is not 0.
        split: whether to annotate sentences separately, as in `Extractor.predict`.

    Raises:
        ModelError: the model has no such task, or it has several and `task` is omitted.
        DataError: an option does not apply to the task or these data.
    """
    name, section = extractor.task(task)
    reading = reading_of(section.data, predicates=extractor.tasks[name].schema.predicates)
    return evaluate_engine(
        extractor.engine(split=split).only(name),
        (document for document in edited(gold, "", reading) if isinstance(document, Document)),
        task=TASKS[section.task],
        options=options,
        model=extractor.recipe.name,
        data="",
        keep=errors,
        context=context,
        joiner=section.data.context_joiner,
    )
