"""Which scores depend on what is computed together, and how a pipe that is slow has those of a file."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from support.corpora import documents
from support.runner import ie
from support.untrained import write_model

from ie_cli.commands import predict as command
from ie_cli.document import Document
from ie_cli.inference import chunks, pipeline
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.pipeline import extract

SOME = [Document(document.text * (1 + number % 4), id=number) for number, document in enumerate(documents(24))]


class Batches:
    """A backend that notes which windows it was given together."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.seen: list[list[list[int]]] = []

    def run(self, input_ids: Any, attention_mask: Any) -> Any:
        self.seen.append(np.where(attention_mask, input_ids, -1).tolist())
        return self._backend.run(input_ids, attention_mask)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def slowly(items: list[Document]) -> Iterator[Document]:
    for number, item in enumerate(items):
        if number % 5 == 4:
            time.sleep(0.05)
        yield item


def engine_of(model: Path, **options: Any) -> Any:
    made = Extractor.from_pretrained(str(model), device="cpu", precision=options.pop("precision", "float32"))
    engine = made.engine(threshold=0.0, **options)  # an untrained model: everything is found
    return replace(engine, backend=Batches(engine.backend))


def found(engine: Any, items: list[Document], **options: Any) -> list[list[Any]]:
    return [[(e, e.score) for e in document.entities] for document in extract(engine, items, **options)]


def test_who_waits_for_input_has_the_batches_of_a_file(model: Path) -> None:
    file, pipe = engine_of(model), engine_of(model)
    assert found(file, SOME) == found(pipe, slowly(SOME))  # type: ignore[arg-type]
    assert file.backend.seen == pipe.backend.seen
    hasty = engine_of(model)
    found(hasty, slowly(SOME), idle=0.01)  # type: ignore[arg-type]
    assert hasty.backend.seen != file.backend.seen  # what the promise is about


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_window_at_a_time_has_scores_that_depend_on_nothing_else(
    precision: Literal["float32", "bfloat16"], model: Path
) -> None:
    once = found(engine_of(model, batch_size=1, precision=precision), SOME)
    assert any(once)
    hasty = found(engine_of(model, batch_size=1, precision=precision), slowly(SOME), idle=0.01)  # type: ignore[arg-type]
    alone = [found(engine_of(model, batch_size=1, precision=precision), [document])[0] for document in SOME[:6]]
    assert hasty == once
    assert alone == once[:6]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("full", [True, False])
def test_a_pipe_waits_for_full_batches_on_request(
    full: bool, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named pipe into which nothing comes for longer than a pipe is waited for."""
    sizes: list[int] = []
    grouped = chunks.grouped

    def noted(reader: Any, **options: Any) -> Any:
        for chunk in grouped(reader, **options):
            sizes.append(len(chunk))
            yield chunk

    monkeypatch.setattr(pipeline, "grouped", noted)
    monkeypatch.setattr(command, "IDLE_SECONDS", 0.05)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def feed() -> None:
        with pipe.open("w", encoding="utf-8") as out:
            for part in (SOME[:3], SOME[3:5]):
                out.writelines(json.dumps({"text": document.text}) + "\n" for document in part)
                out.flush()
                time.sleep(1.0)

    thread = threading.Thread(target=feed)
    thread.start()
    options = ["--full-batches"] if full else []
    result = ie("predict", str(pipe), "-m", str(model), "--from", "jsonl", *options)
    thread.join()
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 5
    assert sizes == ([5] if full else [3, 2])
