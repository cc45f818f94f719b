"""Tags: what they can express, and decoding compared with the enumeration of all sequences of tags."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import characters
from support.heads import SCHEMA, codec_of_head, example
from support.tagging import Span, follows, legal_paths, margins, spans_of, tag_names

from ie_cli.codecs import tag_margins
from ie_cli.codecs.limits import OVERLAP
from ie_cli.codecs.tag_margins import decode_tags
from ie_cli.codecs.tag_scheme import SCHEMES
from ie_cli.document import Document, Entity
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan

TOKENIZER = TextTokenizer(characters())
PLAN = WindowPlan(60, 20)
schemes = pytest.mark.parametrize("scheme", SCHEMES)


def encode(*entities: Entity, text: str = "abcdefghij", plan: WindowPlan = PLAN) -> Any:
    [tokens] = TOKENIZER.encode([text])
    return codec_of_head("crf").encode(Document(text, list(entities)), tokens, plan)


# Gold


@schemes
@pytest.mark.parametrize("labels", [1, 2, 3])
def test_legal_transitions_are_those_of_the_scheme(scheme: str, labels: int) -> None:
    names = tag_names(scheme, labels)
    legal = SCHEMES[scheme].legal(labels)
    for row, before in enumerate([*names, "^"]):
        for column, after in enumerate([*names, "$"]):
            expected = (before, after) != ("^", "$") and follows(scheme, before, after)
            assert legal[row, column] == expected, (before, after)


@schemes
def test_each_legal_sequence_is_another_set_of_entities(scheme: str) -> None:
    found = [frozenset(spans_of(scheme, 2, path)) for path in legal_paths(scheme, 2, 4)]
    assert len(set(found)) == len(found)
    # The number of ways to split four tokens into runs, each outside or an entity of one of two labels.
    ways = [1]
    for length in range(1, 5):
        ways.append(ways[-1] + 2 * sum(ways[:length]))
    assert len(found) == ways[4]


def test_as_many_overlapping_entities_as_possible_are_kept_and_of_as_many_the_longer() -> None:
    outer, inner, crossing = Entity(1, 6, "A"), Entity(2, 4, "B"), Entity(5, 8, "C")
    apart, twin = Entity(8, 10, "B"), Entity(8, 10, "A")
    targets = encode(inner, outer, crossing, apart, twin)
    assert targets.columns["spans"].tolist() == [[1, 2, 3], [2, 5, 7], [0, 8, 9]]
    assert targets.counts == {"entities": 5}
    assert targets.unreachable == {"entities": [(outer, OVERLAP), (apart, OVERLAP)]}
    assert encode(inner, outer).columns["spans"].tolist() == [[0, 1, 5]]


def test_an_entity_that_cannot_be_predicted_hides_no_other_one() -> None:
    unknown, inner = Entity(0, 8, "unknown"), Entity(2, 4, "B")
    assert encode(unknown, inner).columns["spans"].tolist() == [[1, 2, 3]]
    long, part = Entity(0, 9, "A"), Entity(2, 4, "B")
    targets = encode(long, part, plan=WindowPlan(6, 4))
    assert targets.columns["spans"].tolist() == [[1, 2, 3]]
    assert [entity for entity, _ in targets.unreachable["entities"]] == [long]


@given(length=st.integers(1, 12), seed=st.integers(0, 2**20))
def test_what_is_kept_is_the_largest_set_without_overlaps(length: int, seed: int) -> None:
    document = example(length, seed=seed)
    targets = encode(*document.entities, text=document.text)
    spans = targets.columns["spans"].tolist()
    covered = [token for _, first, last in spans for token in range(first, last + 1)]
    assert len(covered) == len(set(covered))
    lost = targets.unreachable["entities"]
    assert len(spans) + len(lost) == targets.counts["entities"] == len(set(document.entities))
    assert {reason for _, reason in lost} <= {OVERLAP}
    assert (len(spans), len(covered)) == most_without_overlaps(sorted({(e.start, e.end) for e in document.entities}))


def most_without_overlaps(spans: list[tuple[int, int]]) -> tuple[int, int]:
    """Return the most spans without overlaps, and of as many their most tokens, by trying all choices."""
    if not spans:
        return 0, 0
    (start, end), *rest = spans
    count, size = most_without_overlaps([span for span in rest if span[0] >= end])
    return max((count + 1, size + end - start), most_without_overlaps(rest))


# Decoding


def block_of(scheme: str, emissions: npt.NDArray[Any], transitions: npt.NDArray[Any] | None) -> dict[str, Any]:
    """Return scores ``[batch, L, K]`` as the outputs of a head."""
    known = SCHEMES[scheme]
    labels = emissions.shape[2] // len(known.blocks)
    block = {role: emissions[:, :, known.block(role, labels)].astype(np.float32) for role in known.blocks}
    block["outside"] = emissions[:, :, -1].astype(np.float32)
    return block if transitions is None else block | {"transitions": transitions.astype(np.float32)}


def decoded(
    scheme: str, emissions: Any, transitions: Any, thresholds: Any, mask: Any = None
) -> dict[int, dict[Span, float]]:
    """Return the spans with their scores by sample."""
    mask = np.ones(emissions.shape[:2], dtype=bool) if mask is None else mask
    found = decode_tags(
        block_of(scheme, emissions, transitions), mask, np.asarray(thresholds, np.float32), SCHEMES[scheme]
    )
    result: dict[int, dict[Span, float]] = {sample: {} for sample in range(len(mask))}
    for (sample, *span), score in zip(found.entries.tolist(), found.scores.tolist(), strict=True):
        assert tuple(span) not in result[sample]
        result[sample][tuple(span)] = score
    return result


def drawn(scheme: str, labels: int, length: int, seed: int, scale: float, *, chain: bool) -> tuple[Any, Any]:
    """Draw float32 scores of one sample ``[1, length, K]`` and of transitions."""
    random = np.random.default_rng(seed)
    count = SCHEMES[scheme].outside(labels) + 1
    emissions = (scale * random.normal(size=(1, length, count))).astype(np.float32)
    return emissions, (2 * random.normal(size=(count + 1, count + 1))).astype(np.float32) if chain else None


@schemes
@pytest.mark.parametrize("chain", [True, False])
@settings(max_examples=40)
@given(
    labels=st.integers(1, 2),
    length=st.integers(1, 4),
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([0.3, 3.0, 30.0]),
    thresholds=st.lists(st.sampled_from([-100.0, -2.0, 0.0, 1.5]), min_size=2, max_size=2),
)
def test_scores_are_the_margins_over_all_sequences(
    scheme: str, chain: bool, labels: int, length: int, seed: int, scale: float, thresholds: list[float]
) -> None:
    emissions, transitions = drawn(scheme, labels, length, seed, scale, chain=chain)
    exact, best = margins(
        scheme, emissions[0].astype(np.float64), None if transitions is None else transitions.astype(np.float64)
    )
    assert {span for span, score in exact.items() if score > 0} == best
    found = decoded(scheme, emissions, transitions, thresholds[:labels])[0]
    expected = {span: score for span, score in exact.items() if score > thresholds[span[0]]}
    assert found == pytest.approx(expected, abs=1e-4, rel=1e-5)


@schemes
@given(seed=st.integers(0, 2**20), lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_a_batch_decodes_as_its_samples(scheme: str, seed: int, lengths: list[int]) -> None:
    """Neither special tokens nor padding nor the other samples change anything."""
    random = np.random.default_rng(seed)
    longest = max(lengths) + 3
    emissions, transitions = drawn(scheme, 3, longest * len(lengths), seed, 3.0, chain=True)
    emissions = emissions.reshape(len(lengths), longest, -1)
    mask = np.zeros((len(lengths), longest), dtype=bool)
    for sample, length in enumerate(lengths):
        mask[sample, 1 : 1 + length] = True
    emissions[~mask] = random.normal(size=(int((~mask).sum()), emissions.shape[2])) * 100
    thresholds = np.array([-1.0, 0.0, 1.0])
    together = decoded(scheme, emissions, transitions, thresholds, mask)
    for sample, length in enumerate(lengths):
        if not length:
            assert together[sample] == {}
            continue
        alone = decoded(scheme, emissions[sample : sample + 1, 1 : 1 + length], transitions, thresholds)[0]
        moved = {(label, first + 1, last + 1): score for (label, first, last), score in alone.items()}
        assert together[sample] == pytest.approx(moved, abs=1e-4)


@schemes
def test_a_long_text_has_the_spans_of_its_best_sequence(scheme: str) -> None:
    """Sums over a long text lose no digits: the spans found are disjoint, and each is as good as its own tags say."""
    emissions, transitions = drawn(scheme, 12, 500, 7, 3.0, chain=True)
    emissions += 1000  # the same for every sequence
    found = decoded(scheme, emissions, transitions, np.zeros(12))[0]
    assert len(found) > 20
    covered = [token for _, first, last in found for token in range(first, last + 1)]
    assert len(covered) == len(set(covered))
    lower = decoded(scheme, emissions, transitions, np.full(12, -1e-3))[0]
    assert lower.keys() >= found.keys()
    assert {span: lower[span] for span in found} == found


@schemes
def test_more_candidates_than_the_limit_are_reported(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emissions, transitions = drawn(scheme, 3, 40, 1, 1.0, chain=True)
    mask = np.ones((1, 40), dtype=bool)
    block, known = block_of(scheme, emissions, transitions), SCHEMES[scheme]
    every = decode_tags(block, mask, np.full(3, -1000, dtype=np.float32), known)
    assert every.truncated == {0}
    assert len(every.entries) == 512
    few = decode_tags(block, mask, np.zeros(3, dtype=np.float32), known)
    assert not few.truncated
    monkeypatch.setattr(tag_margins, "MAX_CANDIDATES", 1)
    capped = decode_tags(block, mask, np.full(3, -1000, np.float32), known)
    assert capped.truncated == {0}


def test_an_empty_batch_has_no_spans() -> None:
    emissions, transitions = drawn("bio", 3, 4, 0, 1.0, chain=True)
    assert decoded("bio", emissions, transitions, np.zeros(3), np.zeros((1, 4), dtype=bool)) == {0: {}}
    assert decoded("bio", emissions[:0], transitions, np.zeros(3), np.zeros((0, 4), dtype=bool)) == {}


def test_scores_that_are_not_numbers_find_nothing() -> None:
    emissions, transitions = drawn("bio", 3, 4, 0, 1.0, chain=True)
    assert decoded("bio", emissions * np.nan, transitions, np.zeros(3)) == {0: {}}


def test_columns_are_the_same_for_both_schemes() -> None:
    identities = {
        tuple(codec_of_head(name, SCHEMA, scheme=scheme).identity) for name in ("crf", "softmax") for scheme in SCHEMES
    }
    assert len(identities) == 1
