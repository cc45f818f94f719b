"""Text is encoded in one place, which escapes what UTF-8 cannot encode."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ie_cli.recipe.yaml import flow
from ie_cli.system.atomic import replace_text
from ie_cli.system.text import encode, escape_surrogates, open_text, write_text

PACKAGE = Path(__file__).parent.parent.parent / "ie_cli"
ANY = st.text(st.one_of(st.characters(), st.sampled_from("\ud800\udfff\udcff\\\r\n\x00")))
ELSEWHERE = re.compile(
    r"TextIOWrapper\(|\.write_text\(|sys\.stdout\.write\(|open\([^)\n]*[\"'][wax]t?[\"']|backslashreplace"
)


def test_nothing_else_in_the_package_writes_text() -> None:
    found = {
        str(path.relative_to(PACKAGE)): line.strip()
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("text.py", "standard_streams.py")  # messages are in the encoding of their stream
        for line in path.read_text(encoding="utf-8").splitlines()
        if ELSEWHERE.search(line) and "open_text(" not in line
    }
    assert not found


@given(ANY)
def test_a_string_of_json_or_yaml_is_the_same_when_it_is_read_back(text: str) -> None:
    # Two adjacent surrogates then form one character, as in JSON.
    same = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert json.loads(encode(json.dumps(text, ensure_ascii=False))) == same
    assert encode(flow(text)).decode("utf-8") == flow(text)


@given(ANY)
def test_any_text_has_bytes_and_valid_text_has_those_of_utf_8(text: str) -> None:
    assert escape_surrogates(escape_surrogates(text)) == escape_surrogates(text) == encode(text).decode("utf-8")
    if text == escape_surrogates(text):
        assert encode(text) == text.encode("utf-8")


def test_every_way_to_write_a_file_escapes(tmp_path: Path) -> None:
    text = "a\ud800\u2028\n"
    write_text(tmp_path / "1", text)
    replace_text(tmp_path / "2", text)
    with open_text(tmp_path / "3", "a") as file:
        file.write(text)
    assert [(tmp_path / name).read_bytes() for name in "123"] == [b"a\\ud800\xe2\x80\xa8\n"] * 3
