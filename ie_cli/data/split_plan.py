"""The part of each record of some data that `ie split` divides, decided in one pass without keeping the records."""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ie_cli.data.disjoint_sets import DisjointSets
from ie_cli.data.label_items import label_items
from ie_cli.data.near_duplicates import SIMILARITY, groups
from ie_cli.data.stratified_split import Group, by_place, stratified
from ie_cli.document import DOCUMENT_MARK, Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import format_field_names, quoted

Unit = Literal["text", "document"]
PARTS = ("train", "dev", "test")
_LINE = re.compile(r":\d+$")
"""The end of the place of a record, unless the record is a whole file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions:
    """How to divide records.

    Attributes:
        shares: the share of each part, train first; they sum to 1.
        by: what must not be divided: texts, or documents of several records.
        document_field: the user field, or ``id``, that names the document of a record; None: documents begin at a line
            -DOCSTART- of columns and with each file.
        seed: another seed gives another division; 0 uses the text hash of `data.dev`.
        stratify: whether each part gets its share of each label; if not, the hash alone decides.
        similarity: the similarity from which texts are near duplicates, which stay together.
    """

    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    by: Unit = "text"
    document_field: str | None = None
    seed: int = 0
    stratify: bool = True
    similarity: float = SIMILARITY


@dataclass(slots=True)
class SplitPlan:
    """The part of each record, with counts.

    Attributes:
        parts: the index of the part of each record, in order.
        digests: the hash of each text, with which a second reading is compared.
        records: the number of records of each part.
        items: the numbers of items of each part by kind and label.
        duplicates: the number of groups of near duplicates, and the records in them.
        documents: the number of documents of several records, if they were kept together.
    """

    parts: list[int]
    digests: array[int]
    records: Counter[int] = field(default_factory=Counter)
    items: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    duplicates: tuple[int, int] = (0, 0)
    documents: int | None = None

    def follow(self, documents: Iterable[Document]) -> Iterator[tuple[int, Document]]:
        """Yield the records of a second reading with the index of their part.

        Raises:
            DataError: the records are not the same.
        """
        number = -1
        for number, document in enumerate(documents):
            if number >= len(self.digests) or _digest(document.text) != self.digests[number]:
                raise _changed(document.where)
            yield self.parts[number], document
        if number + 1 != len(self.digests):
            raise _changed(None)


def plan_split(documents: Iterable[Document], options: SplitOptions) -> SplitPlan:
    """Decide the part of each record.

    Args:
        documents: the records, which are read once.
        options: how to divide them.

    Raises:
        DataError: the records do not say which document they belong to.
    """
    records = _Records(options)
    near = groups(records.texts(documents), similarity=options.similarity)
    united = near if options.by == "text" else _united(near, records.documents)
    found, names = _groups_of(united, records, options.seed), list(records.names)
    choose = stratified if options.stratify else by_place
    used = [part for part, share in enumerate(options.shares) if share]
    chosen = choose(found, [options.shares[part] for part in used])
    plan = SplitPlan([used[chosen[number]] for number in united], records.digests)
    plan.records.update(plan.parts)
    for group, part in zip(found, chosen, strict=True):
        for item, count in group.items.items():
            plan.items.setdefault(names[item], [0] * len(options.shares))[used[part]] += count
    sizes = [size for size in Counter(near).values() if size > 1]
    plan.duplicates = len(sizes), sum(sizes)
    plan.documents = len(set(records.documents)) if options.by == "document" else None
    return plan


class _Records:
    """What is remembered of each record.

    Attributes:
        digests: the hash of each text.
        documents: the number of the document of each record.
        items: the items of each record, by the index of their name.
        names: the kinds and labels, with their index.
    """

    def __init__(self, options: SplitOptions) -> None:
        self._options = options
        self.digests: array[int] = array("Q")
        self.documents: array[int] = array("q")
        self.items: list[tuple[tuple[int, int], ...]] = []
        self.names: dict[tuple[str, str], int] = {}
        self._keys: dict[str, int] = {}
        self._file: str | None = None
        self._marks = self._files = 0

    def texts(self, documents: Iterable[Document]) -> Iterator[str]:
        """Remember the records, and yield their texts."""
        for document in documents:
            self.digests.append(_digest(document.text))
            counts = label_items(document)
            self.items.append(
                tuple((self.names.setdefault(item, len(self.names)), count) for item, count in counts.items())
            )
            if self._options.by == "document":
                self.documents.append(self._document_of(document))
            yield document.text
        if self._options.by == "document" and self._options.document_field is None and self._marks + self._files < 2:
            raise DataError(
                f"{self._file or 'the input'}: nothing shows which records belong to the same document",
                hint="name the field with the document of a record (--document-field), give each document as a file, or use "
                "--by text.",
            )

    def _document_of(self, document: Document) -> int:
        name = self._options.document_field
        if name is not None:
            fields = document.meta if name != "id" else {"id": document.id}
            if fields.get(name) is None:
                raise DataError(
                    f"{document.where}: no field {quoted(name)} (other fields: {format_field_names(fields)})",
                    hint="name a field that every record has with --document-field.",
                )
            return self._keys.setdefault(repr(fields[name]), len(self._keys))
        file = _LINE.sub("", document.where or "")
        if file != self._file:
            self._file = file
            self._files += 1
        elif document.columns is not None and any(row.startswith(DOCUMENT_MARK) for row in document.columns.before):
            self._marks += 1
        return self._files + self._marks


def _groups_of(numbers: list[int], records: _Records, seed: int) -> list[Group]:
    """Return the groups; the place of a group is that of one of its records, which another hash selects."""
    found: list[Group] = []
    firsts: list[int] = []
    for number, digest, items in zip(numbers, records.digests, records.items, strict=True):
        if number == len(found):
            found.append(Group(place=2.0))
            firsts.append(2**64)
        group = found[number]
        group.records += 1
        for item, count in items:
            group.items[item] += count
        if (rank := _number(digest.to_bytes(8, "big"), b"rank")) < firsts[number]:
            firsts[number] = rank
            group.place = _place(digest, seed)
    return found


def _united(near: Sequence[int], documents: Sequence[int]) -> list[int]:
    """Return the numbers of the groups that near duplicates and documents connect, in the order of their first records."""
    if not near:
        return []
    groups_of_texts = max(near) + 1
    sets = DisjointSets(groups_of_texts + max(documents) + 1)
    sets.unite((group, groups_of_texts + document) for group, document in zip(near, documents, strict=True))
    labels = sets.labels().tolist()
    numbers: dict[int, int] = {}
    return [numbers.setdefault(labels[group], len(numbers)) for group in near]


def _digest(text: str) -> int:
    return _number(text.encode("utf-8", "surrogatepass"))


def _number(data: bytes, person: bytes = b"") -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, person=person).digest(), "big")


def _place(digest: int, seed: int) -> float:
    """Map the hash of a text to a number in [0, 1); with seed 0 it is the place that `data.dev` uses."""
    return (digest if not seed else _number(digest.to_bytes(8, "big"), seed.to_bytes(8, "big"))) / 2**64


def _changed(where: str | None) -> DataError:
    at = f"{where}: " if where else ""
    return DataError(f"{at}the data changed while they were read", hint="run the command again.")
