"""Checkpoints of a training run: tensors in safetensors, numbers in JSON, nothing pickled; whole or not there."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ie_cli.errors import ModelError
from ie_cli.modeling.model import ExtractionModel, distinct_tensors, name_of_earlier
from ie_cli.system.atomic import replace_directory, storing
from ie_cli.system.checksums import file_checksum, require_intact, with_checksum
from ie_cli.system.json_reading import loads
from ie_cli.system.temporary import workspace
from ie_cli.system.text import write_text
from ie_cli.training.run_directory import CHECKPOINT_NAME, discard

TENSORS, NUMBERS = "state.safetensors", "state.json"
_OF_TENSORS = "tensors"
"""The number that is the checksum of the file of the tensors; version 0.2 wrote none."""


@dataclass(frozen=True)
class Checkpoint:
    """What a run goes on from.

    Attributes:
        tensors: by name, as `model_tensors`, `optimizer_tensors` and `random_state` give them.
        numbers: what JSON can hold.
        damaged: newer ones that could not be read.
    """

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]
    damaged: tuple[Path, ...] = ()


def write_checkpoint(directory: Path, step: int, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Store a checkpoint in a directory of them, and remove older ones than the last `keep`.

    It is synced to the disk before it gets its name, so that one is never there in part.

    Raises:
        StorageError: it cannot be written; the older ones are still there.
    """
    from safetensors.torch import save_file

    path = directory / f"step-{step:09d}"
    with storing(path):
        directory.mkdir(exist_ok=True)
        with workspace(directory, path.name) as room:
            temporary = room / "new"
            temporary.mkdir()
            save_file(dict(checkpoint.tensors), temporary / TENSORS)
            numbers = with_checksum({**checkpoint.numbers, _OF_TENSORS: file_checksum(temporary / TENSORS)})
            write_text(temporary / NUMBERS, json.dumps(numbers) + "\n")
            replace_directory(temporary, path)
    for _, old in sorted(_found(directory))[:-keep]:
        discard(old)
    return path


def read_checkpoint(directory: Path, needed: Collection[str] = ()) -> Checkpoint | None:
    """The newest checkpoint that can be read; None where there is none.

    Args:
        needed: numbers without which it counts as damaged.

    Raises:
        ModelError: there are some, and all are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not directory.is_dir():
        return None
    failed: dict[Path, str] = {}
    for _, path in sorted(_found(directory), reverse=True):
        try:
            numbers = loads((path / NUMBERS).read_text(encoding="utf-8"))
            require_intact(numbers)
            if _OF_TENSORS in numbers and numbers[_OF_TENSORS] != file_checksum(path / TENSORS):
                raise ValueError(f"{TENSORS} is not what was written")
            if "best_f1" in numbers:  # version 0.1
                numbers["best_score"] = numbers.pop("best_f1")
            if missing := sorted(set(needed) - set(numbers)):
                raise ValueError(f"{NUMBERS} lacks {missing[0]}")
            return Checkpoint(load_file(path / TENSORS), numbers, tuple(failed))
        except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
            failed[path] = str(error)
    if failed:
        told = "; ".join(f"{path}: {said}" for path, said in failed.items())
        raise ModelError(f"no checkpoint can be read: {told}", hint="begin anew with --overwrite.")
    return None


def _found(directory: Path) -> list[tuple[int, Path]]:
    return [(int(match[1]), path) for path in directory.iterdir() if (match := CHECKPOINT_NAME.fullmatch(path.name))]


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers of a model, each once."""
    return {f"model.{name}": tensor.detach().cpu().contiguous() for name, tensor in distinct_tensors(model)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The tensors that an optimizer keeps for each parameter, by the parameter's number."""
    return {
        f"optimizer.{number}.{name}": torch.as_tensor(value).detach().cpu().contiguous()
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def load_model(model: ExtractionModel, checkpoint: Checkpoint) -> None:
    """Copy the weights of a checkpoint into a model.

    Raises:
        ModelError: they do not fit.
    """
    stored = part_of(checkpoint, "model.")
    tasks = model.tasks
    weights = {name_of_earlier(name, tasks[0]) if len(tasks) == 1 else name: x for name, x in stored.items()}
    try:
        left = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ModelError(
            f"the checkpoint does not fit the model: {error}", hint="begin anew with --overwrite."
        ) from error
    tied = model_tensors(model)
    lacking = [name for name in left.missing_keys if f"model.{name}" in tied]
    if lacking or left.unexpected_keys:
        raise ModelError(
            f"the checkpoint does not fit the model: {(lacking or left.unexpected_keys)[0]}",
            hint="begin anew with --overwrite.",
        )


def load_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Give an optimizer, as freshly built, the state of a checkpoint."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in part_of(checkpoint, "optimizer.").items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for group, rate in zip(optimizer.param_groups, checkpoint.numbers["rates"], strict=True):
        group["lr"] = rate


def part_of(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): x for name, x in checkpoint.tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class RandomState:
    """Where the random generators of this process stand: torch's of the CPU and of each GPU, numpy's, Python's."""

    torch: tuple[Tensor, ...]
    numpy: tuple[str, list[int], int, int, float]
    python: tuple[Any, ...]

    @classmethod
    def now(cls) -> RandomState:
        """As they stand."""
        gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
        return cls(
            (torch.get_rng_state(), *gpus),
            (str(kind), np.asarray(keys).tolist(), int(place), int(has_gauss), float(gauss)),
            random.getstate(),
        )

    def restore(self) -> None:
        """Put them back; a GPU that was not there then keeps its own."""
        torch.set_rng_state(self.torch[0])
        for number, state in enumerate(self.torch[1:]):
            if number < torch.cuda.device_count():
                torch.cuda.set_rng_state(state, number)
        kind, keys, *rest = self.numpy
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # type: ignore[arg-type]
        version, inner, gauss = self.python
        random.setstate((version, tuple(inner), gauss))

    def tensors(self) -> dict[str, Tensor]:
        return {f"random.{number}": state for number, state in enumerate(self.torch)}

    def numbers(self) -> dict[str, Any]:
        return {"numpy": self.numpy, "python": self.python}

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> RandomState:
        """Those of a checkpoint."""
        tensors = part_of(checkpoint, "random.")
        numbers = checkpoint.numbers["random"]
        return cls(
            tuple(tensors[str(n)] for n in range(len(tensors))), tuple(numbers["numpy"]), tuple(numbers["python"])
        )
