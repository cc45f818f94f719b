"""The data doctor: what is wrong with a recipe and its data, before an hour is spent."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from ie_cli.codecs.targets import ABSENT, APART, find_reachable
from ie_cli.data.dataset import Split, reading_of, splits
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.offset_units import UnitsGuess, within_word
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import TextTokenizer, recipe_tokenizer
from ie_cli.encoding.windows import INSIDE_TOKEN, TOO_LONG, WindowPlan
from ie_cli.errors import DataError, IEError
from ie_cli.formats import BadLine, read_records
from ie_cli.formats.common.base import OutsideText, quoted
from ie_cli.recipe.schema import Recipe
from ie_cli.triples import ROLES, entities_of, triples_of

_SHOWN = 3
_SHOWN_BAD = 20
_RARE = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know: an `error` stops training or falsifies scores, a `warning` costs quality, a `note` informs."""

    kind: Literal["error", "warning", "note"]
    text: str


@dataclass(slots=True)
class _Survey:
    """What one pass over a split finds; texts are kept as 8-byte hashes."""

    documents: int = 0
    empty_texts: int = 0
    negatives: int = 0
    entities: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    relations: int = 0
    places: int = 0
    predicates: Counter[str] = field(default_factory=Counter)
    texts: dict[int, int] = field(default_factory=dict)
    duplicates: int = 0
    contradictions: list[str] = field(default_factory=list)
    repeated: int = 0
    overlapping: int = 0
    bad: list[str] = field(default_factory=list)
    bad_count: int = 0
    windowed: int = 0
    longest: int = 0
    unreachable: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[str]] = field(default_factory=dict)
    unreachable_relations: Counter[str] = field(default_factory=Counter)
    shown_relations: dict[str, list[str]] = field(default_factory=dict)
    cut_words: int = 0
    hints: dict[str, None] = field(default_factory=dict)
    ids: set[int] = field(default_factory=set)
    repeated_ids: int = 0
    first_repeated_id: str = ""
    units: UnitsGuess = field(default_factory=UnitsGuess)


def check(recipe: Recipe) -> Iterator[Finding]:
    """Read all splits once and yield what was found, by split."""
    train, dev, test = splits(recipe.data)
    tokenizer = _tokenizer(recipe)
    schema, fault = _schema(recipe, train) if recipe.task == "relation" else (None, None)
    surveys: dict[str, _Survey] = {}
    for name, split in (("train", train), ("dev", dev), ("test", test)):
        if split is None:
            continue
        reported: list[str] = []
        surveys[name] = _survey(split, recipe, tokenizer, schema, reported)
        yield from (Finding("note", text) for text in dict.fromkeys(reported))
        yield from _about(name, surveys[name], recipe)
    yield from _between(surveys, recipe)
    fault = fault or _names_fault(recipe, surveys["train"])
    if fault is not None:
        yield Finding("error", fault.message)
        yield from (Finding("note", f"hint: {hint}") for hint in filter(None, [fault.hint]))
    if dev is None:
        yield Finding(
            "warning", "no dev data: nothing is measured, and the last weights are kept; data.dev: 0.1 splits some off"
        )


def _schema(recipe: Recipe, train: Split) -> tuple[LabelSchema | None, IEError | None]:
    """The schema that training would build, or why it would not; neither where the data cannot be read as a whole."""
    from ie_cli.training.setup import build_schema, loss_weights

    try:
        statistics = DatasetStatistics.of(train)
    except DataError:  # the pass over the data lists every fault
        return None, None
    if not statistics.pairs:
        return None, None
    try:
        schema = build_schema(recipe, statistics)
        loss_weights(recipe, schema)
    except IEError as error:
        return None, error
    # Only types that it does not allow are lost to a schema: what train does not have is told by itself.
    return (schema if schema.constrained else None), None


def _names_fault(recipe: Recipe, train: _Survey) -> IEError | None:
    """What training would refuse of the annotation: triples without a place; labels that the recipe names and nobody has."""
    from ie_cli.training.setup import loss_weights

    if recipe.task == "relation":
        if not train.places or train.unreachable_relations[ABSENT] < train.places:  # of some a warning tells
            return None
        return DataError(
            f"train: none of its {train.places} relations stands in its text: there is nothing to train on",
            hint="do the texts and the triples belong together?",
        )
    labels = recipe.data.labels or sorted(train.labels)
    if not labels:
        return None
    try:
        loss_weights(recipe, LabelSchema(tuple(labels)))
    except IEError as error:
        return error
    return None


def _tokenizer(recipe: Recipe) -> TextTokenizer:
    """The encoder's tokenizer; that of `tiny` needs no vocabulary here, its tokens are characters anyway."""
    from ie_cli.modeling.encoder import (
        apply_options,
        encoder_config,
        load_tokenizer,
        quiet_transformers,
        tiny_tokenizer,
    )

    if recipe.encoder.name == "tiny":
        return recipe_tokenizer(tiny_tokenizer(Counter()), recipe.encoder)
    quiet_transformers()
    apply_options(encoder_config(recipe.encoder.name), recipe.encoder)
    return recipe_tokenizer(load_tokenizer(recipe.encoder.name), recipe.encoder)


def _survey(
    split: Split, recipe: Recipe, tokenizer: TextTokenizer, schema: LabelSchema | None, reported: list[str]
) -> _Survey:
    found = _Survey()
    reading = replace(reading_of(recipe.data), report=reported.append)
    plan = WindowPlan.build(
        max_length=recipe.encoder.max_length,
        stride=recipe.encoder.stride,
        special_tokens=tokenizer.special_tokens,
    )
    for source in split.sources:
        for record in read_records(source, format=recipe.data.format, reading=reading):
            if isinstance(record, BadLine):
                if split.keep is not None and split.part.startswith("dev"):
                    continue  # the same file as train's, where they are listed
                found.bad_count += 1
                if isinstance(record.error, OutsideText):
                    found.units.add(record.error.text, [record.error.span], record.where)
                if found.bad_count <= _SHOWN_BAD:
                    found.bad.append(record.error.message)
                    found.hints.update(dict.fromkeys(filter(None, [record.error.hint])))
            elif split.keep is None or split.keep(record.text):
                _count(found, record, recipe.task)
                _reach(found, record, tokenizer, plan, schema)
    return found


def _count(found: _Survey, document: Document, task: str) -> None:
    found.documents += 1
    found.empty_texts += not document.text.strip()
    entities = sorted(set(document.entities))
    if task == "relation":
        if entities:
            entities = sorted(entities_of(document))
        triples = triples_of(document)
        found.negatives += not triples
        found.relations += len(triples)
        found.predicates.update(predicate for _, predicate, _ in sorted(triples))
    else:
        found.negatives += not entities
    found.entities += len(entities)
    found.repeated += len(document.entities) - len(set(document.entities))
    found.labels.update(entity.label for entity in entities)
    for entity in entities:
        found.cut_words += within_word(document.text, entity.end)
    found.overlapping += any(b.start < a.end for a, b in zip(entities, entities[1:], strict=False))
    found.units.add(document.text, [(entity.start, entity.end) for entity in entities], document.where or "")
    _note_id(found, document)
    relations = sorted(triples_of(document)) if task == "relation" else []
    text, annotation = _hash(document.text), _hash(repr((entities, relations)))
    if text in found.texts:
        found.duplicates += 1
        if found.texts[text] != annotation and document.text.strip():
            found.contradictions.append(f"{document.where}: {document.text[:40]!r}")
    found.texts.setdefault(text, annotation)


def _note_id(found: _Survey, document: Document) -> None:
    if document.id is None:
        return
    key = _hash(repr(document.id))
    if key in found.ids:
        found.repeated_ids += 1
        found.first_repeated_id = found.first_repeated_id or f"{document.where}: {quoted(document.id)}"
    found.ids.add(key)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _reach(
    found: _Survey, document: Document, tokenizer: TextTokenizer, plan: WindowPlan, schema: LabelSchema | None
) -> None:
    [tokens] = tokenizer.encode([document.text])
    length = len(tokens)
    gold = find_reachable(document, tokens, plan, schema or _schema_of(document))
    found.longest = max(found.longest, length)
    found.windowed += length > plan.capacity
    for entity, reason in gold.lost_entities:
        found.unreachable[reason] += 1
        shown = found.shown.setdefault(reason, [])
        if len(shown) < _SHOWN:
            mention = document.text[entity.start : entity.end]
            around = document.text[max(0, entity.start - 5) : entity.end + 5]
            shown.append(f"{document.where}: {entity.label} {mention!r} in {around!r}")
    found.places += gold.relations
    for triple, reason in gold.lost_relations:
        found.unreachable_relations[reason] += 1
        shown = found.shown_relations.setdefault(reason, [])
        if len(shown) < _SHOWN:
            shown.append(f"{document.where}: {' | '.join(triple)}")


def _schema_of(document: Document) -> LabelSchema:
    """A schema that knows all that one example holds: what is lost is then lost to the tokens and windows."""
    arguments = {side.label for relation in document.relations for side in (relation.subject, relation.object)}
    labels = {entity.label for entity in document.entities}
    predicates = sorted({predicate for _, predicate, _ in triples_of(document)})
    return LabelSchema(tuple(sorted(labels | arguments)) if labels or not predicates else ROLES, tuple(predicates))


def _about(name: str, found: _Survey, recipe: Recipe) -> Iterator[Finding]:
    related = recipe.task == "relation"
    held = [f"{found.entities} entities: {_listed(found.labels)}"] if found.entities or not related else []
    held += [f"{found.relations} relations: {_listed(found.predicates)}"] if related else []
    without = "a relation" if related else "an entity"
    yield Finding(
        "note", f"{name}: {found.documents} examples ({found.negatives} without {without}), {'; '.join(held)}"
    )
    if found.bad_count:
        more = f"\n  … and {found.bad_count - len(found.bad)} more" if found.bad_count > len(found.bad) else ""
        listed = "".join(f"\n  {message}" for message in found.bad)
        yield Finding("error", f"{name}: {found.bad_count} records cannot be read:{listed}{more}")
        yield from (Finding("note", f"hint: {hint}") for hint in found.hints)
    if not found.documents and not found.bad_count:
        split_off = " (the share data.dev picked none)" if name == "dev" and isinstance(recipe.data.dev, float) else ""
        yield Finding("error", f"{name}: no example at all{split_off}")
    elif name != "test" and not (found.relations if related else found.entities) and not found.bad_count:
        yield Finding("error", f"{name}: no {'relation' if related else 'entity'} at all; is data.format right?")
    if found.cut_words > max(2, found.entities / 2):
        yield Finding(
            "warning",
            f"{name}: {found.cut_words} of {found.entities} entities end inside a word: are the ends inclusive? "
            "They must be exclusive: text[start:end] is the mention",
        )
    if (units := found.units.verdict()) is not None:
        yield Finding("warning", f"{name}: {units}")
    if found.contradictions:
        listed = "".join(f"\n  {where}" for where in found.contradictions[:_SHOWN])
        yield Finding(
            "warning", f"{name}: {len(found.contradictions)} texts stand there twice with different annotation:{listed}"
        )
    if found.duplicates:
        yield Finding("warning", f"{name}: {found.duplicates} of {found.documents} texts are repetitions")
    if found.repeated_ids:
        yield Finding(
            "note",
            f"{name}: {found.repeated_ids} ids are given again, the first {found.first_repeated_id}; predictions are put "
            "beside gold data by their order",
        )
    if found.repeated:
        yield Finding("note", f"{name}: {found.repeated} entities are annotated twice in one text; they count once")
    if found.empty_texts:
        yield Finding("note", f"{name}: {found.empty_texts} texts are empty")
    if found.overlapping and recipe.head.flat:
        yield Finding(
            "warning",
            f"{name}: entities overlap in {found.overlapping} texts, but head.flat allows none in the output: "
            "set head.flat: false",
        )
    if found.windowed:
        yield Finding(
            "note",
            f"{name}: {found.windowed} texts are longer than a window ({found.longest} tokens the longest) and are cut into "
            "several; nothing is lost",
        )
    yield from _unreachable(name, found, recipe)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


def _unreachable(name: str, found: _Survey, recipe: Recipe) -> Iterator[Finding]:
    yield from _lost(name, "entities", found.entities, found.unreachable, found.shown, recipe)
    if recipe.task == "relation":
        lost = found.unreachable_relations
        yield from _lost(name, "relations", found.places, lost, found.shown_relations, recipe)


def _lost(
    name: str, what: str, total: int, reasons: Counter[str], documents: dict[str, list[str]], recipe: Recipe
) -> Iterator[Finding]:
    lost = reasons.total()
    if not lost:
        return
    causes = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    share = f" ({lost / total:.2%})" if total else ""
    text = f"{name}: {lost} of {total} {what}{share} can never be predicted: {causes}"
    windows = f"encoder.stride (now {recipe.encoder.stride}) or encoder.max_length (now {recipe.encoder.max_length})"
    remedies = {
        INSIDE_TOKEN: "encoder.tokenization: char makes every border reachable",
        TOO_LONG: f"raise {windows}",
        APART: f"raise {windows}",
    }
    for reason, shown in documents.items():
        text += f"\n  {reason}{': ' + remedies[reason] if reason in remedies else ': mend the annotation'}"
        text += "".join(f"\n    {line}" for line in shown)
    yield Finding("warning", text)


def _between(surveys: dict[str, _Survey], recipe: Recipe) -> Iterator[Finding]:
    train = surveys["train"]
    for name in ("dev", "test"):
        other = surveys.get(name)
        if other is None:
            continue
        if shared := len(train.texts.keys() & other.texts.keys()):
            kind: Literal["error", "warning"] = "error" if shared == len(other.texts) else "warning"
            remedy = "data.dev: 0.1 splits texts off train" if name == "dev" else "leave them out of one"
            yield Finding(
                kind,
                f"{shared} of {len(other.texts)} texts of {name} are in train too: scores on {name} will be too good; {remedy}",
            )
        for what, theirs, known in (
            ("labels", other.labels, train.labels),
            ("predicates", other.predicates, train.predicates),
        ):
            if unknown := sorted(set(theirs) - set(known)):
                yield Finding(
                    "warning",
                    f"{what} of {name} that train does not have, and no model can predict: {', '.join(unknown)}",
                )
    for what, counts in (("labels", train.labels), ("predicates", train.predicates)):
        if rare := [label for label, count in counts.items() if count < _RARE]:
            yield Finding("warning", f"{what} with fewer than {_RARE} examples in train: {', '.join(sorted(rare))}")
    if recipe.data.labels is not None and (missing := sorted(set(train.labels) - set(recipe.data.labels))):
        yield Finding("error", f"labels of train that data.labels does not list: {', '.join(missing)}")
