"""Checksums of files and records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.system.checksums import FileChecksum, file_checksum, record_checksum, require_intact, with_checksum

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.dictionaries(st.text(max_size=5).filter(lambda name: name != "checksum"), JSON, max_size=5)


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20 + 7])
def test_a_file_is_read_completely(size: int, tmp_path: Path) -> None:
    data = bytes(n % 251 for n in range(size))
    (tmp_path / "x").write_bytes(data)
    assert file_checksum(tmp_path / "x") == f"xxh3:{xxhash.xxh3_128_hexdigest(data)}"
    half = size // 2
    assert file_checksum(tmp_path / "x", half) == f"xxh3:{xxhash.xxh3_128_hexdigest(data[:half])}"


def test_a_file_that_grows_is_read_on(tmp_path: Path) -> None:
    file, data = tmp_path / "x", b""
    growing = FileChecksum(file)
    for part in (b"", b"one", b"", b"two" * 10**6):
        data += part
        file.write_bytes(data + b"what is not counted")
        assert growing.up_to(len(data)) == f"xxh3:{xxhash.xxh3_128_hexdigest(data)}"


def test_a_file_that_is_too_short_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    with pytest.raises(OSError, match="3 bytes, expected 4"):
        file_checksum(tmp_path / "x", 4)


@given(RECORDS)
def test_a_record_is_intact_after_it_was_written_and_read(record: dict[str, Any]) -> None:
    stored = with_checksum(record)
    require_intact(json.loads(json.dumps(stored, indent=2, ensure_ascii=False)))
    require_intact(dict(reversed(stored.items())))
    require_intact(record)  # one of an earlier version


@given(RECORDS, RECORDS)
def test_a_changed_record_is_an_error(record: dict[str, Any], other: dict[str, Any]) -> None:
    if json.dumps(record, sort_keys=True) != json.dumps(other, sort_keys=True):
        with pytest.raises(ValueError, match="checksum"):
            require_intact({**other, "checksum": with_checksum(record)["checksum"]})


def test_tuples_and_numbers_as_names_are_what_json_makes_of_them() -> None:
    assert record_checksum({10: (1, 2), 9: {"a": float("nan")}}) == record_checksum(
        {"10": [1, 2], "9": {"a": float("nan")}}
    )
    assert record_checksum({"a": 1, "b": 2}, ("b",)) == record_checksum({"a": 1})
