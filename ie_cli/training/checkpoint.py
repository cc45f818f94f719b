"""Checkpoints of a training run: tensors in safetensors and numbers in JSON, without pickle, written atomically."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ie_cli.errors import ModelError
from ie_cli.modeling.model import ExtractionModel, distinct_tensors, rename_tensor_of_0_1
from ie_cli.system.atomic import replace_directory, storing
from ie_cli.system.checksums import file_checksum, require_intact, with_checksum
from ie_cli.system.json_reading import read_json
from ie_cli.system.temporary import workspace
from ie_cli.system.text import write_text
from ie_cli.training.divided_tensors import divided_like, stored_tensor
from ie_cli.training.run_directory import CHECKPOINT_NAME, discard

TENSORS, NUMBERS = "state.safetensors", "state.json"
_OTHERS = "random_of_others"
"""The field for the random generators of all processes but the first."""
_TENSORS_CHECKSUM = "tensors"
"""The field for the checksum of the tensor file; version 0.2 did not write it."""


@dataclass(frozen=True)
class Checkpoint:
    """The state from which a run is resumed.

    Attributes:
        tensors: tensors by name, as returned by `model_tensors`, `optimizer_tensors` and `random_tensors`.
        numbers: JSON values by name.
        damaged: newer checkpoints that could not be read.
    """

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]
    damaged: tuple[Path, ...] = ()


def write_checkpoint(directory: Path, step: int, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Store a checkpoint, and remove all but the last `keep` checkpoints of the directory.

    The checkpoint is synced to the disk before it gets its name, so that it never appears in part.

    Raises:
        StorageError: the checkpoint cannot be written; the older ones are kept.
    """
    from safetensors.torch import save_file

    path = directory / f"step-{step:09d}"
    with storing(path):
        directory.mkdir(exist_ok=True)
        with workspace(directory, path.name) as room:
            temporary = room / "new"
            temporary.mkdir()
            save_file(dict(checkpoint.tensors), temporary / TENSORS)
            numbers = with_checksum({**checkpoint.numbers, _TENSORS_CHECKSUM: file_checksum(temporary / TENSORS)})
            write_text(temporary / NUMBERS, json.dumps(numbers) + "\n")
            replace_directory(temporary, path)
    for _, old in sorted(_list_checkpoints(directory))[:-keep]:
        discard(old)
    return path


def read_checkpoint(directory: Path, needed: Collection[str] = ()) -> Checkpoint | None:
    """Read the newest intact checkpoint; return None if there are no checkpoints.

    Args:
        directory: the directory of the checkpoints.
        needed: names of numbers that a checkpoint must contain.

    Raises:
        ModelError: all checkpoints are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not directory.is_dir():
        return None
    failed: dict[Path, str] = {}
    for _, path in sorted(_list_checkpoints(directory), reverse=True):
        try:
            numbers = read_json(path / NUMBERS)
            require_intact(numbers)
            if _TENSORS_CHECKSUM in numbers and numbers[_TENSORS_CHECKSUM] != file_checksum(path / TENSORS):
                raise ValueError(f"{TENSORS} does not match its checksum")
            if "best_f1" in numbers:  # version 0.1
                numbers["best_score"] = numbers.pop("best_f1")
            if missing := sorted(set(needed) - set(numbers)):
                raise ValueError(f"{NUMBERS} lacks {missing[0]}")
            return Checkpoint(load_file(path / TENSORS), numbers, tuple(failed))
        except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
            failed[path] = str(error)
    if failed:
        errors = "; ".join(f"{path}: {error}" for path, error in failed.items())
        raise ModelError(f"no checkpoint can be read: {errors}", hint="start again with --overwrite.")
    return None


def _list_checkpoints(directory: Path) -> list[tuple[int, Path]]:
    return [(int(match[1]), path) for path in directory.iterdir() if (match := CHECKPOINT_NAME.fullmatch(path.name))]


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights and buffers of a model, each once."""
    return {f"model.{name}": tensor.detach().cpu().contiguous() for name, tensor in distinct_tensors(model)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the tensors that an optimizer stores for each parameter, by the parameter's number; see `stored_tensor`."""
    return {
        f"optimizer.{number}.{name}": stored_tensor(torch.as_tensor(value))
        for number, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def load_model(model: ExtractionModel, checkpoint: Checkpoint) -> None:
    """Load the weights of a checkpoint into a model.

    Raises:
        ModelError: the weights do not fit the model.
    """
    stored = part_of(checkpoint, "model.")
    tasks = model.tasks
    weights = {rename_tensor_of_0_1(name, tasks[0]) if len(tasks) == 1 else name: x for name, x in stored.items()}
    try:
        result = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ModelError(
            f"the checkpoint does not fit the model: {error}", hint="start again with --overwrite."
        ) from error
    tied = model_tensors(model)
    lacking = [name for name in result.missing_keys if f"model.{name}" in tied]
    if lacking or result.unexpected_keys:
        raise ModelError(
            f"the checkpoint does not fit the model: {(lacking or result.unexpected_keys)[0]}",
            hint="start again with --overwrite.",
        )


def load_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Load the state of a checkpoint into a newly built optimizer."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in part_of(checkpoint, "optimizer.").items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = divided_like(parameters[int(number)], tensor)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for group, rate in zip(optimizer.param_groups, checkpoint.numbers["rates"], strict=True):
        group["lr"] = rate


def part_of(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, by their names without it."""
    return {name.removeprefix(prefix): x for name, x in checkpoint.tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class RandomState:
    """The state of the random generators of this process: torch (CPU and each GPU), numpy and Python."""

    torch: tuple[Tensor, ...]
    numpy: tuple[str, list[int], int, int, float]
    python: tuple[Any, ...]

    @classmethod
    def now(cls) -> RandomState:
        """Return the current state."""
        gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
        return cls(
            (torch.get_rng_state(), *gpus),
            (str(kind), np.asarray(keys).tolist(), int(place), int(has_gauss), float(gauss)),
            random.getstate(),
        )

    def restore(self) -> None:
        """Restore the state; a GPU that did not exist before keeps its own."""
        torch.set_rng_state(self.torch[0])
        for number, state in enumerate(self.torch[1:]):
            if number < torch.cuda.device_count():
                torch.cuda.set_rng_state(state, number)
        kind, keys, *rest = self.numpy
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # type: ignore[arg-type]
        version, inner, gauss = self.python
        random.setstate((version, tuple(inner), gauss))

    def numbers(self) -> dict[str, Any]:
        """Return the state of the generators of numpy and Python for a checkpoint."""
        return {"numpy": self.numpy, "python": self.python}

    @classmethod
    def of(cls, checkpoint: Checkpoint, process: int = 0) -> RandomState | None:
        """Return the state of a process that is stored in a checkpoint; None if it was written by fewer processes."""
        others = checkpoint.numbers.get(_OTHERS, [])
        if process > len(others):
            return None
        tensors = part_of(checkpoint, _prefix(process))
        numbers = others[process - 1] if process else checkpoint.numbers["random"]
        return cls(
            tuple(tensors[str(n)] for n in range(len(tensors))), tuple(numbers["numpy"]), tuple(numbers["python"])
        )


def stored_processes(checkpoint: Checkpoint) -> int:
    """Return the number of processes that wrote a checkpoint."""
    return 1 + len(checkpoint.numbers.get(_OTHERS, []))


def random_tensors(states: Sequence[RandomState]) -> dict[str, Tensor]:
    """Return the states of torch's generators in all processes for a checkpoint."""
    return {
        f"{_prefix(process)}{number}": tensor
        for process, state in enumerate(states)
        for number, tensor in enumerate(state.torch)
    }


def random_numbers(states: Sequence[RandomState]) -> dict[str, Any]:
    """Return the states of the other generators in all processes for a checkpoint; those of the first one as before."""
    first, *others = [state.numbers() for state in states]
    return {"random": first, **({_OTHERS: others} if others else {})}


def _prefix(process: int) -> str:
    return f"process.{process}.random." if process else "random."
