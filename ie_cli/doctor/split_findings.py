"""What surveys say of one split, and of several side by side; the same for every task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from ie_cli.data.findings import Finding
from ie_cli.doctor.survey import Survey
from ie_cli.recipe.schema import EncoderSection, TaskSection

_SHOWN = 3
_RARE = 5


def about(split: str, found: Survey, section: TaskSection, encoder: EncoderSection) -> Iterator[Finding]:
    """The findings of one split."""
    yield from (Finding("note", text) for text in dict.fromkeys(found.reports))
    yield _held(split, found)
    yield from _missing(split, found, section)
    yield from _odd_spans(split, found)
    yield from _repetitions(split, found)
    if found.empty_texts:
        yield Finding("note", f"{split}: {found.empty_texts} texts are empty")
    if found.spans.overlapping and section.head.flat:
        yield Finding(
            "warning",
            f"{split}: entities overlap in {found.spans.overlapping} texts, but head.flat allows none in the output: "
            "set head.flat: false",
        )
    if found.reach.windowed:
        yield Finding(
            "note",
            f"{split}: {found.reach.windowed} texts are longer than a window ({found.reach.longest} tokens the longest) and "
            "are cut into several; nothing is lost",
        )
    yield from found.reach.findings(split, encoder)


def _held(split: str, found: Survey) -> Finding:
    words = found.task.words
    counts = {kind.items: found.names[kind.items] for kind in found.task.kinds}
    held = "; ".join(
        f"{names.total()} {items}: {_listed(names)}" for items, names in counts.items() if names or items == words.items
    )
    return Finding("note", f"{split}: {found.documents} examples ({found.negatives} without {words.a_item}), {held}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


def _missing(split: str, found: Survey, section: TaskSection) -> Iterator[Finding]:
    """Records that cannot be read, and data that hold nothing."""
    bad = found.bad
    if bad.count:
        more = f"\n  … and {bad.count - len(bad.shown)} more" if bad.count > len(bad.shown) else ""
        listed = "".join(f"\n  {message}" for message in bad.shown)
        yield Finding("error", f"{split}: {bad.count} records cannot be read:{listed}{more}")
        yield from (Finding("note", f"hint: {hint}") for hint in bad.hints)
    elif not found.documents:
        picked = " (the share data.dev picked none)" if split == "dev" and isinstance(section.data.dev, float) else ""
        yield Finding("error", f"{split}: no example at all{picked}")
    elif split != "test" and not found.items:
        yield Finding("error", f"{split}: no {found.task.words.item} at all; is data.format right?")


def _odd_spans(split: str, found: Survey) -> Iterator[Finding]:
    spans = found.spans
    if spans.cut_words > max(2, spans.spans / 2):
        yield Finding(
            "warning",
            f"{split}: {spans.cut_words} of {spans.spans} entities end inside a word: are the ends inclusive? "
            "They must be exclusive: text[start:end] is the mention",
        )
    if (units := spans.units.verdict()) is not None:
        yield Finding("warning", f"{split}: {units}")


def _repetitions(split: str, found: Survey) -> Iterator[Finding]:
    texts, ids = found.texts, found.ids
    if texts.contradictions:
        listed = "".join(f"\n  {where}" for where in texts.contradictions[:_SHOWN])
        yield Finding(
            "warning",
            f"{split}: {len(texts.contradictions)} texts stand there twice with different annotation:{listed}",
        )
    if texts.duplicates:
        yield Finding("warning", f"{split}: {texts.duplicates} of {found.documents} texts are repetitions")
    if ids.repeated:
        yield Finding(
            "note",
            f"{split}: {ids.repeated} ids are given again, the first {ids.first}; predictions are put beside gold data by "
            "their order",
        )
    if found.spans.repeated:
        yield Finding(
            "note", f"{split}: {found.spans.repeated} entities are annotated twice in one text; they count once"
        )


def between(surveys: Mapping[str, Survey], section: TaskSection) -> Iterator[Finding]:
    """What train, dev and test share, and what only one of them has."""
    train = surveys["train"]
    kinds = train.task.kinds
    for split, other in surveys.items():
        if split == "train":
            continue
        yield from _leakage(split, train, other)
        for kind in kinds:
            if unknown := sorted(set(other.names[kind.items]) - set(train.names[kind.items])):
                yield Finding(
                    "warning",
                    f"{kind.names} of {split} that train does not have, and no model can predict: {', '.join(unknown)}",
                )
    for kind in kinds:
        if rare := sorted(name for name, count in train.names[kind.items].items() if count < _RARE):
            yield Finding("warning", f"{kind.names} with fewer than {_RARE} examples in train: {', '.join(rare)}")
    listed = section.data.labels
    labels = {name for kind in kinds if kind.names == "labels" for name in train.names[kind.items]}
    if listed is not None and (unlisted := sorted(labels - set(listed))):
        yield Finding("error", f"labels of train that data.labels does not list: {', '.join(unlisted)}")


def _leakage(split: str, train: Survey, other: Survey) -> Iterator[Finding]:
    theirs = other.texts.texts
    if shared := len(train.texts.texts.keys() & theirs.keys()):
        kind: Literal["error", "warning"] = "error" if shared == len(theirs) else "warning"
        remedy = "data.dev: 0.1 splits texts off train" if split == "dev" else "leave them out of one"
        yield Finding(
            kind,
            f"{shared} of {len(theirs)} texts of {split} are in train too: scores on {split} will be too good; {remedy}",
        )
