"""Lines that are not UTF-8: bad lines in their places if each line is a record, otherwise an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import BadLine, read_records

LINES = {
    "jsonl": b'{"text": "%s"}',
    "cluener": b'{"text": "%s", "label": {}}',
    "duie": b'{"text": "%s", "spo_list": []}',
    "duie1": b'{"text": "%s", "spo_list": []}',
    "text": b"%s",
}
PARTS = {"conll": b"%s\tO", "triples": b'[{"text": "%s", "triple_list": []}]'}


def write(path: Path, lines: list[bytes]) -> str:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("given_format", [True, False])
@given(bad=st.lists(st.booleans(), min_size=1, max_size=6))
def test_each_has_its_place_among_the_records(
    name: str, given_format: bool, bad: list[bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    bad = [False, *bad]  # the format of a file without valid lines cannot be detected
    lines = [LINES[name] % (b"caf\xe9" if wrong else b"cafe") for wrong in bad]
    file = write(tmp_path_factory.mktemp("lines") / "some.json", lines)
    found = list(read_records(file, format=name if given_format or name in ("text", "duie1") else None))
    assert [isinstance(record, BadLine) for record in found] == bad
    for number, record in enumerate(found, 1):
        assert record.where == f"{file}:{number}"
        if isinstance(record, BadLine):
            assert f"{file}:{number}: byte" in record.error.message
            assert "is not UTF-8" in record.error.message
            assert "caf\udce9" in record.raw
        else:
            assert isinstance(record, Document)


@pytest.mark.parametrize("name", PARTS)
def test_a_line_of_something_larger_is_the_end(name: str, tmp_path: Path) -> None:
    for lines in ([PARTS[name] % b"a", PARTS[name] % b"\xe9"], [PARTS[name] % b"\xe9", PARTS[name] % b"a"]):
        with pytest.raises(DataError, match="is not UTF-8"):
            list(read_records(write(tmp_path / "some", lines), format=name))


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    lines = ['{"text": "张译是苗侨伟。"}'.encode("gb18030")] * 3
    with pytest.raises(DataError, match="some:1: byte") as error:
        list(read_records(write(tmp_path / "some", lines)))
    assert "GB18030" in str(error.value.hint)


def test_what_looks_like_utf_16_behind_good_lines_is_not(tmp_path: Path) -> None:
    file = write(tmp_path / "some", [b'{"text": "a"}', b"\xff\xfe"])
    [_, bad] = read_records(file)
    assert isinstance(bad, BadLine)
    assert "UTF-16" not in str(bad.error.hint)
