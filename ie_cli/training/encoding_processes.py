"""Encode shards of documents in several processes, whose files are the same as those of a single one.

A worker is a new process that imports no torch: it reads the settings and then the shards to encode from standard input, as
lines of JSON, and answers each with a line. It does not inherit the state of this process, which has threads, and it does not
import the script that called `train`. What no worker could encode is encoded by this process, which then reports any error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Literal

from tokenizers import Tokenizer

from ie_cli.codecs.base import build_codec
from ie_cli.data.document_shards import Shard
from ie_cli.data.label_schema import schema_facts, schema_of_facts
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_features import WordFeatures
from ie_cli.recipe.heads import HEADS
from ie_cli.system.cores import available_cores
from ie_cli.training.encoded_shards import EncodedShard
from ie_cli.training.window_encoding import Encoding

MAX_WORKERS = 16
"""The largest number of processes by default: each takes about 200 MB, and the disk becomes the limit."""
_MODULE = "ie_cli.training.encoding_worker"

Task = tuple[Shard, EncodedShard]


def worker_count(tasks: int, workers: int | None = None) -> int:
    """Return the number of worker processes for some shards.

    Args:
        tasks: the number of shards.
        workers: the number that was asked for; None for the number of cores that this process may use.
    """
    return min(tasks, min(available_cores(), MAX_WORKERS) if workers is None else workers)


def encode_in_processes(tasks: Sequence[Task], encoding: Encoding, *, workers: int | None = None) -> None:
    """Encode shards whose documents are in files; those that a worker fails to encode remain missing.

    Args:
        tasks: the shards, with the files of their rows.
        encoding: the settings.
        workers: the number of processes; None for the number of cores.
    """
    count = worker_count(len(tasks), workers)
    settings = _settings(encoding)
    if count < 2 or settings is None or not sys.executable:
        return
    waiting = deque(tasks)
    processes = [_start() for _ in range(count)]
    threads = [Thread(target=_serve, args=(process, settings, waiting), daemon=True) for process in processes]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()  # a signal interrupts this
    finally:
        waiting.clear()
        for process in processes:
            process.kill()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        for process in processes:
            with suppress(OSError), process:  # closes the pipes, one of which may hold a question that was not sent
                pass


def _start() -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        env=environment,
    )


def _serve(process: subprocess.Popen[str], settings: dict[str, Any], waiting: deque[Task]) -> None:
    """Give shards to a worker until there are no more, or it fails."""
    try:
        _ask(process, settings)
        while waiting:
            shard, encoded = waiting.popleft()
            _ask(process, {"documents": str(shard.path), "first": shard.first, "rows": str(encoded.path)})
    except (OSError, ValueError, IndexError):  # IndexError: another thread took the last one
        return


def _ask(process: subprocess.Popen[str], question: dict[str, Any]) -> None:
    """Send a line to a worker, and wait for its answer.

    Raises:
        OSError, ValueError: it has ended.
    """
    if process.stdin is None or process.stdout is None:
        raise OSError("no pipes")
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    if process.stdout.readline() != "done\n":
        raise OSError("the worker has ended")


def _settings(encoding: Encoding) -> dict[str, Any] | None:
    """Return the settings as JSON values; None if another process cannot build the codec."""
    if encoding.head is None:
        return None
    tokenizer = encoding.tokenizer
    return {
        "identity": encoding.identity(),
        "mode": tokenizer.mode,
        "normalization": tokenizer.normalization,
        "features": None if tokenizer.features is None else {"characters": tokenizer.features.characters},
        "plan": [encoding.plan.capacity, encoding.plan.stride],
        "head": encoding.head.model_dump(mode="json"),
        "schema": schema_facts(encoding.codec.schema),
        "pad_id": encoding.pad_id,
        "mentions": encoding.mentions,
        "texts": encoding.texts,
        "whole_words": encoding.whole_words,
    }


def encoding_of(settings: dict[str, Any]) -> Encoding:
    """Build the settings from their JSON values, in a worker.

    Raises:
        ValueError, KeyError, ImportError: another encoding would result, because a class of the other process is missing here.
    """
    mode: Literal["subword", "char"] = settings["mode"]
    features = settings["features"]
    head = HEADS[settings["head"]["name"]].section.model_validate(settings["head"])
    encoding = Encoding(
        tokenizer=TextTokenizer(
            Tokenizer.from_str(settings["identity"][1]),
            mode=mode,
            normalization=settings["normalization"],
            features=None if features is None else WordFeatures(**features),
        ),
        plan=WindowPlan(*settings["plan"]),
        codec=build_codec(head, schema_of_facts(settings["schema"])),
        pad_id=settings["pad_id"],
        mentions=settings["mentions"],
        texts=settings["texts"],
        whole_words=settings["whole_words"],
        head=head,
    )
    if json.loads(json.dumps(encoding.identity())) != settings["identity"]:
        raise ValueError("another encoding")
    return encoding


def encode_file(question: dict[str, Any], encoding: Encoding) -> None:
    """Encode one shard in a worker.

    Raises:
        StorageError, OSError: a file cannot be read or written.
    """
    shard = Shard(question["first"], 0, Path(question["documents"]))
    EncodedShard(Path(question["rows"])).write(shard, encoding, first=shard.first)
