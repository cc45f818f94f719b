"""Round trips between any two formats: everything is either read back or counted as lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.lost_items import entities_lost, missing, of, placed, relations_lost, squeezed, surfaces_lost, triples_lost
from support.random_documents import events

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.formats import FORMATS, Reading
from ie_cli.triples import ROLES, role_arguments

WRITTEN = [name for name, format in FORMATS.items() if format.write is not None and name != "html"]
EVERY_PAIR = ("jsonl", "cluener", "conll", "duie", "duie1", "triples", "conll04", "conll04-table", "multihead", "pairs")
"""The formats of which each is converted to each; others are converted from and to native JSON Lines, and to themselves."""
PAIRS = [
    (source, target)
    for source in WRITTEN
    for target in WRITTEN
    if source == target or "jsonl" in (source, target) or {source, target} <= set(EVERY_PAIR)
]
TEXT = st.lists(
    st.sampled_from(["ab", "Anna", "中", "文", " ", "  ", "\u3000", "\t", "-DOCSTART-x", "#", "#doc", "N", "1", "👩"]),
    max_size=8,
).map("".join)
LABELS = st.sampled_from(["人物", "Org", "entity", "subject", "object", "a\tb", "a b"])
PREDICATES = st.sampled_from(["创始人", "创始人.inArea", "Live_In", "N", "it's"])
IDS = st.none() | st.integers(-5, 5) | st.sampled_from(["a1", "7", " x  y", ""])
SCORES = st.none() | st.just(0.5)
NAMES = [
    "source",
    "text",
    "entities",
    "relations",
    "label",
    "spo_list",
    "tokens",
    "orig_id",
    "triple_list",
    "events",
    "offsets",
    "sentences",
    "",
    "triples",
    "spans",
]
LIKE_ANNOTATION = [
    [{"subject": "a", "predicate": "b", "object": "c"}],
    [[0, 1, "x"]],
    [{"start": 0, "end": 1, "label": "x"}],
]
"""Values of user fields that look like relations and entities."""
META = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([1, "guessed", [], None, *LIKE_ANNOTATION]), max_size=2)


@st.composite
def whole(draw: st.DrawFn) -> Document:
    """Generate documents with all parts, including values that a format may be unable to store."""
    text = draw(TEXT)
    pair: dict[str, Any] = draw(
        st.just({}) | st.fixed_dictionaries({"text_pair": st.just("b"), "label": st.just("x"), "score": SCORES})
    )
    document = Document(text, id=draw(IDS), meta=draw(META), **pair)
    if not text:
        return document
    boundaries = st.tuples(st.integers(0, len(text) - 1), st.integers(1, len(text))).filter(lambda b: b[0] < b[1])
    entity = st.builds(lambda b, label, score: Entity(*b, label, score), boundaries, LABELS, SCORES)
    some = draw(st.lists(entity, max_size=3, unique=True))
    either = st.sampled_from(some) | entity if some else entity
    document.entities = some
    document.events = draw(st.lists(events(text), max_size=1))
    if draw(st.booleans()):
        document.relations = draw(
            st.lists(st.builds(Relation, either, PREDICATES, either, SCORES), max_size=3, unique=True)
        )
        return document
    mention = boundaries.map(lambda b: text[b[0] : b[1]]) | st.just("absent")
    slots = st.just(()) | mention.map(lambda value: (("inArea", value),))
    document.spos = draw(
        st.lists(st.builds(Spo, mention, PREDICATES, mention, slots, LABELS, LABELS), max_size=2, unique=True)
    )
    return document


def written_and_read(name: str, document: Document) -> Document:
    """Write a document in a format and read it again; a record that leaves no output is an empty one."""
    format = FORMATS[name]
    assert format.write is not None
    before, _, after = format.frame
    lines = (before + format.write(document) + after).removesuffix("\n").split("\n")
    records = list(format.read(enumerate(lines, 1), "x", Reading()))
    if name == "conll" and not records:
        return Document("")
    [back] = records
    assert isinstance(back, Document), back
    return back


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=15)
@given(document=whole())
def test_what_comes_back_and_what_was_counted_is_all_that_went_in(source: str, target: str, document: Document) -> None:
    before = written_and_read(source, document)
    assume(before.text or not before.entities)  # a submission, which `ie convert` refuses
    reported = {what: count for what, count in FORMATS[target].count_losses(before).items() if count}
    after = written_and_read(target, before)
    unchanged = after.text == before.text
    assert unchanged or of(reported, "texts", "words"), (before, after, reported)
    assert squeezed(after.text) == squeezed(before.text) or of(reported, "texts cannot be stored", "words that start")

    told_entities = of(reported, "entities", "labels")
    if target != "cluener" or unchanged:  # a submission has offsets, but no text to compare
        # Words that are gone move what is behind them.
        moved = of(reported, "words that start") > 0
        lost_entities = surfaces_lost(before, after) if moved else entities_lost(before, after)
        assert lost_entities <= told_entities, (before, after, reported)
    if told_entities == 0 and unchanged:
        listed = {(*placed(before.text, e), e.start) for e in before.entities if e.label not in ROLES}
        found = {*after.entities, *(side for r in after.relations for _, side in role_arguments(r))}
        assert listed <= {(*placed(after.text, e), e.start) for e in found}, (before, after)

    told_relations = of(reported, "relations", "triples", "slots", "types")
    if before.spos is None:
        assert relations_lost(before, after) <= told_relations + of(reported, "words that start", "labels"), (
            before,
            after,
            reported,
        )
    else:
        assert triples_lost(before, after) <= told_relations + of(reported, "words that start"), (
            before,
            after,
            reported,
        )

    assert missing(before.events, after.events) <= of(reported, "events")
    pair = (before.text_pair, before.label, before.score)
    assert (after.text_pair, after.label, after.score) == pair or of(reported, "second texts"), (before, after)
    assert after.id == before.id or of(reported, "ids"), (before, after)
    kept = {name for name, value in before.meta.items() if after.meta.get(name, value) == value and name in after.meta}
    assert len(before.meta) - len(kept) == of(reported, "other fields", "fields 'events'"), (before, after, reported)
    scored = [x for x in (*before.entities, *before.relations) if x.score is not None]
    kept_scores = [x for x in (*after.entities, *after.relations) if x.score is not None]
    assert len(scored) - len(kept_scores) == of(reported, "scores"), (before, after, reported)
