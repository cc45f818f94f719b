"""Decoding with limits on where spans start and end, for every head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import TOKENIZERS
from support.heads import HIDDEN, WINDOW_HEADS, built, codec_of_head
from support.tagging import Span, legal_paths, path_total, spans_of
from support.toy_head import TOY

from ie_cli.codecs import spans
from ie_cli.codecs.base import Candidates, Codec, Decoding, Outputs, decode
from ie_cli.codecs.factors import LabelFactors, SharedFactors
from ie_cli.codecs.nearest import decode_nearest
from ie_cli.codecs.spans import decode_spans
from ie_cli.codecs.tag_margins import decode_tags
from ie_cli.codecs.tag_scheme import SCHEMES
from ie_cli.document import Document, Entity, Relation
from ie_cli.document.word_boundaries import splits_word
from ie_cli.encoding.alignment import INSIDE_WORD
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import BoundaryMasks, with_whole_words
from ie_cli.evaluation.gold import CeilingCounter
from ie_cli.inference.backends.onnx import OnnxOutputs
from ie_cli.inference.backends.torch import TorchOutputs
from ie_cli.inference.pipeline import Engine, Extraction, extract
from ie_cli.modeling.heads.base import Head
from ie_cli.recipe.heads import HEADS

INDEPENDENT = ("efficient_global_pointer", "global_pointer", "biaffine", "gplinker", "tplinker")
"""The heads whose spans do not compete: the others find other spans where some are excluded."""
LOW, LOWEST = Decoding(threshold=0.4), Decoding(threshold=0.05)
TEXT = "Fotonik Studio in 北京大学 visited Café Zentral, then 2008."


@pytest.fixture(autouse=True, scope="module")
def _toy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HEADS, "toy", TOY)
        yield


def random_head(name: str, seed: int = 0) -> Head:
    """Return a head with random weights, which finds many items."""
    module = built(name)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.4)
    return cast(Head, module)


def drawn_masks(seed: int, batch: int, length: int) -> tuple[npt.NDArray[np.bool_], BoundaryMasks]:
    """Return a text mask without the first and last token, and the boundaries of words of one to three tokens."""
    random = np.random.default_rng(seed)
    mask = np.zeros((batch, length), dtype=bool)
    mask[:, 1:-1] = True
    starts, ends = mask.copy(), mask.copy()
    inner = random.random((batch, length)) < 0.5  # whether a token continues the word of the token before it
    starts &= ~inner
    ends[:, :-1] &= ~inner[:, 1:]
    return mask, BoundaryMasks(starts, ends)


def found(parts: Mapping[str, Candidates]) -> dict[str, dict[tuple[int, ...], float]]:
    return {
        name: dict(zip(map(tuple, part.entries.tolist()), part.scores.tolist(), strict=True))
        for name, part in parts.items()
    }


def allowed(entry: tuple[int, ...], columns: tuple[int, ...], boundaries: BoundaryMasks) -> bool:
    """Return whether the first and last tokens of an entry, in these columns, are boundaries; the sample is before them."""
    tokens = [entry[column + 1] for column in columns]
    return all(boundaries.starts[entry[0], first] for first in tokens[::2]) and all(
        boundaries.ends[entry[0], last] for last in tokens[1::2]
    )


@pytest.mark.parametrize("name", WINDOW_HEADS)
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_has_another_boundary_and_nothing_else_is_lost(name: str, seed: int) -> None:
    head, decoder = random_head(name, seed), codec_of_head(name).decoder(LOW)
    mask, boundaries = drawn_masks(seed, 3, 7)  # short, so that no candidate limit is exceeded
    outputs = TorchOutputs(head, torch.randn(3, 7, HIDDEN))
    decoded = [decode(decoder, outputs, mask, limits) for limits in (None, boundaries)]
    assert not any(part.truncated for part in decoded)
    every, some = (found(part.parts) for part in decoded)
    kept = {
        part: {entry: score for entry, score in items.items() if allowed(entry, decoder.tokens[part], boundaries)}
        for part, items in every.items()
    }
    assert sum(map(len, kept.values())) < sum(map(len, every.values()))
    if name in INDEPENDENT:
        assert [items.keys() for items in some.values()] == [items.keys() for items in kept.values()]
        assert all(items == pytest.approx(kept[part], abs=1e-5) for part, items in some.items())
        assert any(some.values())
    for part, items in some.items():
        assert all(allowed(entry, decoder.tokens[part], boundaries) for entry in items)


@pytest.mark.parametrize("name", WINDOW_HEADS)
def test_words_of_one_token_change_nothing(name: str) -> None:
    head, decoder = random_head(name), codec_of_head(name).decoder(LOW)
    mask, _ = drawn_masks(0, 2, 12)
    outputs = TorchOutputs(head, torch.randn(2, 12, HIDDEN))
    every, same = (decode(decoder, outputs, mask, limits) for limits in (None, BoundaryMasks(mask, mask)))
    assert found(every.parts) == found(same.parts)
    assert every.truncated == same.truncated


@pytest.mark.parametrize("name", WINDOW_HEADS)
def test_a_graph_and_torch_find_the_same(name: str) -> None:
    head, decoder = random_head(name), codec_of_head(name).decoder(LOW)
    mask, boundaries = drawn_masks(5, 2, 12)
    hidden = torch.randn(2, 12, HIDDEN)
    with torch.inference_mode():
        graph = {output: tensor.numpy() for output, tensor in head.outputs(hidden).items()}
    outputs: tuple[Outputs, Outputs] = (
        TorchOutputs(head, hidden),
        OnnxOutputs(graph, "", TorchOutputs(head, hidden).query),
    )
    one, other = (found(decode(decoder, given, mask, boundaries).parts) for given in outputs)
    assert one.keys() == other.keys()
    for part in one:
        assert one[part] == pytest.approx(other[part], abs=1e-5)


def test_excluded_spans_take_no_place_among_the_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "MAX_CANDIDATES", 1)
    monkeypatch.setattr(spans, "MAX_SPANS", 1)
    mask = np.ones((1, 40), dtype=bool)
    starts, ends = np.zeros((2, 1, 40), dtype=bool)
    starts[0, 20], ends[0, 20:] = True, True
    pair = np.ones((1, 40, 40), dtype=np.float32)
    zero = np.zeros((1, 1, 40), dtype=np.float32)
    labelled = LabelFactors(0, pair[:, None], np.eye(40, dtype=np.float32)[None, None])
    for part in (SharedFactors(pair, zero, zero), labelled):
        limited = decode_spans([part], mask, np.zeros(1, np.float32), BoundaryMasks(starts, ends))
        assert limited.entries[:, 2].tolist() == [20] * 20
        assert not limited.truncated
        assert decode_spans([part], mask, np.zeros(1, np.float32)).truncated == {0}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("chain", [True, False])
@settings(max_examples=15)
@given(length=st.integers(1, 4), seed=st.integers(0, 2**20), scale=st.sampled_from([0.3, 3.0]))
def test_tags_have_the_margins_over_all_sequences_of_such_spans(
    scheme: str, chain: bool, length: int, seed: int, scale: float
) -> None:
    random = np.random.default_rng(seed)
    known, labels = SCHEMES[scheme], 2 if scheme == "bio" else 1
    count = known.outside(labels) + 1
    emissions = (scale * random.normal(size=(length, count))).astype(np.float32)
    transitions = random.normal(size=(count + 1, count + 1)).astype(np.float32) if chain else None
    starts, ends = random.random((2, 1, length)) < 0.6
    paths = []
    for path in legal_paths(scheme, labels, length):
        entities = spans_of(scheme, labels, path)
        if all(starts[0, first] and ends[0, last] for _, first, last in entities):
            total = path_total(
                emissions.astype(float), None if transitions is None else transitions.astype(float), path
            )
            paths.append((total, entities))
    expected: dict[Span, float] = {
        span: max(total for total, entities in paths if span in entities)
        - max(total for total, entities in paths if span not in entities)
        for span in set[Span]().union(*(entities for _, entities in paths))
    }
    block: dict[str, Any] = {role: emissions[None, :, known.block(role, labels)] for role in known.blocks}
    block["outside"] = emissions[None, :, -1]
    block |= {} if transitions is None else {"transitions": transitions}
    given_mask = np.ones((1, length), dtype=bool)
    result = decode_tags(block, given_mask, np.full(labels, -100, np.float32), known, BoundaryMasks(starts, ends))
    scores = dict(zip(map(tuple, result.entries[:, 1:].tolist()), result.scores.tolist(), strict=True))
    assert scores == pytest.approx(expected, abs=1e-4)


@given(seed=st.integers(0, 2**20), length=st.integers(1, 7))
def test_a_start_is_joined_with_the_nearest_end_that_is_a_boundary(seed: int, length: int) -> None:
    random = np.random.default_rng(seed)
    start, end = ((2 * random.integers(-8, 8, (2, length)) + 1).astype(np.float32) / 8 for _ in range(2))
    starts, ends = random.random((2, 2, length)) < 0.6
    expected = {}
    for row in range(2):
        for i in np.nonzero(starts[row])[0].tolist():
            usable = [j for j in np.nonzero(ends[row])[0].tolist() if j >= i]
            for j in usable:
                score = min([start[row, i], end[row, j], *(-end[row, k] for k in usable if k < j)])
                if score > 0:
                    expected[row, i, j] = float(score)
    result = decode_nearest(
        start,
        end,
        np.ones((2, length), dtype=bool),
        np.zeros(2, np.float32),
        np.arange(2),
        limits=np.full(2, 100),
        boundaries=BoundaryMasks(starts, ends),
    )
    assert dict(zip(map(tuple, result.entries.tolist()), result.scores.tolist(), strict=True)) == expected


class RandomBackend:
    """Runs a head on random hidden states, which depend on the ids alone."""

    def __init__(self, name: str) -> None:
        self.head = random_head(name)

    def run(self, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> dict[str, TorchOutputs]:
        table = torch.randn(500, HIDDEN, generator=torch.Generator().manual_seed(3))
        position = torch.randn(ids.shape[1], HIDDEN, generator=torch.Generator().manual_seed(4))
        outputs = TorchOutputs(self.head, table[torch.from_numpy(ids)] + position)
        return {"task": outputs, "other": outputs}


def predicted(name: str, codec: Codec, tokenizer: TextTokenizer, **whole_words: bool) -> list[Entity]:
    parts = [Extraction.build(task, codec, LOWEST, whole_words=whole) for task, whole in whole_words.items()]
    engine = Engine(cast(Any, RandomBackend(name)), tokenizer, WindowPlan(20, 8), tuple(parts))
    [document] = extract(engine, [Document(TEXT)])
    return [*document.entities, *(side for one in document.relations for side in (one.subject, one.object))]


@pytest.mark.parametrize("name", [*WINDOW_HEADS, "toy"])
def test_no_entity_of_a_text_starts_or_ends_inside_a_word(name: str) -> None:
    """Windows overlap and start inside words; the toy head's decoder does not know boundaries."""
    tokenizer, codec = TextTokenizer(TOKENIZERS["wordpiece"]()), codec_of_head(name)
    some, every = (predicted(name, codec, tokenizer, task=whole) for whole in (True, False))
    assert any(splits_word(TEXT, at) for entity in every for at in (entity.start, entity.end))
    assert some
    assert not any(splits_word(TEXT, at) for entity in some for at in (entity.start, entity.end))


def test_a_task_without_limits_finds_beside_another_what_it_finds_alone() -> None:
    tokenizer, codec = TextTokenizer(TOKENIZERS["wordpiece"]()), codec_of_head("global_pointer")
    alone = predicted("global_pointer", codec, tokenizer, task=False)
    assert predicted("global_pointer", codec, tokenizer, task=True, other=False) == alone


@pytest.mark.parametrize("name", [*WINDOW_HEADS, "toy"])
def test_gold_inside_a_word_is_counted_as_unreachable(name: str) -> None:
    tokenizer, codec = TextTokenizer(TOKENIZERS["characters"]()), codec_of_head(name)
    entities = [Entity(1, 7, "A"), Entity(8, 14, "B")]
    kind = "relations" if HEADS[name].section.has_predicates else "entities"
    document = Document(TEXT, entities, [Relation(entities[0], "p", entities[1])])
    [tokens] = tokenizer.encode([TEXT])
    plan = WindowPlan(100, 20)
    lost = codec.encode(document, with_whole_words(TEXT, tokens), plan).unreachable[kind]
    assert [reason for _, reason in lost] == [INSIDE_WORD]
    assert codec.encode(document, tokens, plan).unreachable[kind] == []
    part = Extraction.build("task", codec, Decoding(), whole_words=True)
    counter = CeilingCounter.of(Engine(cast(Any, RandomBackend(name)), tokenizer, plan, (part,)))
    counter.add(document)
    assert counter.ceilings()[kind].reasons == {INSIDE_WORD: 1}
