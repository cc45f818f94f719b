"""Which part each record is in."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.data.dataset import place_of
from ie_cli.data.split_plan import SplitOptions, plan_split
from ie_cli.data.stratified_split import Group, by_place, stratified
from ie_cli.document import ColumnRows, Document, Entity
from ie_cli.errors import DataError

SHARES = (0.8, 0.1, 0.1)


def corpus(count: int = 300) -> list[Document]:
    """Different sentences with labels of different frequency."""
    made = random.Random(1)
    found = []
    for number in range(count):
        text = "".join(made.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(40))
        labels = [label for label, odds in (("a", 0.9), ("b", 0.3), ("c", 0.07)) if made.random() < odds]
        entities = [Entity(at, at + 1, label) for at, label in enumerate(labels)]
        found.append(Document(text, entities, id=number, where=f"d:{number + 1}", meta={"doc": number // 10}))
    return found


def test_each_part_has_its_share_of_each_label() -> None:
    plan = plan_split(corpus(), SplitOptions())
    assert all(abs(plan.records[part] / 300 - share) < 0.03 for part, share in enumerate(SHARES))
    for label in "abc":
        counts = plan.items["entity", label]
        assert all(abs(count - share * sum(counts)) <= 1.5 for count, share in zip(counts, SHARES, strict=True))


def test_the_division_does_not_depend_on_the_order() -> None:
    documents = corpus()
    parts = dict(zip((d.text for d in documents), plan_split(documents, SplitOptions()).parts, strict=True))
    shuffled = random.Random(2).sample(documents, len(documents))
    assert plan_split(shuffled, SplitOptions()).parts == [parts[document.text] for document in shuffled]
    assert plan_split(documents, SplitOptions(seed=1)).parts != list(parts.values())


def test_without_strata_the_hash_decides_as_in_a_recipe() -> None:
    documents = corpus()
    options = SplitOptions(shares=(0.9, 0.1, 0.0), stratify=False)
    plan = plan_split(documents, options)
    assert plan.parts == [int(place_of(document.text) < 0.1) for document in documents]
    more = [
        *documents,
        *(replace(document, text=f"{document.text} more of it, and other words") for document in documents),
    ]
    assert plan_split(more, options).parts[:300] == plan.parts


def test_near_duplicates_stay_together() -> None:
    documents = corpus()
    copies = [replace(document, text=document.text.upper() + ".") for document in documents]
    for options in (SplitOptions(), SplitOptions(stratify=False), SplitOptions(seed=3)):
        plan = plan_split([*documents, *copies], options)
        assert plan.parts[:300] == plan.parts[300:]
        assert plan.duplicates == (300, 600)


def test_documents_stay_together() -> None:
    documents = corpus()
    documents[299] = replace(documents[299], text=documents[0].text + "x")  # joins the first and the last document
    plan = plan_split(documents, SplitOptions(by="document", document_field="doc"))
    assert plan.documents == 30
    assert all(len(set(plan.parts[start : start + 10])) == 1 for start in range(0, 300, 10))
    assert plan.parts[0] == plan.parts[299]
    assert set(plan.parts) == {0, 1, 2}


def test_marks_and_files_begin_documents() -> None:
    documents = corpus(40)
    for number, document in enumerate(documents):
        mark = ("-DOCSTART-",) if number in (3, 20) else ()
        document.columns = ColumnRows(((0, 1),), (("a", "O"),), 0, (1,), "\t", before=mark)
        document.where = f"{'a' if number < 30 else 'b'}.conll:{number}"
    parts = plan_split(documents, SplitOptions(by="document", shares=(0.5, 0.5, 0.0))).parts
    assert [len(set(parts[start:end])) for start, end in ((0, 3), (3, 20), (20, 30), (30, 40))] == [1] * 4


@pytest.mark.parametrize(
    ("name", "message"),
    [(None, "d: nothing shows which records belong"), ("page", r"d:1: no field 'page' \(other fields: doc\)")],
)
def test_documents_must_be_known(name: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        plan_split(corpus(30), SplitOptions(by="document", document_field=name))


def test_other_records_in_the_second_reading_are_an_error() -> None:
    documents = corpus(30)
    plan = plan_split(documents, SplitOptions())
    assert [document for _, document in plan.follow(documents)] == documents
    for changed in (documents[1:], documents[:-1], [*documents, documents[0]]):
        with pytest.raises(DataError, match="changed while they were read"):
            list(plan.follow(changed))


@given(
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 9), st.dictionaries(st.integers(0, 3), st.integers(1, 5))))
)
def test_every_group_has_a_part(given_groups: list[tuple[float, int, dict[int, int]]]) -> None:
    groups = [Group(place, records, Counter(items)) for place, records, items in given_groups]
    for choose in (stratified, by_place):
        parts = choose(groups, SHARES)
        assert len(parts) == len(groups)
        assert set(parts) <= {0, 1, 2}


def test_a_rare_label_goes_to_train_first() -> None:
    groups = [Group(number / 10, 1, Counter({0: 1})) for number in range(2)]
    assert stratified(groups, SHARES) == [0, 0]
