"""What to say about errors of the libraries that end a run."""

from __future__ import annotations

from ie_cli.errors import TrainingError
from ie_cli.modeling.compilation import compilation_error
from ie_cli.system.memory import is_out_of_memory


def explained(error: BaseException, step: int) -> TrainingError | None:
    """Return an error with a hint for one that has ended a run after a step, or None if there is nothing to say."""
    if (problem := compilation_error(error)) is not None:
        return TrainingError(
            f"training.compile: the encoder cannot be compiled: {problem}",
            hint="install a C++ compiler, e.g. with apt-get install g++, or remove training.compile.",
        )
    if is_out_of_memory(error):
        return TrainingError(
            f"out of memory after step {step}, outside the training batches",
            hint="lower training.eval_batch_size, and continue from the last checkpoint with --resume.",
        )
    return None
