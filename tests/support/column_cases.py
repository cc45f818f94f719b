"""Files of columns whose layout is not the usual one, with what they contain."""

from __future__ import annotations

from dataclasses import dataclass

GOOD = "Bob B-PER\nran O\n\n" * 500


@dataclass(frozen=True, slots=True)
class Columns:
    """A file.

    Attributes:
        text: its lines.
        expected: the texts of its first documents, with the mentions and labels of their entities.
        report: a part of what the reader reports.
    """

    text: str
    expected: tuple[tuple[str, list[tuple[str, str]]], ...]
    report: str


CASES = {
    "characters": Columns(
        "于 O\n2 B-D\n0 I-D\n2 I-D\n1 I-D\n年 I-D\n", (("于2021年", [("2021年", "D")]),), "joined with nothing"
    ),
    "lists of letters": Columns("A B-X\nB I-X\n店 I-X\n", (("AB店", [("AB店", "X")]),), "joined with nothing"),
    "hangul": Columns("서 B-L\n울 I-L\n에 O\n서 O\n", (("서울에서", [("서울", "L")]),), "joined with nothing"),
    "thai": Columns("ก B-L\nรุ I-L\nง I-L\n", (("กรุง", [("กรุง", "L")]),), "joined with nothing"),
    "lao": Columns("ລ B-L\nາ I-L\nວ I-L\n", (("ລາວ", [("ລາວ", "L")]),), "joined with nothing"),
    "spaces are tokens": Columns(
        "서\tB-L\n울\tI-L\n \tO\n에\tO\n서\tO\n", (("서울 에서", [("서울", "L")]),), "joined with nothing"
    ),
    "short words": Columns("I O\nam O\na O\nB B-X\n", (("I am a B", [("B", "X")]),), "BIO"),
    "numbered characters": Columns(
        "我0 O\n去1 O\n南0 B-L\n山1 I-L\n20 O\n01 O\n",
        (("我去南山20", [("南山", "L")]),),
        "the number of each character in its word is removed",
    ),
    "index": Columns(
        "1\tAnna\tNNP\tB-PER\n2\tmet\tVBD\tO\n\n1\tBob\tNNP\tB-PER\n2\tran\tVBD\tO\n",
        (("Anna met", [("Anna", "PER")]), ("Bob ran", [("Bob", "PER")])),
        "tokens in column 1, tags in column 3 (counted from 0), BIO; column 0 counts tokens",
    ),
    "index without empty lines": Columns(
        "1\tAnna\tB-PER\n2\tmet\tO\n3\tme\tO\n1\tBob\tB-PER\n2\tran\tO\n",
        (("Anna met me", [("Anna", "PER")]), ("Bob ran", [("Bob", "PER")])),
        "column 0 counts tokens",
    ),
    "numbers of sentences": Columns(
        "1\tAnna\tB-PER\n1\tmet\tO\n1\tme\tO\n2\tBob\tB-PER\n2\tran\tO\n",
        (("Anna met me", [("Anna", "PER")]), ("Bob ran", [("Bob", "PER")])),
        "column 0 counts sentences",
    ),
    "numbers of sentences once each": Columns(
        "Sentence #\tWord\tPOS\tTag\nSentence: 1\tAnna\tNNP\tB-PER\n\tmet\tVBD\tO\n"
        "Sentence: 2\tBob\tNNP\tB-PER\n\tran\tVBD\tO\n",
        (("Anna met", [("Anna", "PER")]), ("Bob ran", [("Bob", "PER")])),
        "column 0 counts sentences; line 1 is a header",
    ),
    "lines and sentences": Columns(
        "\tsentence\tword\ttag\n0\t1\tAnna\tB-PER\n1\t1\tmet\tO\n2\t2\tBob\tB-PER\n3\t2\tran\tO\n",
        (("Anna met", [("Anna", "PER")]), ("Bob ran", [("Bob", "PER")])),
        "tokens in column 2",
    ),
    "header": Columns("token\ttag\nAnna\tB-PER\nmet\tO\n", (("Anna met", [("Anna", "PER")]),), "line 1 is a header"),
    "tags before tokens": Columns("B-PER Anna\nO met\n", (("Anna met", [("Anna", "PER")]),), "tokens in column 1"),
    "bracket": Columns("[\tO\nAnna\tB-PER\n]\tO\n", (("[ Anna ]", [("Anna", "PER")]),), "tags in column 1"),
    "suffixes": Columns(
        "Anna PER-B\nMeyer PER-I\nmet O\nBob PER-B\n",
        (("Anna Meyer met Bob", [("Anna Meyer", "PER"), ("Bob", "PER")]),),
        "the prefix follows the label (PER-B)",
    ),
    "labels alone": Columns(
        "Anna PER\nMeyer PER\nmet O\nyou O\nBob PER\n",
        (("Anna Meyer met you Bob", [("Anna Meyer", "PER"), ("Bob", "PER")]),),
        "IO; labels without prefixes: equal neighbours are one entity",
    ),
    "prefixes alone": Columns(
        "Anna B\nMeyer I\nmet O\nBob B\n",
        (("Anna Meyer met Bob", [("Anna Meyer", "entity"), ("Bob", "entity")]),),
        "tags without labels: the label is 'entity'",
    ),
    "four layers": Columns(
        "human\tB-DNA\tB-protein\tO\nx\tI-DNA\tO\tO\ny\tO\tO\tO\n",
        (("human x y", [("human", "protein"), ("human x", "DNA")]),),
        "tags in column 1, 2, 3 (counted from 0), BIO; nested entities",
    ),
}
