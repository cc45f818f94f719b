"""The sequences of pairs: their special tokens, and what is kept of long texts."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import TOKENIZERS, characters
from tokenizers import Tokenizer, processors

from ie_cli.encoding.pairs import PairSequences, special_tokens_of_pairs
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.errors import RecipeError

FORMS = {  # the post-processors of BERT and of RoBERTa
    "[CLS] $A [SEP] $B:1 [SEP]:1": ("[CLS]", "[SEP]", "[SEP]"),
    "[CLS] $A [SEP] [SEP] $B [SEP]": ("[CLS]", "[SEP] [SEP]", "[SEP]"),
}


def with_pairs(tokenizer: Tokenizer, form: str) -> TextTokenizer:
    marks = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair=form, special_tokens=marks)
    return TextTokenizer(tokenizer)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_pair_has_the_special_tokens_of_its_tokenizer(kind: str, form: str) -> None:
    tokenizer = with_pairs(TOKENIZERS[kind](), form)
    inner = tokenizer.tokenizer
    assert special_tokens_of_pairs(tokenizer) == tuple(
        [inner.token_to_id(t) for t in part.split()] for part in FORMS[form]
    )
    first, second = tokenizer.encode(["The quick brown fox", "jumps over"])
    [found] = PairSequences.build("pair", tokenizer, 64).ids(first.ids, second.ids)
    assert found.tolist() == inner.encode("The quick brown fox", "jumps over").ids


def test_without_a_form_of_pairs_both_texts_are_closed_alike() -> None:
    tokenizer = TextTokenizer(characters())
    assert special_tokens_of_pairs(tokenizer) == (tokenizer.prefix, tokenizer.suffix, tokenizer.suffix)


def test_a_tokenizer_without_special_tokens_gives_none() -> None:
    bare = characters()
    bare.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    tokenizer = TextTokenizer(bare)
    assert special_tokens_of_pairs(tokenizer) == ([], [], [])


@pytest.mark.parametrize("reads", ["texts", "pair"])
def test_no_sequence_is_empty(reads: Literal["texts", "pair"]) -> None:
    """Neither in training nor in prediction, also of empty texts of a tokenizer without special tokens."""
    bare = characters()
    bare.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])
    sequences = PairSequences.build(reads, TextTokenizer(bare), 16, pad_id=3)
    nothing, some = np.zeros(0, np.int32), np.array([7], np.int32)
    assert all(found.tolist() == [3] for found in sequences.ids(nothing, nothing))
    assert [found.tolist() for found in sequences.ids(some, nothing)] == ([[7], [3]] if reads == "texts" else [[7]])


TOKENIZER = TextTokenizer(characters())
TEXTS = st.integers(0, 40).map(lambda length: np.arange(100, 100 + length, dtype=np.int32))


@given(TEXTS, TEXTS, st.integers(8, 40))
def test_the_longer_text_is_truncated_first(first: np.ndarray, second: np.ndarray, most: int) -> None:
    sequences = PairSequences.build("pair", TOKENIZER, most)
    [ids] = sequences.ids(first, second)
    assert len(ids) == min(most, len(first) + len(second) + 3)
    inner = ids[1:-1].tolist()
    middle = inner.index(TOKENIZER.suffix[0])
    one, other = inner[:middle], inner[middle + 1 :]
    assert one == first[: len(one)].tolist()
    assert other == second[: len(other)].tolist()
    cut = [len(one) < len(first), len(other) < len(second)]
    assert sequences.truncated(first, second) == sum(cut)
    if cut == [True, True]:
        assert abs(len(one) - len(other)) <= 1
    if cut == [True, False]:
        assert len(one) >= len(other) or len(one) == len(other) - 1
    if cut == [False, True]:
        assert len(other) >= len(one) - 1


@given(TEXTS, TEXTS, st.integers(8, 40))
def test_texts_alone_are_truncated_alone(first: np.ndarray, second: np.ndarray, most: int) -> None:
    sequences = PairSequences.build("texts", TOKENIZER, most)
    parts = sequences.ids(first, second)
    for ids, text in zip(parts, (first, second), strict=True):
        assert ids.tolist() == [*TOKENIZER.prefix, *text[: most - 2].tolist(), *TOKENIZER.suffix]
    assert sequences.truncated(first, second) == (len(first) > most - 2) + (len(second) > most - 2)


def test_sequences_need_room_for_text() -> None:
    with pytest.raises(RecipeError, match="encoder.max_length: 4 leaves room for 1 token of text"):
        PairSequences.build("pair", TOKENIZER, 4)
