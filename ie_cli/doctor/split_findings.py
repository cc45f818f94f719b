"""Findings about one split, and about several splits compared; the same for every task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

from ie_cli.data.findings import Finding
from ie_cli.data.negatives import negatives_by_file
from ie_cli.doctor.pairs import about_pairs, between_pairs
from ie_cli.doctor.spans import CUT, INVISIBLE
from ie_cli.doctor.survey import Survey
from ie_cli.doctor.text_lengths import much_longer
from ie_cli.encoding.alignment import WHITESPACE
from ie_cli.errors import counted
from ie_cli.recipe.heads import heads_of
from ie_cli.recipe.schema import EncoderSection, TaskSection
from ie_cli.recipe.yaml import flow
from ie_cli.tasks import TASKS
from ie_cli.tasks.unlearned import unlearned_entities
from ie_cli.tasks.whole_words import describe_whole_words

_SHOWN = 3
_RARE = 5
_FEW = 50  # examples or items of dev, below which scores say little
_ODD_OVERLAPS = 0.001  # data with nested entities have more
_ODD_SHARE = 0.01  # single spans of this kind may be right, and every text has some unknown character


def about(
    split: str,
    found: Survey,
    section: TaskSection,
    encoder: EncoderSection | None,
    *,
    rest_is_bad: bool = False,
    train_is_empty: bool = False,
    alone: bool = False,
) -> Iterator[Finding]:
    """Yield the findings about one split.

    Args:
        split: its name.
        found: its survey.
        section: the section of the task.
        encoder: the section of the encoder; None if its tokens are not known.
        rest_is_bad: whether the split is a part of data with records that cannot be read, which are reported with another split.
        train_is_empty: whether train has no items either, which is reported with train.
        alone: whether there is no recipe: nothing is said about a head then.
    """
    yield from (Finding("note", text) for text in dict.fromkeys(found.reports))
    yield _contents(split, found)
    if len(found.files) > 1:
        files = negatives_by_file(found.files, found.task.words.a_item)
        yield from (replace(finding, text=f"{split}: {finding.text}") for finding in files)
    if found.documents or found.bad.count or not rest_is_bad:
        yield from _unreadable_or_empty(split, found, section, train_is_empty=train_is_empty)
    verdict = found.spans.offsets.verdict()
    if verdict is not None and section.data.trim:
        verdict += "; data.trim has moved some of them already: without it, this finding is more precise"
    yield from _odd_spans(split, found, verdict)
    yield from _repetitions(split, found)
    yield from about_pairs(split, found.pairs, found.statistics, section)
    if found.empty_texts:
        yield Finding("note", f"{split}: {counted(found.empty_texts, 'empty text')}")
    if found.spans.overlapping and section.head.flat and section.head.nests:
        yield Finding(
            "warning",
            f"{split}: entities overlap in {counted(found.spans.overlapping, 'text')}, but head.flat removes overlapping "
            "entities from the output: set head.flat: false",
        )
    if alone:
        yield from _overlaps(split, found)
        return
    unlearned = unlearned_entities(section, found.statistics) if split == "train" and found.items else None
    inside = split == "train" and found.statistics.split_words and verdict is None
    words = describe_whole_words(section.head, found.statistics) if inside else None
    yield from (replace(part, text=f"{split}: {part.text}") for part in (unlearned, words) if part is not None)
    if encoder is not None:
        yield from _about_tokens(split, found, section, encoder, shifted=verdict is not None)


def _about_tokens(
    split: str, found: Survey, section: TaskSection, encoder: EncoderSection, *, shifted: bool
) -> Iterator[Finding]:
    """Yield what depends on the tokens of the encoder; `shifted` is whether the offsets seem to be wrong."""
    if found.reach.truncated:
        yield Finding(
            "warning" if found.reach.truncated >= found.reach.texts * _ODD_SHARE else "note",
            f"{split}: {found.reach.truncated} of {counted(found.reach.texts, 'text')} {found.reach.describe_truncation()}",
        )
    if found.reach.windowed:
        yield Finding(
            "note",
            f"{split}: {counted(found.reach.windowed, 'text is', 'texts are')} longer than a window (the longest has "
            f"{found.reach.longest} tokens) and split into several windows; nothing is lost",
        )
    if (unknown := found.reach.unknown) is not None and unknown.unknown:
        yield Finding("warning" if unknown.share >= _ODD_SHARE else "note", f"{split}: {unknown.describe()}")
    yield from found.reach.findings(split, encoder, trim=section.data.trim, shifted=shifted)


def _overlaps(split: str, found: Survey) -> Iterator[Finding]:
    """Yield a finding about overlapping entities; in very few texts, they are more likely errors than meant."""
    count = found.spans.overlapping
    if count:
        listed = "".join(f"\n  {place}" for place in found.spans.overlapping_shown)
        yield Finding(
            "warning" if count < found.documents * _ODD_OVERLAPS else "note",
            f"{split}: entities overlap in {count:,} of {counted(found.documents, 'text')}; heads with flat output and tags "
            f"cannot express them:{listed}",
        )


def _contents(split: str, found: Survey) -> Finding:
    words = found.task.words
    counts = {kind: found.names[kind.items] for kind in found.task.kinds}
    contents = "; ".join(
        f"{names.total():,} {kind.noun(names.total())}: {_listed(names)}"
        for kind, names in counts.items()
        if names or kind.items == words.items
    )
    examples = counted(found.documents, "example")
    return Finding("note", f"{split}: {examples} ({found.negatives:,} without {words.a_item}), {contents}")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{flow(name)} {count:,}" for name, count in counts.most_common()) or "none"


def _unreadable_or_empty(split: str, found: Survey, section: TaskSection, *, train_is_empty: bool) -> Iterator[Finding]:
    """Yield findings about records that cannot be read, and about data without examples or items."""
    bad = found.bad
    if bad.count:
        more = f"\n  … and {bad.count - len(bad.shown)} more" if bad.count > len(bad.shown) else ""
        listed = "".join(f"\n  {message}" for message in bad.shown)
        yield Finding("error", f"{split}: {counted(bad.count, 'record')} cannot be read:{listed}{more}")
        yield from (Finding("note", f"hint: {hint}") for hint in bad.hints)
    elif not found.documents:
        picked = (
            " (data.dev is a share that selected none)"
            if split == "dev" and (isinstance(section.data.dev, float) or section.data.fold is not None)
            else ""
        )
        yield Finding("error", f"{split}: no examples{picked}")
    elif split != "test" and not found.items:
        if not train_is_empty:
            yield Finding("error", f"{split}: {_nothing_to_extract(found, section)}")
    elif split == "dev" and (found.documents < _FEW or found.items < _FEW):
        yield Finding("warning", _few(found))


def _nothing_to_extract(found: Survey, section: TaskSection) -> str:
    """Return why data contain no items: they may be annotated for another task than that of the head."""
    items = found.task.words.items
    for name, other in TASKS.items():
        if name != section.task and other.propose(found.statistics, overlapping=0) is not None:
            return (
                f"the head {section.head.name} extracts {items}, but the data contain none; for {other.words.items}, use task: "
                f"{name} and one of its heads: {', '.join(heads_of(name))}"
            )
    return f"no {items}; check that data.format is right"


def _few(found: Survey) -> str:
    words = found.task.words
    items = counted(found.items, words.item, words.items)
    few = f"dev: {counted(found.documents, 'example')} with {items} are few"
    if found.task.metric == "f1":
        few += f": a single {words.item} changes the recall by {1 / found.items:.1%}"
    return f"{few}, so that the best epoch and the thresholds are chosen largely by chance"


def _odd_spans(split: str, found: Survey, verdict: str | None) -> Iterator[Finding]:
    if verdict is not None:
        yield Finding("warning", f"{split}: {verdict}")
    # Wrong offsets explain cut words, and unreachable items have a finding of their own.
    known = [CUT] * (verdict is not None) + [INVISIBLE] * found.reach.is_lost(WHITESPACE)
    for share, text in found.spans.describe_odd(left_out=known):
        yield Finding("warning" if share >= _ODD_SHARE else "note", f"{split}: {text}")
    if verdict is None:
        yield from found.spans.unmarked.findings(split)
        yield from found.spans.labels.findings(split)
        yield from found.spans.habits.findings(split)
    yield from found.directions.findings(split)


def _repetitions(split: str, found: Survey) -> Iterator[Finding]:
    texts, ids = found.texts, found.ids
    if texts.contradictions:
        listed = "".join(f"\n  {where}" for where in list(texts.contradictions.values())[:_SHOWN])
        yield Finding(
            "warning",
            f"{split}: {counted(len(texts.contradictions), 'text occurs', 'texts occur')} again with different "
            f"annotations:{listed}",
        )
    if texts.duplicates:
        are = "is a duplicate" if texts.duplicates == 1 else "are duplicates"
        yield Finding("warning", f"{split}: {texts.duplicates:,} of {found.documents:,} texts {are}")
    if ids.repeated:
        yield Finding(
            "note",
            f"{split}: {counted(ids.repeated, 'duplicate id')}, the first at {ids.first}; predictions are therefore matched "
            "with gold data by order",
        )
    for count, one, several in (
        (found.spans.repeated, "entity", "entities"),
        (found.spans.repeated_relations, "relation", "relations"),
    ):
        if count:
            duplicates = counted(count, f"duplicate {one}", f"duplicate {several}")
            yield Finding("note", f"{split}: {duplicates} within a text; each {one} counts once")


def between(surveys: Mapping[str, Survey], section: TaskSection, *, alone: bool = False) -> Iterator[Finding]:
    """Yield findings about what the splits share, and about names that only some of them contain."""
    train = surveys["train"]
    kinds = train.task.kinds
    for split, other in surveys.items():
        if split == "train":
            continue
        yield from _leakage(split, train, other, alone=alone)
        yield from between_pairs(split, train.pairs, other.pairs, alone=alone)
        if not alone:  # a token would be a character
            yield from much_longer(split, train.reach.lengths, other.reach.lengths)
        for kind in kinds:
            if unknown := sorted(set(other.names[kind.items]) - set(train.names[kind.items])):
                yield Finding(
                    "warning",
                    f"{kind.names} of {split} that train does not contain and no model can predict: {', '.join(unknown)}",
                )
    if "dev" in surveys and "test" in surveys:
        yield from _dev_in_test(surveys["dev"], surveys["test"])
    for kind in kinds:
        if rare := sorted(name for name, count in train.names[kind.items].items() if count < _RARE):
            yield Finding("warning", f"{kind.names} with fewer than {_RARE} examples in train: {', '.join(rare)}")
    listed = section.data.labels
    labels = {name for kind in kinds if kind.names == "labels" for name in train.names[kind.items]}
    if listed is not None and (unlisted := sorted(labels - set(listed))):
        yield Finding("error", f"labels of train that data.labels does not list: {', '.join(unlisted)}")


def _leakage(split: str, train: Survey, other: Survey, *, alone: bool) -> Iterator[Finding]:
    texts = other.texts.texts
    if shared := len(train.texts.texts.keys() & texts.keys()):
        kind: Literal["error", "warning"] = "error" if shared == len(texts) else "warning"
        remedy = (
            "set data.dev: 0.1 to split texts off train"
            if split == "dev" and not alone
            else "remove them from one of the two"
        )
        yield Finding(
            kind,
            f"train contains {shared} of {counted(len(texts), 'text')} of {split}: scores on {split} will be too high; "
            f"{remedy}",
        )


def _dev_in_test(dev: Survey, test: Survey) -> Iterator[Finding]:
    texts = test.texts.texts
    if shared := len(dev.texts.texts.keys() & texts.keys()):
        yield Finding(
            "warning",
            f"dev contains {shared} of {counted(len(texts), 'text')} of test: scores on test may be too high, because the best "
            "epoch and the thresholds are chosen on dev; remove them from one of the two",
        )
