from __future__ import annotations

from collections.abc import Iterator

import pytest

from ie_cli.errors import DataError
from ie_cli.example import Entity, Example
from ie_cli.pairing import pair_examples

GOLD = [Example("a b", [Entity(0, 1, "X")], id="1", where="g:1"), Example("c", id="2", where="g:2")]


def test_pairs_by_order() -> None:
    guess = [Example("a b", where="p:1"), Example("c", id="2", where="p:2")]
    assert list(pair_examples(GOLD, guess)) == list(zip(GOLD, guess, strict=True))


def test_a_submission_has_no_texts() -> None:
    guess = [Example("", [Entity(2, 3, "X")], id="1"), Example("", id="2")]
    assert [b.entities for _, b in pair_examples(GOLD, guess)] == [[Entity(2, 3, "X")], []]
    with pytest.raises(DataError, match="an entity ends at 9, but the text has 3 characters"):
        list(pair_examples(GOLD, [Example("", [Entity(2, 9, "X")], id="1")]))


@pytest.mark.parametrize(
    ("guess", "message"),
    [
        ([Example("a b", id="1")], "the predictions end after 1 examples, the gold data go on"),
        ([*GOLD, Example("d")], "the gold data end after 2 examples, the predictions go on"),
        ([Example("a b", id="2", where="p:1")], "p:1 and g:1: id '2' stands beside id '1'"),
        ([Example("a  b", id="1", where="p:1")], "p:1 and g:1: the texts differ: 'a  b' beside 'a b'"),
        ([Example("", where="p:1")], "p:1 and g:1: the texts differ: '' beside 'a b'"),
    ],
)
def test_what_does_not_belong_together_is_told(guess: list[Example], message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(pair_examples(GOLD, guess))
    assert caught.value.message == message
    assert caught.value.hint


def test_pairing_is_a_stream() -> None:
    def endless() -> Iterator[Example]:
        while True:
            yield Example("x")

    pairs = pair_examples(endless(), endless())
    assert next(pairs) == next(pairs) == (Example("x"), Example("x"))
