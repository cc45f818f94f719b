"""The fuzzer finds what is wrong, keeps it, and finds nothing here in two seconds."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import fuzz
from support.fuzz_targets import Target, targets
from support.mutate import MUTATIONS, SAMPLES, mutate

from ie_cli.errors import DataError


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    number = getattr(signal, "SIGALRM", signal.SIGINT)
    before = signal.getsignal(number)
    yield
    signal.signal(number, before)
    fuzz.logging.disable(fuzz.logging.NOTSET)


def test_two_seconds_find_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = {name: target for name, target in targets().items() if name not in ("model", "windows")}
    assert fuzz.main(["--seconds", "2", "--seed", "5", "--directory", str(tmp_path / "found")], quick) == 0
    said = capsys.readouterr().out
    assert "seed 5" in said
    assert "0 findings" in said
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize(
    "name", ["model", "windows", "damaged-cache", "damaged-checkpoint", "damaged-journal", "damaged-model"]
)
def test_the_slow_targets_run(name: str) -> None:
    target, source = fuzz.all_targets()[name], random.Random(1)
    for _ in range(4):
        error = fuzz.attempt(target, target.draw(source))
        assert error is None or isinstance(error, fuzz.IEError)


def careful(data: bytes) -> None:
    if b"}" not in data:
        raise DataError("x:1: no brace", hint="close it.")
    if b"{" not in data:
        raise KeyError("open")


def test_what_is_wrong_is_kept_and_can_be_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faulty = {"braces": Target("braces", careful, lambda: [b"{}", b"{{}}"])}
    options = ["--seconds", "0.5", "--seed", "1", "--directory", str(tmp_path)]
    assert fuzz.main(options, faulty) == 1
    said = capsys.readouterr().out
    assert "1 findings\n  braces: KeyError at test_fuzz.py:" in said
    [kept] = tmp_path.glob("braces@*[!t]")
    assert "KeyError: 'open'" in kept.with_name(kept.name + ".txt").read_text(encoding="utf-8")
    assert fuzz.main(["--replay", str(kept)], faulty) == 1
    assert "KeyError: 'open'" in capsys.readouterr().out
    kept.write_bytes(b"{")
    assert fuzz.main(["--replay", str(kept)], faulty) == 0
    assert "fine: x:1: no brace" in capsys.readouterr().out


def test_a_damage_that_nobody_sees_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from ie_cli.training import checkpoint

    target, source = fuzz.all_targets()["damaged-checkpoint"], random.Random(3)
    monkeypatch.setattr(checkpoint, "require_intact", lambda numbers: None)
    monkeypatch.setattr(checkpoint, "file_checksum", lambda file: None)
    monkeypatch.setattr(checkpoint, "_TENSORS_CHECKSUM", "none such")
    errors = [fuzz.attempt(target, target.draw(source)) for _ in range(40)]
    assert any(isinstance(error, fuzz.Broken) for error in errors)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no alarm")
def test_what_hangs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(data: bytes) -> None:
        while True:
            try:
                fuzz.time.sleep(9)
            except Exception:  # as code does that takes all errors for those of the input
                continue

    monkeypatch.setattr(fuzz, "MOST_SECONDS", 0.1)
    fuzz.prepare()
    assert isinstance(fuzz.attempt(Target("hang", hang, list), b""), fuzz.Hung)


def test_one_seed_gives_one_run() -> None:
    first, second = ([mutate(source, SAMPLES[0], SAMPLES) for _ in range(50)] for source in map(random.Random, (3, 3)))
    assert first == second
    assert len(set(first)) > 40


@pytest.mark.parametrize("mutation", sorted(set(MUTATIONS), key=lambda one: one.__name__), ids=lambda one: one.__name__)
def test_every_mutation_changes_something(mutation: object) -> None:
    source = random.Random(2)
    assert any(mutation(source, sample, SAMPLES) != sample for sample in SAMPLES * 3)  # type: ignore[operator]
    assert isinstance(mutation(source, b"", SAMPLES), bytes)  # type: ignore[operator]
