"""The benchmark of conversions: its sources are what the readers take them for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.benchmark_modules import benchmark_modules

from ie_cli.formats import read_documents


@pytest.mark.parametrize("kind", ["jsonl", "cluener", "doccano", "conll"])
@pytest.mark.parametrize("make", ["cluener_like", "conll04_like"])
def test_a_source_is_read_completely(kind: str, make: str, tmp_path: Path) -> None:
    with benchmark_modules("conversion") as [conversion]:
        numbers = random.Random(0)
        samples = [getattr(conversion, make)(numbers) for _ in range(40)]
        (tmp_path / "x").write_text("".join(map(conversion.STORE[kind], samples)), encoding="utf-8")
    found = list(read_documents(str(tmp_path / "x")))
    assert [document.text for document in found] == [sample.text for sample in samples]
    for document, sample in zip(found, samples, strict=True):
        expected = {(one["start"], one["end"], one["label"]) for one in map(sample.characters, sample.entities)}
        assert {(entity.start, entity.end, entity.label) for entity in document.entities} == expected
        assert len(document.relations) == (len(sample.relations) if kind == "jsonl" else 0)


def test_a_rate_that_cannot_be_measured_is_a_dash() -> None:
    with benchmark_modules("conversion") as [conversion]:
        assert [conversion.rate(3000, seconds) for seconds in (1.5, 0, -2.0)] == ["2,000", "–", "–"]
