"""Runs that an older version left unfinished are resumed, and end as that version would have ended them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.old_versions import FORMAT_2, SAME_MACHINE, assert_predicts, assert_scores, log_rows, weights_digest
from support.runner import ie

FLOAT32 = ["--precision", "float32"]


@pytest.mark.parametrize(("task", "step"), [("ner", 148), ("relation", 228)])
def test_an_unfinished_run_of_format_2_ends_as_it_would_have(task: str, step: int, tmp_path: Path) -> None:
    stored = FORMAT_2 / task
    run = Path(shutil.copytree(stored / "run", tmp_path / "run"))
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{step:09d}"]

    result = ie("train", str(stored / "recipe.yaml"), "--output", str(run), "--resume", "--quiet")
    assert result.exit_code == 0, result.stderr

    assert "rate_factors" not in json.loads(
        (run / "run.json").read_text(encoding="utf-8")
    )  # nor in later parts of the run
    assert_log_continued(run / "log.csv", stored / "run" / "log.csv", stored / "resumed.log.csv")
    data = stored / "dev.json"
    found = tmp_path / "found.jsonl"
    assert_predicts(run / "model", data, stored / "resumed.jsonl", found, options=FLOAT32)
    assert_scores(run / "model", data, stored / "resumed.scores.json", options=FLOAT32)
    if SAME_MACHINE:
        assert weights_digest(run / "model") == (stored / "resumed.digest").read_text().strip()


def assert_log_continued(found: Path, before: Path, expected: Path) -> None:
    """The rows of the older version are still there, with what its clock had a part in; after them come those expected."""
    rows, old = log_rows(found), log_rows(before)
    assert [{name: row[name] for name in old[0]} for row in rows[: len(old)]] == old
    new, wanted = rows[len(old) :], log_rows(expected)[len(old) :]
    new, wanted = ([row for row in part if row["f1"]] for part in (new, wanted))  # others come by the clock
    assert [row["step"] for row in new] == [row["step"] for row in wanted]
    for row, want in zip(new, wanted, strict=True):
        for name in ("epoch", "loss", "learning_rate", "precision", "recall", "f1"):
            assert float(row[name]) == pytest.approx(float(want[name]), rel=1e-4, abs=1e-9), name
            assert row[name] == want[name] or not SAME_MACHINE
