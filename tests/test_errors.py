from __future__ import annotations

import pytest

from ie_cli.errors import did_you_mean, nearest


@pytest.mark.parametrize(
    ("word", "candidate"),
    [("epoch", "epochs"), ("Epochs", "epochs"), ("batchsize", "batch_size"), ("xyzzy", None), ("", None)],
)
def test_nearest(word: str, candidate: str | None) -> None:
    assert nearest(word, ["epochs", "batch_size", "seed"]) == candidate
    assert did_you_mean(word, ["epochs", "batch_size", "seed"]) == (
        f"; did you mean '{candidate}'?" if candidate else ""
    )


def test_without_candidates_nothing_is_near() -> None:
    assert nearest("a", []) is None
