"""Positions inside words for a whole text, and the tokens that spans of whole words may start and end with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import TOKENIZERS

from ie_cli.document import Entity
from ie_cli.document.word_boundaries import splits_word
from ie_cli.encoding.alignment import INSIDE_TOKEN, INSIDE_WORD, WHITESPACE, Boundaries, align, to_entities
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import boundary_masks, with_whole_words, within_words

CHARACTERS = st.text(alphabet="ab1 Z中ひカ가나\u0301\u093f\u200d\u200cกрус\n-'é\u05d0ब\ud800😀²٣", max_size=9)
TEXT = "Fotonik Studio opened 12 cafés in 北京大学."
PLAN = WindowPlan(100, 20)


@given(CHARACTERS)
def test_the_positions_of_a_text_are_those_of_the_definition(text: str) -> None:
    assert within_words(text).tolist() == [splits_word(text, at) for at in range(len(text) + 1)]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_spans_of_whole_words_start_and_end_at_words(name: str) -> None:
    [tokens] = TextTokenizer(TOKENIZERS[name]()).encode([TEXT])
    whole = with_whole_words(TEXT, tokens)
    assert whole.may_bound is not None
    for number, side in enumerate((tokens.starts, tokens.ends)):
        assert whole.may_bound[number].tolist() == [not splits_word(TEXT, at) for at in side.tolist()]
    assert not whole.may_bound.all()  # the vocabularies are small: every tokenizer splits words
    assert tokens.may_bound is None


def test_gold_inside_a_word_is_unreachable_and_says_why() -> None:
    [tokens] = TextTokenizer(TOKENIZERS["characters"]()).encode([TEXT])
    name, cut, university = Entity(0, 14, "A"), Entity(1, 14, "A"), Entity(36, 38, "A")
    assert TEXT[36:38] == "大学"
    whole = align(TEXT, [name, cut, university], with_whole_words(TEXT, tokens), PLAN)
    assert whole.reachable == [name, university]
    assert whole.unreachable == [(cut, INSIDE_WORD)]
    assert align(TEXT, [name, cut, university], tokens, PLAN).unreachable == []


def test_other_reasons_keep_their_names() -> None:
    [tokens] = TextTokenizer(TOKENIZERS["wordpiece"]()).encode(["The quick fox"])
    boundaries = Boundaries("The quick fox", with_whole_words("The quick fox", tokens))
    assert boundaries.find(4, 9) is not None
    assert boundaries.reason(3, 9) == WHITESPACE
    assert boundaries.reason(1, 9) == INSIDE_TOKEN


def test_a_prediction_inside_a_word_is_no_entity() -> None:
    [tokens] = TextTokenizer(TOKENIZERS["characters"]()).encode([TEXT])
    entries, scores = np.array([[0, 0, 6], [0, 1, 6], [0, 0, 5]]), np.array([0.6, 0.9, 0.8])
    assert to_entities(tokens, entries, scores, ["A"], flat=True) == [Entity(1, 7, "A", 0.9)]
    whole = with_whole_words(TEXT, tokens)
    assert to_entities(whole, entries, scores, ["A"], flat=True) == [Entity(0, 7, "A", 0.6)]


def test_masks_of_a_batch_are_those_of_its_windows() -> None:
    [tokens] = TextTokenizer(TOKENIZERS["characters"]()).encode(["ab cd"])
    whole = with_whole_words("ab cd", tokens)
    text = np.array([[False, True, True, True, False], [False, True, True, False, False]])
    masks = boundary_masks(text, [(whole, 0), (whole, 3)], 1)
    assert masks.starts.astype(int).tolist() == [[0, 1, 0, 1, 0], [0, 1, 0, 0, 0]]
    assert masks.ends.astype(int).tolist() == [[0, 0, 1, 1, 0], [0, 0, 1, 0, 0]]
    free = boundary_masks(text, [(tokens, 0), (tokens, 3)], 1)
    assert (free.starts == text).all()
    assert (free.ends == text).all()
