"""A worker process that encodes shards of documents: ``python -m ie_cli.training.encoding_worker``."""

from __future__ import annotations

import os
import signal
import sys

from ie_cli.system.json_reading import loads
from ie_cli.training.encoding_processes import encode_file, encoding_of


def main() -> None:
    """Answer each line of standard input: first the settings, then the shards; end with the process that sends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one decides
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries say is no answer
    encoding = encoding_of(loads(sys.stdin.readline()))
    print("done", file=answers, flush=True)  # noqa: T201 - the answer to the other process
    for line in sys.stdin:
        encode_file(loads(line), encoding)
        print("done", file=answers, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
