"""Entry point of `ie` and `python -m ie_cli`: handle what must work before anything else is imported."""

from __future__ import annotations

import os
import signal
import sys

_OUT_OF_MEMORY = (
    b"error: out of memory at the start of the command\n"
    b"hint: free some memory, or raise the memory limit (`ulimit -v`, or that of the container).\n"
)


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Before a command runs there is nothing to clean up, and Python would print a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from ie_cli.cli import main as run
    except (MemoryError, ImportError, OSError) as error:
        # If a library does not fit into memory, its import fails with one of these errors.
        if not isinstance(error, MemoryError) and "alloc" not in str(error) and "failed to map" not in str(error):
            raise
        os.write(2, _OUT_OF_MEMORY)
        sys.exit(1)
    run()


if __name__ == "__main__":
    main()
