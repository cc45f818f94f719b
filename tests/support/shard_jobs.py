"""Jobs for the workers of shards that need no model, and workers that die while they write."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.waiting import until

from ie_cli.errors import DataError, ModelError
from ie_cli.inference.shards import Manifest, Shard, ShardDirectory
from ie_cli.system.stores import state_of, writing

FACTS: dict[str, Any] = {"model": "upper"}


@dataclass(frozen=True)
class UpperJob:
    """Writes the upper case of each input.

    Attributes:
        root: the output directory.
        trouble: a directory; a file in it that has the name of a shard says what its next attempts come to.
        broken: whether the model cannot be loaded.
    """

    root: str
    trouble: str
    broken: bool = False

    def load(self, process: int | None = None) -> Upper:
        if self.broken:
            raise ModelError("the model is broken", hint="repair it.")
        with open(os.path.join(self.trouble, "loaded"), "a", encoding="utf-8") as log:
            gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
            log.write(f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')} {process} {gpus or 'none'}\n")
        return Upper(self)


@dataclass(frozen=True)
class Upper:
    job: UpperJob
    splitter: None = None

    def predict(self, shard: Shard) -> Manifest:
        directory = ShardDirectory(self.job.root)
        with writing(directory.output(shard)) as new:
            text = Path(shard.path).read_text(encoding="utf-8").upper()
            new.write_text(text[: len(text) // 2], encoding="utf-8")
            self._trouble(shard)
            new.write_text(text, encoding="utf-8")
        fields = {
            "output": {"size": len(text.encode())},
            "rejects": None,
            "tally": {},
            "counts": {},
            "precision": "none",
        }
        return directory.finish(shard, fields, FACTS)

    def _trouble(self, shard: Shard) -> None:
        """Do what the file of the shard says: `bad`, `bug`, wait `until N are loaded`, or die as many times as it says."""
        file = Path(self.job.trouble, shard.name)
        if not file.exists():
            return
        wish = file.read_text(encoding="utf-8")
        if wish == "bad":
            raise DataError(f"{shard.path}:1: not JSON")
        if wish == "bug":
            raise RuntimeError("a bug")
        if wish.startswith("until"):
            until(lambda: len(loads(Path(self.job.trouble).parent)) >= int(wish.split()[1]), seconds=100)
        elif int(wish) > 0:
            file.write_text(str(int(wish) - 1), encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)


def job(directory: Path, name: str, *, broken: bool = False) -> UpperJob:
    """Return a job that writes to a directory of this name beside the inputs of `make_shards`."""
    return UpperJob(str(directory / name), str(directory / "trouble"), broken)


def loads(directory: Path) -> list[str]:
    """Return a line for each process that has loaded its model."""
    return (directory / "trouble" / "loaded").read_text(encoding="utf-8").splitlines()


def make_shards(directory: Path, count: int) -> list[Shard]:
    """Write some inputs, and return their shards."""
    (directory / "in").mkdir(exist_ok=True)
    (directory / "trouble").mkdir(exist_ok=True)
    shards = []
    for n in range(count):
        path = directory / "in" / f"{n}.txt"
        path.write_text(f"text {n}\n" * (n + 1), encoding="utf-8")
        state = state_of(str(path))
        assert state is not None
        shards.append(Shard(str(path), f"{n}.txt", state))
    return shards


def outputs(root: Path) -> dict[str, bytes]:
    """Return the contents of all files in a directory and below, temporary ones included, by their relative names."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
