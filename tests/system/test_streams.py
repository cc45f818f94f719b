from __future__ import annotations

import gzip
import io
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.errors import DataError, StorageError
from ie_cli.system import streams as textio
from ie_cli.system.streams import open_output, read_lines

LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\ufeff")), max_size=5)


def lines_of(path: Path | str) -> list[str]:
    return [line for _, line in read_lines(str(path))]


@given(LINES, st.sampled_from(["plain", "x.gz", "x.zst"]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], name: str, end: str, mark: bool
) -> None:
    path = tmp_path_factory.mktemp("io") / name
    with open_output(str(path)) as file:
        file.write("\ufeff" * (mark and bool(lines)) + "".join(line + end for line in lines))
    assert lines_of(path) == lines
    assert [number for number, _ in read_lines(str(path))] == list(range(1, len(lines) + 1))


def test_only_newlines_end_a_line(tmp_path: Path) -> None:
    text = "a\u2028b\u0085c\x0bd\x0ce\x1cf\rg"
    (tmp_path / "odd").write_bytes(text.encode() + b"\nlast")
    assert lines_of(tmp_path / "odd") == [text, "last"]


def test_a_url_is_written_and_read() -> None:
    for suffix in ("", ".gz", ".zst"):
        url = f"memory://{uuid.uuid4()}/x.jsonl{suffix}"
        with open_output(url) as file:
            file.write("甲\n乙\n")
        assert lines_of(url) == ["甲", "乙"]
    assert fsspec.open(url).open().read(4) == b"\x28\xb5\x2f\xfd"


def test_compressed_files_of_several_members_are_read_completely(tmp_path: Path) -> None:
    (tmp_path / "two.gz").write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    pack = zstandard.ZstdCompressor().compress
    (tmp_path / "two.zst").write_bytes(pack(b"a\n") + pack(b"b\n"))
    assert lines_of(tmp_path / "two.gz") == lines_of(tmp_path / "two.zst") == ["a", "b"]


def test_standard_input_and_output(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("一\r\n二".encode()), encoding="ascii"))
    assert lines_of("-") == ["一", "二"]
    with open_output("-") as file:
        file.write("一\n")
    assert capfdbinary.readouterr().out == "一\n".encode()
    sys.stdout.write("")  # still open


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("好\n中文".encode("gb18030"), r"x:1: byte 1 of the line \(0xba\) is not UTF-8", "GB18030"),
        (b"ok\n\xff\xfe\n", r"x:2: byte 1 of the line \(0xff\) is not UTF-8", "-f ENCODING"),
        (b"ok\nab\xff\n", r"x:2: byte 3 of the line \(0xff\) is not UTF-8", "iconv -f ENCODING"),
    ],
)
def test_other_encodings_are_an_error(tmp_path: Path, content: bytes, message: str, hint: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        lines_of(tmp_path / "x")
    assert hint in str(caught.value.hint)


def test_lines_before_an_error_are_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\nb\n\xff\n")
    stream = read_lines(str(tmp_path / "x"))
    assert [next(stream), next(stream)] == [(1, "a"), (2, "b")]
    with pytest.raises(DataError):
        next(stream)


@pytest.mark.parametrize("name", ["x.gz", "x.zst"])
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-2000], lambda b: b"garbage" + b, lambda b: b[:-1], lambda b: b + b"x"]
)
def test_a_damaged_file_is_an_error(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / name
    with open_output(str(path)) as file:
        file.writelines(f"{os.urandom(40).hex()}\n" for _ in range(5000))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"cannot be read after line \d+"):
        lines_of(path)


def test_what_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(DataError, match=r"no such file; did you mean 'train\.jsonl'\?"):
        lines_of(tmp_path / "trian.jsonl")
    with pytest.raises(DataError, match="is a directory"):
        lines_of(tmp_path)
    with pytest.raises(DataError, match="nowhere"):
        lines_of("memory://nowhere/x.jsonl")
    with pytest.raises(DataError, match="no directory"), open_output(str(tmp_path / "none" / "x")):
        pass


def test_a_file_of_output_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")

    def fail() -> None:
        with open_output(str(path)) as file:
            file.write("half")
            file.flush()
            assert path.read_text() == "old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]
    with open_output(str(path)) as file:
        file.write("new")
    assert path.read_text() == "new"
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with open_output(str(tmp_path / "link")) as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_places_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    for path, message in [
        (str(tmp_path), "is a directory"),
        (str(tmp_path / ("x" * 300)), "name too long"),
        ("foo://b/k", "foo"),
    ]:
        with pytest.raises((DataError, StorageError), match=message), open_output(path):
            pass
    with pytest.raises(DataError, match="foo"):
        lines_of("foo://b/k")
    with pytest.raises(DataError, match="no such file"):
        lines_of("x" * 300)


def test_a_flipped_bit_is_an_error(tmp_path: Path) -> None:
    compressed = gzip.compress("".join(f"{n} {n * n}\n" for n in range(20_000)).encode())
    for place in range(20, len(compressed), len(compressed) // 60):
        (tmp_path / "x.gz").write_bytes(compressed[:place] + bytes([compressed[place] ^ 16]) + compressed[place + 1 :])
        with pytest.raises(DataError):
            lines_of(tmp_path / "x.gz")


def test_a_lone_surrogate_is_escaped(tmp_path: Path) -> None:
    with open_output(str(tmp_path / "x")) as file:
        file.write("a\ud800b")
    assert (tmp_path / "x").read_text() == "a\\ud800b"


def test_a_missing_zstandard_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(textio, "import_module", missing)
    (tmp_path / "x.zst").touch()
    with pytest.raises(DataError, match=r"\.zst requires") as caught:
        lines_of(tmp_path / "x.zst")
    assert caught.value.hint == "pip install 'ie-cli[zstd]'"


def test_reading_is_a_stream(tmp_path: Path) -> None:
    read, write = os.pipe()
    with os.fdopen(write, "wb", buffering=0) as out:
        out.write(b"first\n")
        stream = read_lines(f"/dev/fd/{read}")
        if not Path(f"/dev/fd/{read}").exists():
            pytest.skip("no /dev/fd here")
        assert next(stream) == (1, "first")
    os.close(read)
