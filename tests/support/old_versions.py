"""Files of older versions, and comparison with what those versions made of them; the README beside the files has more."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from support.runner import ie

FORMAT_2 = Path(__file__).parent.parent / "fixtures" / "format_v2"
SAME_MACHINE = os.environ.get("IE_SAME_MACHINE") == "1"
"""Whether bytes are compared too, which are the same only where floating point rounds as on the machine of the files."""


def assert_predicts(model: Path, data: Path, expected: Path, output: Path, *, options: Sequence[str]) -> None:
    """Compare `ie predict` with the predictions in a file: items and offsets exactly, scores to 1e-4.

    Earlier versions did not write an empty list of relations.
    """
    result = ie("predict", str(data), "--model", str(model), "--device", "cpu", "--output", str(output), *options)
    assert result.exit_code == 0, result.stderr
    found, stored = output.read_bytes().replace(b',"relations":[]', b""), expected.read_bytes()
    records, wanted = ([json.loads(line) for line in raw.splitlines()] for raw in (found, stored))
    (numbers, others), (wanted_numbers, wanted_others) = _leaves(records), _leaves(wanted)
    assert others == wanted_others
    assert numbers == pytest.approx(wanted_numbers, abs=1e-4, rel=0)
    if SAME_MACHINE:
        assert found == stored


def assert_scores(model: Path, data: Path, expected: Path, *, options: Sequence[str]) -> None:
    """Compare `ie eval --json` with the scores in a file, to 1e-6; there may be new ones."""
    result = ie("eval", str(model), str(data), "--json", "--device", "cpu", *options)
    assert result.exit_code == 0, result.stderr
    numbers, others = _leaves(json.loads(result.stdout))
    wanted_numbers, wanted_others = _leaves(json.loads(expected.read_text("utf-8")))
    assert {place: others.get(place) for place in wanted_others} == wanted_others
    assert {place: numbers.get(place) for place in wanted_numbers} == pytest.approx(wanted_numbers, abs=1e-6, rel=0)


def _leaves(value: object, place: str = "") -> tuple[dict[str, float], dict[str, object]]:
    """What a JSON value consists of, by place: floating-point numbers, and all else."""
    if isinstance(value, float):
        return {place: value}, {}
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    numbers, others = dict[str, float](), dict[str, object]()
    for name, part in inner:
        found = _leaves(part, f"{place}.{name}")
        numbers |= found[0]
        others |= found[1]
    return numbers, others or ({} if numbers else {place: value})


def weights_digest(model: Path) -> str:
    """A digest of the weights in a model directory, by shape and value: names may change."""
    tensors = [array for file in model.rglob("*.safetensors") for array in load_file(file).values()]
    parts = sorted(f"{array.shape} {hashlib.blake2b(array.tobytes()).hexdigest()}" for array in tensors)
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def log_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a `log.csv`."""
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
