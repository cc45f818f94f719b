"""The end of a step in several processes: they average the gradients, and agree on what follows the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from torch import nn

from ie_cli.training.processes import Processes


@dataclass(frozen=True, slots=True)
class Agreement:
    """What follows a step: the wishes of one process, or what all of them do.

    Attributes:
        parts: number of parts in which each batch is computed.
        signum: the signal after which the run stops; 0 for none.
        progress: whether the progress is reported.
        checkpoint: whether a checkpoint is written, if the recipe leaves that to the time.
    """

    parts: int = 1
    signum: int = 0
    progress: bool = False
    checkpoint: bool = False


def finish_gradients(processes: Processes, parameters: Sequence[nn.Parameter], wish: Agreement) -> Agreement:
    """Average the gradients of a step over all processes, and return what all of them do: the highest of each wish.

    The few numbers go first, in one message, and say which gradients there are; then the gradients.

    Args:
        processes: the processes of the run.
        parameters: those whose gradients are not averaged yet.
        wish: what this process would do.
    """
    own = [int(value) for value in astuple(wish)]
    present = [parameter.grad is not None for parameter in parameters]
    parts, signum, progress, checkpoint, *there = processes.highest([*own, *present])
    processes.average_gradients(parameters, there)
    return Agreement(parts, signum, bool(progress), bool(checkpoint))
