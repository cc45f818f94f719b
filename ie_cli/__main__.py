"""The command `ie`, which is `python -m ie_cli` too: what must hold before anything else is imported."""

from __future__ import annotations

import os
import signal
import sys

_TOO_LITTLE = (
    b"error: out of memory at the start of the command\n"
    b"hint: free some memory, or raise its limit (`ulimit -v`, or that of the container).\n"
)


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until a command runs there is nothing to tidy, and Python would show where it was.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from ie_cli.cli import main as run
    except (MemoryError, ImportError, OSError) as error:
        # A library that does not fit in is an error of its import.
        if not isinstance(error, MemoryError) and "alloc" not in str(error) and "failed to map" not in str(error):
            raise
        os.write(2, _TOO_LITTLE)
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
