"""Losses without the entries that start or end inside words, for every head and from the stored windows on."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from support.fakes import TOKENIZERS
from support.heads import HIDDEN, WINDOW_HEADS, built, codec_of_head

from ie_cli.document import Document, Entity, Relation
from ie_cli.document.word_boundaries import splits_word
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import NO_BOUNDARY
from ie_cli.errors import DataError
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.base import Head
from ie_cli.modeling.losses.factorised import Gold, boundaries
from ie_cli.training.batching import TaskWindows
from ie_cli.training.encoded_dataset import encode_dataset
from ie_cli.training.window_encoding import Encoding

TEXT = "Fotonik Studio visited Zentral Café in 北京大学 twice"
GOLD = [Entity(0, 14, "A"), Entity(23, 30, "B")]
DOCUMENTS = [Document(TEXT, GOLD, [Relation(GOLD[0], "p", GOLD[1])]), Document("北京大学"), Document("Anna")]
TAGGERS = ("crf", "softmax")
"""The heads whose loss does not know boundaries."""


def windows(name: str, documents: list[Document], *, whole_words: bool, capacity: int = 100) -> TaskWindows:
    codec = codec_of_head(name)
    encoding = Encoding(
        tokenizer=TextTokenizer(TOKENIZERS["wordpiece"]()),
        plan=WindowPlan(capacity, capacity // 4),
        codec=codec,
        pad_id=0,
        whole_words=whole_words,
    )
    return TaskWindows("task", encode_dataset(documents, encoding, key=None), codec, cast(Head, built(name)).collate)


def batch_of(name: str, documents: list[Document], *, whole_words: bool, **options: int) -> Batch:
    made = windows(name, documents, whole_words=whole_words, **options)
    return made.batch(range(len(made)))


def losses(name: str, batch: Batch, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return cast(Head, built(name)).losses(hidden, batch.text_mask, batch.targets)


def test_a_batch_names_the_tokens_inside_words_of_each_window() -> None:
    batch = batch_of("global_pointer", [DOCUMENTS[0]], whole_words=True, capacity=8)
    assert len(batch) > 2
    [tokens] = TextTokenizer(TOKENIZERS["wordpiece"]()).encode([TEXT])
    plan = WindowPlan(8, 2)
    for number, side in enumerate((tokens.starts, tokens.ends)):
        found = boundaries(batch.text_mask, batch.entries)[number]
        for sample, first in enumerate(plan.starts(len(tokens)).tolist()):
            expected = [not splits_word(TEXT, at) for at in side[first : first + 8].tolist()]
            assert found[sample, 1:9].tolist() == expected
            assert not found[sample, 0]
            assert not found[sample, 9]
    plain = batch_of("global_pointer", [DOCUMENTS[0]], whole_words=False)
    assert NO_BOUNDARY not in plain.entries
    assert all(torch.equal(side, plain.text_mask) for side in boundaries(plain.text_mask, plain.entries))


@pytest.mark.parametrize("name", WINDOW_HEADS)
def test_the_loss_falls_by_what_is_left_out(name: str) -> None:
    """Words of one token change nothing, and parts of a batch have the losses of the batch."""
    whole, plain = (batch_of(name, DOCUMENTS, whole_words=flag) for flag in (True, False))
    hidden = torch.randn(*whole.input_ids.shape, HIDDEN)
    some, every = losses(name, whole, hidden), losses(name, plain, hidden)
    for part, loss in some.items():
        assert loss == every[part] if name in TAGGERS else loss < every[part]
    chinese = [Document("北京大学", [Entity(0, 2, "A")])]
    free, limited = (batch_of(name, chinese, whole_words=flag) for flag in (True, False))
    states = torch.randn(*free.input_ids.shape, HIDDEN)
    assert losses(name, free, states) == losses(name, limited, states)
    if name != "casrel":  # whose loss draws a subject for each sample
        batches = [whole.part(n, n + 1) for n in range(3)]
        parts = [losses(name, one, hidden[n : n + 1, : one.input_ids.shape[1]]) for n, one in enumerate(batches)]
        for part, loss in some.items():
            lone = [each[part] for each in parts]
            torch.testing.assert_close(torch.stack(lone).mean(), loss)


@pytest.mark.parametrize("name", [name for name in WINDOW_HEADS if name not in TAGGERS])
def test_what_is_left_out_has_no_gradient(name: str) -> None:
    """Only the tokens of the words' boundaries are pushed, up or down."""
    batch = batch_of(name, [Document("Fotonik")], whole_words=True)
    tokens = int(batch.text_mask.sum())
    assert tokens > 2
    hidden = torch.randn(*batch.input_ids.shape, HIDDEN, requires_grad=True)
    total = sum(losses(name, batch, hidden).values())
    total.backward()  # type: ignore[union-attr]
    assert hidden.grad is not None
    inner = hidden.grad[0, 2:tokens].abs().sum(-1)  # neither the first nor the last token of the word
    assert hidden.grad.abs().sum() > 0
    if name == "casrel":  # the second pass reads the hidden states of a random subject
        return
    assert not inner.any()


def test_the_loss_of_casrel_has_no_term_for_other_tokens() -> None:
    batch = batch_of("casrel", [DOCUMENTS[0]], whole_words=True)
    head = cast(Any, built("casrel"))
    hidden = torch.randn(*batch.input_ids.shape, HIDDEN)
    starts, ends = boundaries(batch.text_mask, batch.entries)
    gold = batch.targets.subjects[:, 1:]
    chances = head.subject(hidden).sigmoid()[0] ** 2  # [L, 2]
    expected = torch.zeros(())
    for side, usable in enumerate((starts[0], ends[0])):
        for token in usable.nonzero().flatten().tolist():
            true = token in gold[:, side].tolist()
            expected -= (chances[token, side] if true else 1 - chances[token, side]).log()
    found = losses("casrel", batch, hidden)["subjects"]
    torch.testing.assert_close(found, expected / 2 / batch.text_mask.sum())


def test_links_join_starts_with_starts_and_ends_with_ends() -> None:
    batch = batch_of("gplinker", [DOCUMENTS[0]], whole_words=True)
    starts, ends = boundaries(batch.text_mask, batch.entries)
    expected = {"entities": (starts, ends), "start_links": (starts, starts), "end_links": (ends, ends)}
    for matrix, sides in expected.items():
        assert all(torch.equal(one, other) for one, other in zip(batch.targets[matrix].sides, sides, strict=True))


def test_gold_inside_a_word_is_an_error_of_the_codec() -> None:
    mask = torch.ones(1, 3, dtype=torch.bool)
    sides = boundaries(mask, {NO_BOUNDARY: torch.tensor([[0, 0, 1]])})
    assert len(Gold.build(torch.tensor([[0, 0, 0, 1]]), mask, sides=sides).entries) == 1
    with pytest.raises(DataError, match="inside a word"):
        Gold.build(torch.tensor([[0, 0, 1, 2]]), mask, sides=sides)
