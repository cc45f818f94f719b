"""Train in one of two processes, and print what each has of the model: started by `processes.py` with torchrun.

    torchrun --standalone --nproc-per-node 2 benchmarks/worker_divided.py recipe.json RUN

The first process prints the bytes of the weights, their gradients and the state of the optimizer at the end of the last step, as
the process has them that has most of each, the sentences per second, the losses of the epochs and the F1.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor

from ie_cli.recipe.schema import Recipe
from ie_cli.training import loop
from ie_cli.training.events import Evaluated, Progress
from ie_cli.training.run import train


def here(tensors: Iterable[Tensor]) -> int:
    """Return the bytes that this process has of some tensors."""
    return sum((one.to_local() if isinstance(one, DTensor) else one).nbytes for one in tensors)


def measured(run: loop.Run) -> dict[str, int]:
    """Return the bytes that this process has of the model that is trained, and of the one that is evaluated, if it is another."""
    weights = {id(weight): weight for model in (run.model, run.setup.model) for weight in model.parameters()}
    return {
        "weights": here(weights.values()),
        "gradients": here(weight.grad for weight in run.model.parameters() if weight.grad is not None),
        "state": here(value for values in run.optimizer.state.values() for value in values.values()),
    }


def main() -> None:
    """Print a line of JSON."""
    recipe = Recipe.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    clip, found = loop.Run._clip, list[Any]()

    def clipped(run: loop.Run) -> Tensor:
        found[:] = [run.processes, measured(run)]
        return clip(run)

    loop.Run._clip = clipped  # type: ignore[method-assign]
    events = list(train(recipe, sys.argv[2], overwrite=True))
    processes, own = found
    every = processes.gather(own)
    if not processes.first:
        return
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    speeds = [event.rate for event in events if isinstance(event, Progress)][1:] or [one.rate for one in evaluated]
    result = {
        "bytes": {name: max(one[name] for one in every) for name in own},
        "speed": statistics.median(speeds),
        "losses": [event.loss for event in evaluated],
        "f1": evaluated[-1].primary,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
