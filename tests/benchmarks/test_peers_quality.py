"""What is asked of the peers, how their predictions are scored, and the table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.benchmark_modules import BENCHMARKS, benchmark_modules, write_corpora


@pytest.fixture
def modules() -> Iterator[list[Any]]:
    """`peers_quality`, `trials` and `peers.common`."""
    with benchmark_modules("peers_quality", "trials", "peers.common") as found:
        yield found


@pytest.fixture
def options(modules: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The options of a comparison on a small corpus, with an encoder that is not read."""
    peers_quality, _, _ = modules
    monkeypatch.setattr(peers_quality, "cut_encoder", lambda source, layers, work: work / "encoder")
    command = ["search", "conll04", "transformers", "ie-global_pointer", "gliner"]
    command += ["--data", str(write_corpora(tmp_path / "corpora")), "--work", str(tmp_path / "work")]
    command += ["--encoders", str(tmp_path), "--peers", "PYTHON", "--count", "3"]
    monkeypatch.setattr("sys.argv", ["peers_quality.py", *command])
    return peers_quality.parse()[1]


def test_every_peer_has_a_script(modules: list[Any]) -> None:
    peers_quality, _, _ = modules
    scripts = {path.stem.removeprefix("train_") for path in (BENCHMARKS / "peers").glob("train_*.py")}
    assert {system.package for system in peers_quality.SYSTEMS.values()} == {*scripts, "ie"}


def test_a_peer_is_trained_once_and_scored_here(
    modules: list[Any], options: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers_quality, trials, common = modules
    asked = []

    def fake(command: list[str]) -> Any:
        asked.append(command)
        given = common.Options(**json.loads(command[2]))  # all fields, and no others
        assert Path(given.work).is_dir()
        sentences = common.read_sentences(given.predict)
        lines = [json.dumps(sentence.entities[:1]) + "\n" for sentence in sentences]
        Path(given.output).write_text("".join(lines), encoding="utf-8")
        reply = {"prediction_seconds": 2.0, "sentences": len(sentences), "curve": [0.1, 0.4, 0.3]}
        return trials.Finished(False, f"noise\n{json.dumps(reply)}", "", 12.0, 100.0)

    monkeypatch.setattr(peers_quality, "run_measured", fake)
    job = peers_quality.Job("transformers", (5e-5, 5e-5), 1)
    for _ in range(2):
        peers_quality.run(options, job)
    [[python, script, _]] = asked
    assert (python, Path(script).name) == ("PYTHON", "train_transformers.py")
    result = trials.result_at(options.work, job.name(options))
    assert result["test"] == pytest.approx({"precision": 1, "recall": 0.5, "f1": 2 / 3})
    assert (result["seconds"], result["per_second"], result["metrics"]) == (10, 3, {"dev": {"f1": 0.4}})
    assert "dev F1 0.4000" in capsys.readouterr().out


def test_a_failed_peer_shows_its_error_and_is_tried_again(
    modules: list[Any], options: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers_quality, trials, _ = modules
    failed = trials.Finished(True, "", "Traceback …\nImportError: no gliner", 1.0, 1.0)
    monkeypatch.setattr(peers_quality, "run_measured", lambda command: failed)
    job = peers_quality.Job("gliner", (1e-4, 5e-4), 1)
    peers_quality.run(options, job)
    assert "ImportError: no gliner" in capsys.readouterr().out
    assert trials.result_at(options.work, job.name(options)) is None


def test_types_of_arguments_are_the_usual_ones_of_the_predicate(modules: list[Any], options: Any) -> None:
    peers_quality, _, _ = modules
    options.cut.write()
    assert peers_quality.types_of(options.cut.documents("train")) == {"Live_In": ("Peop", "Loc")}


def test_the_best_rates_are_those_of_dev_and_the_table_has_both(
    modules: list[Any], options: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    peers_quality, trials, _ = modules
    assert len(list(peers_quality.jobs(options, "search"))) == 9

    def store(system: str, rates: tuple[float, float], seed: int, dev: float, test: float) -> None:
        result: dict[str, Any] = {"metrics": {"dev": {"f1": dev}}, "seconds": 60.0, "per_second": 1234.0}
        result["curve"] = [] if rates == documented else [dev / 4, dev / 2, dev]
        result["test"] = dict.fromkeys(("precision", "recall", "f1"), test)
        name = peers_quality.Job(system, rates, seed).name(options)
        trials.write_lines(options.work / "results" / f"{name}.json", [json.dumps(result)])

    documented, best, third = peers_quality.SYSTEMS["transformers"].rates
    store("transformers", documented, 1, 0.1, 0.9)
    store("transformers", best, 1, 0.6, 0.5)
    assert not list(peers_quality.jobs(options, "train"))
    assert "transformers: 2 of 3 rates searched" in capsys.readouterr().out
    store("transformers", third, 1, 0.5, 0.7)
    store("transformers", best, 2, 0.6, 0.7)
    found = [(job.rates, job.seed) for job in peers_quality.jobs(options, "train")]
    assert found == [(rates, seed) for rates in (best, documented) for seed in (1, 2, 3)]
    capsys.readouterr()
    monkeypatch.setattr(peers_quality, "machine", lambda pythons: ["the machine"])
    peers_quality.report(options)
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| transformers")]
    assert table == [
        "| transformers | 0.00015 (best) | 0.100 / 0.600 / 0.500 | 2 "
        "| 0.6000 ± 0.1414 | 0.6000 ± 0.1414 | 0.6000 ± 0.1414 | 0.150, 0.300 | 60 | 1,234 |",
        "| transformers | 5e-05 (documented) | 0.100 / 0.600 / 0.500 | 1 | 0.9000 | 0.9000 | 0.9000 | – | 60 | 1,234 |",
    ]


def test_only_systems_that_know_the_task_are_compared(
    modules: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers_quality, _, _ = modules
    paths = [word for name in ("data", "encoders", "work") for word in (f"--{name}", str(tmp_path))]
    monkeypatch.setattr("sys.argv", ["peers_quality.py", "report", "duie2", *paths])
    systems = peers_quality.parse()[1].systems
    assert set(systems) == {"ie-gplinker", "ie-casrel", "bert4torch-gplinker", "bert4torch-casrel"}
