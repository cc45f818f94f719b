"""CasRel: starts with the nearest end, what they cannot express, and decoding in two passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.heads import APART, PLAN, ROLE_SCHEMA, TOKENIZER
from support.perfect_casrel import PerfectSubjects

from ie_cli.codecs import casrel
from ie_cli.codecs.base import Annotation, Candidates, Decoding, find_reachable
from ie_cli.codecs.casrel import CasRelCodec
from ie_cli.codecs.limits import OBJECT_OVERLAPS, SUBJECT_OVERLAPS
from ie_cli.codecs.nearest import decode_nearest, joint_spans
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.encoding.windows import WindowPlan
from ie_cli.recipe.heads import CasRelSection
from ie_cli.triples import ROLES

Span = tuple[int, int]
SPANS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 4)).map(lambda pair: (pair[0], sum(pair))), max_size=7)
# Odd multiples of 1/8 are exact in float32, and none is 0, where a span is neither found nor excluded by an end.
SCORES = st.integers(-12, 11).map(lambda number: (2 * number + 1) / 8)


def codec_of(schema: LabelSchema = ROLE_SCHEMA) -> CasRelCodec:
    return CasRelCodec(schema, CasRelSection(name="casrel"))


def nearest(starts: set[int], ends: set[int]) -> set[Span]:
    """Join each start with the nearest end, in plain Python."""
    return {(i, min(later)) for i in starts if (later := [j for j in ends if j >= i])}


# Starts and ends


@st.composite
def tagged(draw: st.DrawFn) -> tuple[Any, ...]:
    rows, length = draw(st.integers(0, 4)), draw(st.integers(1, 7))
    values = [
        np.array(draw(st.lists(SCORES, min_size=rows * length, max_size=rows * length)), dtype=np.float32)
        for _ in range(2)
    ]
    mask = np.zeros((2, length), dtype=bool)
    for sample in range(2):
        first = draw(st.integers(0, length))
        mask[sample, first : draw(st.integers(first, length))] = True
    samples = np.sort(np.array(draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)), dtype=np.int64))
    thresholds = np.array(draw(st.lists(SCORES, min_size=rows, max_size=rows)), dtype=np.float32)
    start, end = (part.reshape(rows, length) for part in values)
    return start, end, mask, thresholds, samples


def brute(start: Any, end: Any, mask: Any, thresholds: Any, samples: Any) -> dict[tuple[int, int, int], float]:
    found = {}
    for row in range(len(start)):
        tokens = mask[samples[row]].nonzero()[0].tolist()
        for i in tokens:
            for j in (token for token in tokens if token >= i):
                score = min([start[row, i], end[row, j], *(-end[row, k] for k in range(i, j))])
                if score > thresholds[row]:
                    found[row, i, j] = float(score)
    return found


@given(tagged())
def test_spans_and_scores_are_those_of_the_definition(given: tuple[Any, ...]) -> None:
    found = decode_nearest(*given, limits=np.full(2, 100))
    assert dict(zip(map(tuple, found.entries.tolist()), found.scores.tolist(), strict=True)) == brute(*given)
    assert not found.truncated


@given(tagged())
def test_at_the_threshold_0_each_start_has_the_nearest_end(given: tuple[Any, ...]) -> None:
    start, end, mask, thresholds, samples = given
    found = decode_nearest(
        start, end, mask, np.zeros_like(thresholds), samples, limits=np.full(2, 100)
    ).entries.tolist()
    for row in range(len(start)):
        starts, ends = (set(np.nonzero((scores[row] > 0) & mask[samples[row]])[0].tolist()) for scores in (start, end))
        assert {(i, j) for number, i, j in found if number == row} == nearest(starts, ends)


@given(tagged(), st.floats(0, 3))
def test_a_higher_threshold_adds_no_span(given: tuple[Any, ...], more: float) -> None:
    start, end, mask, thresholds, samples = given
    low, high = (
        decode_nearest(start, end, mask, values, samples, limits=np.full(2, 100)).entries.tolist()
        for values in (thresholds, thresholds + np.float32(more))
    )
    assert {tuple(entry) for entry in high} <= {tuple(entry) for entry in low}


@given(tagged(), st.integers(1, 3))
def test_the_limit_keeps_the_best_of_each_sample_and_names_it(given: tuple[Any, ...], limit: int) -> None:
    every, some = brute(*given), decode_nearest(*given, limits=np.full(2, limit))
    start, end, mask, thresholds, samples = given
    kept = dict(zip(map(tuple, some.entries.tolist()), some.scores.tolist(), strict=True))
    assert kept.items() <= every.items()
    for sample in range(2):
        tokens = mask[sample].nonzero()[0].tolist()
        rows = [row for row in range(len(start)) if samples[row] == sample]
        usable = [row for row in rows if any(end[row, j] > thresholds[row] for j in tokens)]
        starts = [(row, i) for row in usable for i in tokens if start[row, i] > thresholds[row]]
        joined = sorted(starts, key=lambda key: thresholds[key[0]] - start[key])[:limit]
        spans = [key for key in every if key[:2] in joined]
        best = sorted(spans, key=lambda key: thresholds[key[0]] - every[key])[:limit]
        assert {key for key in kept if samples[key[0]] == sample} == set(best)
        assert (sample in some.truncated) == (len(starts) > limit or len(spans) > limit)


# What can be expressed


@given(st.lists(st.tuples(st.integers(0, 1), SPANS.filter(bool).map(lambda spans: spans[0])), max_size=8))
def test_kept_spans_decode_to_themselves_and_are_as_many_as_possible(items: list[tuple[int, Span]]) -> None:
    groups = np.array([group for group, _ in items], dtype=np.int64).reshape(-1, 1)
    spans = np.array([span for _, span in items], dtype=np.int64).reshape(-1, 2)
    kept = joint_spans(groups, spans)
    for group in range(2):
        members = {span for (own, span), keep in zip(items, kept.tolist(), strict=True) if own == group and keep}
        dropped = {span for (own, span), keep in zip(items, kept.tolist(), strict=True) if own == group and not keep}
        assert members.isdisjoint(dropped)
        counts = Counter(span for own, span in items if own == group)
        choices = [set(choice) for size in range(len(counts) + 1) for choice in combinations(counts, size)]
        joint = [choice for choice in choices if nearest({i for i, _ in choice}, {j for _, j in choice}) == choice]
        assert members in joint
        assert sum(counts[span] for span in members) == max(sum(counts[span] for span in choice) for choice in joint)


def document(*triples: tuple[Span, str, Span]) -> Document:
    relations = [Relation(Entity(*a, ROLES[0]), p, Entity(*b, ROLES[1])) for a, p, b in triples]
    return Document("一二三四五六七八九十", [], relations)


def test_overlapping_arguments_are_unreachable_with_a_reason() -> None:
    codec = codec_of()
    gold = document(
        ((0, 2), "p", (5, 6)),
        ((0, 4), "p", (5, 6)),  # starts with another subject
        ((8, 9), "q", (1, 3)),
        ((8, 9), "q", (2, 5)),  # crosses another object
        ((8, 9), "q", (2, 3)),  # ends with another object
        ((8, 9), "r", (2, 5)),  # of another predicate
        ((7, 9), "q", (2, 5)),  # of another subject, which ends with a subject
    )
    [tokens] = TOKENIZER.encode([gold.text])
    targets = codec.encode(gold, tokens, PLAN)
    assert targets.counts == {"relations": 7}
    assert sorted(targets.unreachable["relations"]) == [
        (("一二三四", "p", "六"), SUBJECT_OVERLAPS),
        (("九", "q", "三四五"), OBJECT_OVERLAPS),
    ]
    assert targets.columns["subjects"].tolist() == [[0, 1], [7, 8], [8, 8]]
    assert len(targets.columns["links"]) == 5


def test_a_triple_without_offsets_is_reachable_if_one_of_its_occurrences_is() -> None:
    codec = codec_of()
    spos = [Spo("一甲", "p", "丁"), Spo("甲乙", "q", "丁")]  # the first 甲乙 overlaps 一甲
    for text, unreachable in (("一甲乙丙甲乙丁", []), ("一甲乙丙丁", [(("甲乙", "q", "丁"), SUBJECT_OVERLAPS)])):
        [tokens] = TOKENIZER.encode([text])
        found = codec.encode(Document(text, spos=spos), tokens, PLAN, mentions="all")
        assert found.counts == {"relations": 2}
        assert found.unreachable["relations"] == unreachable


def test_occurrences_that_exclude_each_other_do_not_lower_the_ceiling() -> None:
    codec = codec_of()
    # The nearest 甲乙 and 乙丙 do not overlap; of all occurrences, every 乙丙 overlaps a 甲乙.
    gold = Document("甲乙丁甲乙丙戊", spos=[Spo("甲乙", "p", "丁"), Spo("乙丙", "q", "戊")])
    [tokens] = TOKENIZER.encode([gold.text])
    every = codec.encode(gold, tokens, PLAN, mentions="all")
    assert every.unreachable["relations"] == [(("乙丙", "q", "戊"), SUBJECT_OVERLAPS)]
    more = replace(gold, spos=[*(gold.spos or ()), Spo("x", "p", "丁")])  # so that the nearest are not all reachable
    assert [triple for triple, _ in find_reachable(codec, more, tokens, PLAN).unreachable["relations"]] == [
        ("x", "p", "丁")
    ]


def test_a_subject_is_gold_in_every_window_that_contains_it() -> None:
    codec, plan = codec_of(), WindowPlan(6, 3)
    gold = document(((1, 3), "p", (3, 5)), ((5, 6), "q", (6, 8)))
    [tokens] = TOKENIZER.encode([gold.text])
    targets = codec.encode(gold, tokens, plan)
    windows = [codec.window(targets, first, 6, 1) for first in plan.starts(len(tokens)).tolist()]
    assert [window["subjects"].tolist() for window in windows] == [[[2, 3], [6, 6]], [[3, 3]], [[2, 2]]]
    assert [window["links"].tolist() for window in windows] == [
        [[0, 2, 3, 4, 5]],
        [[1, 3, 3, 4, 5]],
        [[1, 2, 2, 3, 4]],
    ]


# Decoding


@dataclass
class Recorded:
    """Outputs that record the queries.

    Attributes:
        start, end: the scores of subjects ``[batch, 1, L]``.
        objects: the scores of objects for any subject: starts and ends ``[links, L]``.
    """

    start: npt.NDArray[np.float32]
    end: npt.NDArray[np.float32]
    objects: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
    asked: list[list[Span]] = field(default_factory=list)

    def matrix(self, name: str) -> list[dict[str, npt.NDArray[Any]]]:
        return [{"start": self.start, "end": self.end}]

    def query(self, name: str, arguments: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        spans = np.stack([arguments["first"], arguments["last"]], axis=1)
        self.asked.append([(first, last) for first, last in spans.tolist()])
        return {side: np.stack([part] * len(spans)) for side, part in zip(("start", "end"), self.objects, strict=True)}


def outputs(batch: int = 2, length: int = 8, links: int = 4) -> Recorded:
    subjects = [np.full((batch, 1, length), -5, dtype=np.float32) for _ in range(2)]
    objects = [np.full((links, length), -5, dtype=np.float32) for _ in range(2)]
    return Recorded(subjects[0], subjects[1], (objects[0], objects[1]))


def text(batch: int = 2, length: int = 8) -> npt.NDArray[np.bool_]:
    mask = np.ones((batch, length), dtype=bool)
    mask[:, [0, -1]] = False
    return mask


def test_without_subjects_nothing_is_queried() -> None:
    given = outputs()
    decoded = codec_of().decoder(Decoding()).decode(given, text())
    assert decoded.parts["links"].entries.shape == (0, 6)
    assert not given.asked
    assert not decoded.truncated


def filled() -> Recorded:
    """Three subjects in two samples; any subject has the objects 4..5 of q (score 3) and 6 of r (score 1)."""
    given = outputs()
    given.start[0, 0, [1, 3]], given.end[0, 0, [2, 3]] = (2, 4), (6, 4)
    given.start[1, 0, 1] = given.end[1, 0, 1] = 1.5
    start, end = given.objects
    start[1, 4], end[1, 5], start[2, 6], end[2, 6] = 3, 4, 1, 2
    return given


def test_all_subjects_of_a_batch_are_one_query_and_scores_are_the_lowest_of_four() -> None:
    given = filled()
    decoded = codec_of().decoder(Decoding()).decode(given, text())
    assert given.asked == [[(1, 2), (3, 3), (1, 1)]]
    found = decoded.parts["links"]
    assert dict(zip(map(tuple, found.entries.tolist()), found.scores.tolist(), strict=True)) == {
        (0, 1, 1, 2, 4, 5): 2, (0, 2, 1, 2, 6, 6): 1,
        (0, 1, 3, 3, 4, 5): 3, (0, 2, 3, 3, 6, 6): 1,
        (1, 1, 1, 1, 4, 5): 1.5, (1, 2, 1, 1, 6, 6): 1,
    }  # fmt: skip


@pytest.mark.parametrize(("limit", "value"), [("QUERY_TOKENS", 8), ("QUERY_TOKENS", 1), ("QUERY_SCORES", 64)])
def test_a_large_query_is_split(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = codec_of().decoder(Decoding()).decode(filled(), text()).parts["links"]
    monkeypatch.setattr(casrel, limit, value)
    given = filled()
    parts = codec_of().decoder(Decoding()).decode(given, text()).parts["links"]
    assert [len(spans) for spans in given.asked] == [1, 1, 1]
    np.testing.assert_array_equal(parts.entries, whole.entries)
    np.testing.assert_array_equal(parts.scores, whole.scores)


def triples(**options: Any) -> set[tuple[int, ...]]:
    found = codec_of().decoder(Decoding(**options)).decode(filled(), text()).parts["links"]
    return {tuple(entry) for entry in found.entries.tolist()}


def test_thresholds_are_by_role_and_by_predicate() -> None:
    def probability(score: float) -> float:
        return float(1 / (1 + np.exp(-score)))

    every = triples()
    assert triples(thresholds={"subject": probability(1.75)}) == {entry for entry in every if entry[0] == 0}
    assert triples(thresholds={"r": probability(1.25)}) == {entry for entry in every if entry[1] == 1}
    assert triples(thresholds={"object": probability(1.25)}) == {entry for entry in every if entry[1] == 1}
    assert triples(threshold=probability(2.5)) == {(0, 1, 3, 3, 4, 5)}
    assert triples(threshold=probability(2.5 / 4), temperature=4) == {(0, 1, 3, 3, 4, 5)}


@pytest.mark.parametrize("limit", ["MAX_OBJECTS", "MAX_TRIPLES"])
def test_exceeded_limits_are_reported(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(casrel, limit, 2)
    decoded = codec_of().decoder(Decoding()).decode(filled(), text())
    assert decoded.truncated == {0}  # the other sample has two triples
    found = decoded.parts["links"]
    # Of the first sample, the two triples with the score 1 are dropped; they are not the last ones.
    assert dict(zip(map(tuple, found.entries.tolist()), found.scores.tolist(), strict=True)) == {
        (0, 1, 1, 2, 4, 5): 2, (0, 1, 3, 3, 4, 5): 3,
        (1, 1, 1, 1, 4, 5): 1.5, (1, 2, 1, 1, 6, 6): 1,
    }  # fmt: skip


def test_the_best_subjects_are_queried_if_there_are_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A low threshold finds several ends for a start; the limit is one subject per token."""
    monkeypatch.setattr(casrel, "MAX_SUBJECTS", 1)
    given = outputs(batch=1, length=5)
    given.start[0, 0, 1:4] = (-0.5, 2, 1)
    given.end[0, 0, 1:4] = (-1, 0.25, 0.75)
    decoded = codec_of().decoder(Decoding(thresholds={"subject": 0.1})).decode(given, text(1, 5))
    # The scores are 0.25, 0.75, -0.25 for these, and -1, -0.5, -0.5 for 1..1, 1..2 and 1..3.
    assert given.asked == [[(2, 2), (2, 3), (3, 3)]]
    assert decoded.truncated == {0}


def test_scores_without_learning_end_within_the_limits() -> None:
    """Every token is a start and an end: as many subjects as tokens, and objects of 300 predicates for each."""
    given = outputs(batch=1, length=40, links=300)
    for part in (given.start, given.end, *given.objects):
        part[:] = 5
    schema = LabelSchema(ROLES, tuple(map(str, range(300))))
    decoded = codec_of(schema).decoder(Decoding()).decode(given, text(1, 40))
    assert len(decoded.parts["links"].entries) == casrel.MAX_TRIPLES
    assert decoded.truncated == {0}


def test_the_best_pair_of_types_gives_the_types() -> None:
    schema = LabelSchema(
        ROLES,
        ("p", "q"),
        {"p": (("A", "B"), ("A", "C")), "q": (("A", "B"),)},
        joined=(("p", "A", "B"), ("p", "A", "C")),
    )
    given = outputs(batch=1)
    given.start[0, 0, 1] = given.end[0, 0, 1] = 5
    start, end = given.objects
    start[0, 3] = end[0, 3] = 5
    start[2, 3], end[2, 3] = 9, -2  # the lower score counts
    start[3, 3] = end[3, 3] = -1
    codec = codec_of(schema)
    assert codec.matrices["objects"] == ("p", "q", "p\tA\tB", "p\tA\tC")
    decoder = codec.decoder(Decoding())
    decoded = decoder.decode(given, text(1))
    assert decoded.parts["links"].entries.tolist() == [[0, 3, 1, 1, 3, 3]]
    [relation] = annotated(decoder, decoded.parts["links"]).relations
    assert (relation.predicate, relation.subject.label, relation.object.label) == ("p", "A", "C")


def annotated(decoder: Any, links: Candidates) -> Annotation:
    """Annotate a text of single characters from the first sample."""
    [tokens] = TOKENIZER.encode([APART.text])
    chosen = links.entries[:, 0] == 0
    entries = np.insert(links.entries[chosen, 1:], 5, 0, axis=1)
    return cast(
        Annotation, decoder.annotate({"links": Candidates(entries, links.scores[chosen])}, tokens, PLAN, APART.text)
    )


def test_entities_are_the_arguments_of_triples_with_the_score_of_the_best() -> None:
    decoder = codec_of().decoder(Decoding())
    found = annotated(decoder, decoder.decode(filled(), text()).parts["links"])
    by_score = {
        (e.start, e.end, e.label): round(float(np.log(e.score / (1 - e.score))), 4) for e in found.entities if e.score
    }
    assert by_score == {
        (1, 3, "subject"): 2, (3, 4, "subject"): 3, (4, 6, "object"): 3, (6, 7, "object"): 1
    }  # fmt: skip
    assert len(found.relations) == 4
    assert found.related
    assert decoder.annotate({}, TOKENIZER.encode([""])[0], PLAN, "") == Annotation(related=True)


def test_flat_output_has_no_overlapping_arguments() -> None:
    given = filled()
    given.objects[0][1, 3] = 3  # the object 3..5 of q overlaps the subject 3
    for flat in (False, True):
        decoder = codec_of().decoder(Decoding(flat=flat))
        found = annotated(decoder, decoder.decode(given, text()).parts["links"])
        spans = sorted({(e.start, e.end) for e in found.entities})
        overlaps = any(one[1] > other[0] for one, other in zip(spans, spans[1:], strict=False))
        assert overlaps is not flat


def test_perfect_scores_of_windows_give_the_triples_of_the_text() -> None:
    """The object of a triple lies outside the window that owns the object alone."""
    codec, plan = codec_of(), WindowPlan(6, 4)
    gold = document(((1, 2), "p", (5, 6)), ((6, 7), "q", (3, 4)))
    [tokens] = TOKENIZER.encode([gold.text])
    targets = codec.encode(gold, tokens, plan)
    decoder, pieces = codec.decoder(Decoding()), []
    for number, first in enumerate(plan.starts(len(tokens)).tolist()):
        window = {name: np.insert(rows, 0, 0, axis=1) for name, rows in codec.window(targets, first, 6, 0).items()}
        perfect = PerfectSubjects(window["subjects"], window["links"], (1, 4, 6))
        found = decoder.decode(perfect, np.ones((1, 6), dtype=bool)).parts["links"]
        entries = found.entries[:, 1:] + first * np.array([0, 1, 1, 1, 1])
        pieces.append((np.insert(entries, 5, number, axis=1), found.scores))
    links = Candidates(np.concatenate([entries for entries, _ in pieces]), np.concatenate([s for _, s in pieces]))
    found = decoder.annotate({"links": links}, tokens, plan, gold.text)
    assert [replace(relation, score=None) for relation in found.relations] == sorted(gold.relations)
