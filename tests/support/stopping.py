"""A stop that comes by itself."""

from __future__ import annotations

from ie_cli.system.signals import Stop, Stopped


class StopAfter(Stop):
    """Stops a run when it has looked so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def check(self) -> None:
        self.looks -= 1
        if self.looks < 0:
            raise Stopped(2)
