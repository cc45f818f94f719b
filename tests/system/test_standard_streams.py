"""Standard error that cannot be written to; the tests of closed and full streams in a shell are in commands/test_outputs.py."""

from __future__ import annotations

import io
import sys

import pytest

from ie_cli.system.standard_streams import tolerate_broken_stderr


class Raw(io.RawIOBase):
    """A file that accepts a number of bytes per write, and then fails."""

    def __init__(self, answers: list[int | OSError | None]) -> None:
        self.answers, self.got = iter(answers), b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int | None:  # type: ignore[override]
        answer = next(self.answers)
        if isinstance(answer, OSError):
            raise answer
        self.got += bytes(memoryview(data))[: answer or 0]  # type: ignore[arg-type]
        return answer


@pytest.fixture
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", sys.stderr)


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize(
    ("answers", "got"),
    [
        ([8], b"one two\n"),
        ([3, 1, 4], b"one two\n"),
        ([4, OSError(28, "No space left on device")], b"one "),
        ([BrokenPipeError()], b""),
        ([OSError(9, "Bad file descriptor")], b""),
        ([None], b""),
    ],
    ids=str,
)
def test_what_is_not_taken_is_let_go(answers: list[int | OSError | None], got: bytes) -> None:
    raw = Raw(answers)
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")
    before = sys.stderr
    tolerate_broken_stderr()
    assert sys.stderr is not before
    sys.stderr.write("one two\n")
    sys.stderr.flush()
    assert raw.got == got
