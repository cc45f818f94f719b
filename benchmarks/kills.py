"""Kill training runs and prediction jobs with `kill -9` at random moments, resume them, and check what is left.

    python benchmarks/kills.py [--kills 50] [--seed 0] [train] [predict]

After every kill, `model/` must load and predict if it exists, and at most the steps between two checkpoints may be
lost; every second kill waits until a checkpoint or a model is being written. At the end, weights, scores and
predictions must equal those of a run that was not killed, to the byte.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from ie_cli.system.temporary import is_workspace

ROOT = Path(__file__).parent.parent
DATA = ROOT / "data" / "quickstart"
EVERY = 3
"""Steps between two checkpoints: most of the time one is being written."""
LINES = 150_000
START = """
import sys
from ie_cli.inference import resumable_output as jobs
from ie_cli.cli import main
jobs.COMMIT_SECONDS = 0.3
if sys.argv[1] == "train":
    from ie_cli.training import loss_tracker as meter
    meter.REPORT_SECONDS = 0.0  # every step into the log
sys.argv[0] = "ie"
main()
"""


@dataclass
class Tally:
    """The results of all kills."""

    kills: int = 0
    runs: int = 0
    in_writing: int = 0
    """Kills while a checkpoint or a model was being written."""
    most_lost: int = 0
    """The number of steps between the last one in the log and the newest checkpoint."""
    loaded: int = 0
    """Kills after which a model existed and loaded."""
    advanced: int = 0
    """Kills after which the journal of a job had advanced."""
    problems: list[str] = field(default_factory=list)


def recipe(directory: Path) -> Path:
    """Write a recipe of some 300 steps with a small encoder, evaluated and stored often."""
    path = directory / "recipe.yaml"
    path.write_text(
        f"""name: kills
data: {{train: {DATA / "train.json"}, dev: {directory / "dev.json"}}}
encoder: {{name: tiny, max_length: 64, stride: 16}}
training: {{epochs: 6, learning_rate: 1.0e-3, checkpoint_every: {EVERY}, eval_every: 10, precision: float32, device: cpu}}
""",
        encoding="utf-8",
    )
    lines = (DATA / "dev.json").read_text(encoding="utf-8").splitlines(keepends=True)
    (directory / "dev.json").write_text("".join(lines[:40]), encoding="utf-8")
    return path


def ie(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a command."""
    return subprocess.Popen(
        [sys.executable, "-c", START, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT
    )


def killed(process: subprocess.Popen[bytes], delay: float, armed: Path | None) -> bool | None:
    """Kill a process after some time, or as soon as something in a directory is being written; None: it had ended."""
    until = time.monotonic() + (delay if armed is None else 60)
    writing = False
    while process.poll() is None and time.monotonic() < until and not writing:
        if armed is None:
            time.sleep(min(0.01, max(0.0, until - time.monotonic())))
        else:
            writing = half_written(armed)
    if writing:
        time.sleep(delay / 500)
    if process.poll() is not None:
        return None
    writing = armed is not None and half_written(armed)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return writing


def half_written(output: Path) -> bool:
    """Say whether a checkpoint or a model is being written."""
    for directory in (output, output / "checkpoints"):
        try:
            if any(name.startswith((".step-", ".model.")) for name in os.listdir(directory) if is_workspace(name)):
                return True
        except FileNotFoundError:
            pass
    return False


def steps_of(output: Path) -> tuple[int, int]:
    """Return the last step in the log, and the step of the newest checkpoint."""
    logged = 0
    if (output / "log.csv").is_file():
        with (output / "log.csv").open(encoding="utf-8") as file:
            logged = max((int(row["step"]) for row in csv.DictReader(file) if row["f1"] is not None), default=0)
    names = [path.name for path in (output / "checkpoints").glob("step-*")]
    return logged, max((int(name.removeprefix("step-")) for name in names), default=0)


def kill_training(directory: Path, kills: int, chance: random.Random) -> Tally:
    """Kill runs until there were enough kills; resume each run to its end."""
    from ie_cli.inference.extractor import Extractor

    tally, file = Tally(), recipe(directory)
    finish(ie("train", str(file), "--output", str(directory / "whole"), "--quiet"), tally)
    expected = outcome(directory / "whole")
    while tally.kills < kills:
        output = directory / f"run{tally.runs}"
        while tally.kills < kills:
            armed = output if tally.kills % 2 else None
            process = ie("train", str(file), "--output", str(output), "--resume", "--quiet")
            in_writing = killed(process, chance.uniform(0, 12), armed)
            if in_writing is None:
                if process.returncode != 0:
                    tally.problems.append(f"exit code {process.returncode}: {process.stderr.read().decode()[-500:]}")  # type: ignore[union-attr]
                break
            tally.kills += 1
            tally.in_writing += in_writing
            logged, saved = steps_of(output)
            tally.most_lost = max(tally.most_lost, logged - saved)
            if (output / "model").exists():
                try:
                    list(Extractor.from_pretrained(output / "model").extract(["王伟在青川大学读书。"]))
                    tally.loaded += 1
                except Exception as error:  # any exception is a finding
                    tally.problems.append(f"after kill {tally.kills}: {error!r}")
        finish(ie("train", str(file), "--output", str(output), "--resume", "--quiet"), tally)
        tally.runs += 1
        if outcome(output) != expected:
            tally.problems.append(f"{output} differs from the run that was not killed")
        if rest := [path.name for path in output.iterdir() if path.name.startswith(".") and path.name != ".lock"]:
            tally.problems.append(f"left behind: {rest}")
    if tally.most_lost > EVERY:
        tally.problems.append(f"{tally.most_lost} steps lost, {EVERY} between two checkpoints")
    return tally


def outcome(output: Path) -> list[str]:
    """Hashes of weights and scores; the evaluations in the log."""
    names = ("model.safetensors", "metrics.json")
    hashes = [hashlib.sha256((output / "model" / name).read_bytes()).hexdigest() for name in names]
    with (output / "log.csv").open(encoding="utf-8") as file:
        evaluations = [
            {k: v for k, v in row.items() if k != "sentences_per_second"} for row in csv.DictReader(file) if row["f1"]
        ]
    return [*hashes, json.dumps(evaluations)]


def kill_prediction(directory: Path, kills: int, chance: random.Random) -> Tally:
    """Kill jobs until there were enough kills; resume each to its end and compare its output."""
    tally = Tally()
    model = directory / "predict-model"
    settings = ["--set", "training.epochs=1", "--output", str(model), "--quiet"]
    finish(ie("train", str(recipe(directory)), *settings), tally)
    texts = [json.loads(line)["text"] for line in (DATA / "train.json").read_text(encoding="utf-8").splitlines()]
    big = directory / "big.jsonl"
    with big.open("w", encoding="utf-8") as file:
        for n in range(LINES):
            file.write("{bad\n" if n % 9973 == 7 else json.dumps({"id": n, "text": texts[n % len(texts)]}) + "\n")
    job = ("predict", str(big), "--model", str(model / "model"), "--rejects", str(directory / "bad.jsonl"), "--quiet")
    out = directory / "whole.jsonl"
    finish(ie(*job, "--output", str(out)), tally)
    expected = out.read_bytes(), (directory / "bad.jsonl").read_bytes()
    while tally.kills < kills:
        out, done = directory / f"out{tally.runs}.jsonl", 0
        (directory / "bad.jsonl").unlink(missing_ok=True)
        while tally.kills < kills:
            process = ie(*job, "--output", str(out), "--resume")
            in_writing = killed(process, chance.uniform(0, 12), None)
            if in_writing is None:
                break
            tally.kills += 1
            done, before = records_of(out), done
            tally.advanced += done > before
            if out.exists() or (directory / "bad.jsonl").exists():
                tally.problems.append("a file has its name before the job is complete")
        if not out.exists():
            finish(ie(*job, "--output", str(out), "--resume"), tally)
        tally.runs += 1
        if (out.read_bytes(), (directory / "bad.jsonl").read_bytes()) != expected:
            tally.problems.append(f"{out} differs from the job that was not killed")
        out.unlink()
    return tally


def records_of(out: Path) -> int:
    """Return the number of finished records in a journal."""
    journal = out.with_name(out.name + ".part.json")
    return int(json.loads(journal.read_text(encoding="utf-8"))["records"]) if journal.exists() else 0


def finish(process: subprocess.Popen[bytes], tally: Tally) -> None:
    """Wait for the end of a command that nobody kills."""
    _, said = process.communicate()
    if process.returncode:
        tally.problems.append(f"exit code {process.returncode}: {said.decode()[-500:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["train", "predict"], help="train, predict")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    problems = 0
    for what in options.what:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            os.environ["IE_CACHE"] = name
            kill = {"train": kill_training, "predict": kill_prediction}[what]
            tally = kill(Path(name), options.kills, random.Random(options.seed))
        details = {
            "train": f"{tally.in_writing} of them while a checkpoint or model was being written; the model loaded after "
            f"{tally.loaded}; at most {tally.most_lost} steps lost of {EVERY} between two checkpoints",
            "predict": f"{tally.advanced} of them after the journal had advanced; {LINES:,} lines",
        }
        print(
            f"{what}: {tally.kills} kills, {details[what]}; {tally.runs} finished; {len(tally.problems)} problems; "
            f"{time.monotonic() - began:.0f} s"
        )
        for problem in tally.problems:
            print(f"  {problem}")
        problems += len(tally.problems)
    sys.exit(problems > 0)


if __name__ == "__main__":
    main()
