"""The benchmark of several processes compares what they find, and measures what each of two has of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.benchmark_modules import benchmark_modules
from typer.testing import CliRunner

from ie_cli.cli import app

SIZES = ["--layers", "1", "--hidden", "64", "--sentences", "48", "--epochs", "1", "--lines", "32", "--rounds", "1"]


def test_one_and_two_processes_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One process stands in for two, which have their own tests."""
    asked = []

    def run(*words: str) -> float:
        asked.append([word for word in words if word.startswith("training.batch_size")] or [words[-1]])
        result = CliRunner().invoke(app, [*words[:-1], words[-1].replace("2", "1"), "--quiet"])
        assert result.exit_code == 0, result.output
        return 1.0

    monkeypatch.setattr("sys.argv", ["processes.py", *SIZES])
    monkeypatch.setenv("IE_CACHE", str(tmp_path / "cache"))
    with benchmark_modules("processes") as [processes]:
        monkeypatch.setattr(processes, "run", run)
        processes.main()
    *_, training, prediction = capsys.readouterr().out.splitlines()
    assert asked == [["training.batch_size=16"], ["training.batch_size=8"], ["1"], ["2"]]
    assert "differ by 0.0e+00 of" not in training  # it has other batches
    assert prediction == "| prediction | 32.0 (32.0–32.0) | 32.0 (32.0–32.0) | 50% | identical files |"


def test_with_divided_weights_a_process_has_half_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["processes.py", "divided", *SIZES])
    monkeypatch.setenv("IE_CACHE", str(tmp_path / "cache"))
    with benchmark_modules("processes") as [processes]:
        processes.main()
    *_, whole, parts, _, differences = capsys.readouterr().out.splitlines()
    sizes = [[float(cell.split()[0]) for cell in row.split("|")[2:5]] for row in (whole, parts)]
    assert [row.split("|")[1].strip() for row in (whole, parts)] == ["all weights", "a part of each"]
    assert sizes[1] == pytest.approx([size / 2 for size in sizes[0]], abs=0.1)
    assert sizes[0][2] == pytest.approx(2 * sizes[0][0], abs=0.1)
    gap = float(differences.split("differ by ")[1].split()[0])
    assert gap < 1e-4
