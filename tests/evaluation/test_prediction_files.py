from __future__ import annotations

from collections.abc import Iterator

import pytest

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.evaluation.prediction_files import pair_documents

GOLD = [Document("a b", [Entity(0, 1, "X")], id="1", where="g:1"), Document("c", id="2", where="g:2")]


def test_pairs_by_order() -> None:
    guess = [Document("a b", where="p:1"), Document("c", id="2", where="p:2")]
    assert list(pair_documents(GOLD, guess)) == list(zip(GOLD, guess, strict=True))


def test_a_submission_has_no_texts() -> None:
    guess = [Document("", [Entity(2, 3, "X")], id="1"), Document("", id="2")]
    assert [b.entities for _, b in pair_documents(GOLD, guess)] == [[Entity(2, 3, "X")], []]
    with pytest.raises(DataError, match="an entity ends at 9, but the text has 3 characters"):
        list(pair_documents(GOLD, [Document("", [Entity(2, 9, "X")], id="1")]))


@pytest.mark.parametrize(
    ("guess", "message"),
    [
        ([Document("a b", id="1")], "the predictions end after 1 examples, the gold data go on"),
        ([*GOLD, Document("d")], "the gold data end after 2 examples, the predictions go on"),
        ([Document("a b", id="2", where="p:1")], "p:1 and g:1: id '2' stands beside id '1'"),
        ([Document("a  b", id="1", where="p:1")], "p:1 and g:1: the texts differ: 'a  b' beside 'a b'"),
        ([Document("", where="p:1")], "p:1 and g:1: the texts differ: '' beside 'a b'"),
    ],
)
def test_what_does_not_belong_together_is_told(guess: list[Document], message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(pair_documents(GOLD, guess))
    assert caught.value.message == message
    assert caught.value.hint


def test_pairing_is_a_stream() -> None:
    def endless() -> Iterator[Document]:
        while True:
            yield Document("x")

    pairs = pair_documents(endless(), endless())
    assert next(pairs) == next(pairs) == (Document("x"), Document("x"))
