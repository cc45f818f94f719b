"""The suffix of a file name decides the format of the output."""

from __future__ import annotations

import pytest

from ie_cli.formats import FORMATS, html
from ie_cli.formats.suffixes import format_of, suffix_of, suffixes_of


@pytest.mark.parametrize(
    ("path", "suffix", "name"),
    [
        ("out.jsonl", ".jsonl", "jsonl"),
        ("out.json", ".json", "jsonl"),
        ("a.b/out.NDJSON.gz", ".ndjson", "jsonl"),
        ("out.conll.zst", ".conll", "conll"),
        ("gold.tsv", ".tsv", "conll"),
        ("page.html", ".html", "html"),
        ("notes.txt", ".txt", "text"),
        ("s3://bucket/page.html.gz", ".html", "html"),
        ("https://host/v1.2/out", "", None),
        ("out.csv", ".csv", "csv"),
        ("out.PARQUET", ".parquet", "parquet"),
        ("out.xls", ".xls", None),
        ("out.jsonl.gz.zst", ".gz", None),
        ("out.gz", "", None),
        ("v1.2/out", "", None),
        (".jsonl", "", None),
        ("-", "", None),
        ("/dev/fd/63", "", None),
    ],
)
def test_suffixes_stand_for_formats(path: str, suffix: str, name: str | None) -> None:
    found = format_of(path)
    assert (suffix_of(path), found and found.name) == (suffix, name)


def test_no_suffix_stands_for_two_formats() -> None:
    suffixes = [suffix for one in FORMATS.values() for suffix in one.suffixes]
    assert len(set(suffixes)) == len(suffixes) > 8
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_suffixes_of_output_and_input_differ() -> None:
    assert {".html", ".jsonl"} <= set(suffixes_of(written=True))
    assert {".txt", ".jsonl"} <= set(suffixes_of(written=False))
    assert not set(suffixes_of(written=False)) & set(FORMATS["html"].suffixes)
    assert ".txt" not in suffixes_of(written=True)
    assert FORMATS["html"].read is html.read
