"""Measure the responses per second and the waiting times of `ie serve` with one, many and unfair clients.

    python benchmarks/service.py MODEL [--seconds 8] [--before CHECKOUT] [--corpus FILE] [--write]

Each scenario starts the service as a separate process. With `--before`, another checkout takes turns with this one.
The clients are one process; they share the machine with the service.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np
from harness import machine, write_section

ROOT = Path(__file__).parent.parent
PATIENCE = 90  # the seconds for one response; the timeout of the service is 30


@dataclass
class Seen:
    """The responses that some clients got: the status and the seconds of each."""

    answers: list[tuple[int, float]] = field(default_factory=list)
    wall: float = 0.0

    @property
    def good(self) -> list[float]:
        return [seconds for status, seconds in self.answers if status == 200]

    def rate(self) -> str:
        """The responses with status 200 per second."""
        return f"{len(self.good) / self.wall:,.0f}"

    def waits(self) -> str:
        """The median and the 99th percentile of the time to a response with status 200, in milliseconds."""
        if not self.good:
            return "–"
        return " / ".join(f"{1000 * value:,.0f}" for value in np.percentile(self.good, [50, 99]))

    def statuses(self) -> str:
        """The number of responses of each status."""
        counts = Counter(status for status, _ in self.answers)
        return ", ".join(f"{number:,} × {status or 'cut off'}" for status, number in sorted(counts.items()))


class Client:
    """One persistent connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """Send one request and read its response; return 0 if the connection was closed."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**26)
            reader, writer = self._streams
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            found = re.search(rb"content-length: (\d+)", head.lower())
            await reader.readexactly(int(found[1]) if found else 0)
            if b"connection: close" in head.lower():
                self.close()
            return int(head[9:12])
        except (TimeoutError, OSError, EOFError):
            self.close()
            return 0

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def post(body: dict[str, object]) -> bytes:
    """A request of texts."""
    raw = json.dumps(body, ensure_ascii=False).encode()
    head = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    return head.format(len(raw)).encode() + raw


HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def ask_until(port: int, requests: Iterator[bytes], end: float, seen: Seen, *, pause: float = 0.0) -> None:
    """One client, which sends the next request when it has its response."""
    client = Client(port)
    while time.perf_counter() < end:
        began = time.perf_counter()
        status = await client.ask(next(requests))
        seen.answers.append((status, time.perf_counter() - began))
        await asyncio.sleep(pause)
    client.close()


async def many(port: int, clients: int, requests: Sequence[bytes], seconds: float) -> Seen:
    """Run that many clients of short texts."""
    seen, began = Seen(), time.perf_counter()
    end = began + seconds
    starts = [requests[number % len(requests) :] + requests[: number % len(requests)] for number in range(clients)]
    await asyncio.gather(*(ask_until(port, cycle(own), end, seen) for own in starts))
    seen.wall = time.perf_counter() - began
    return seen


async def unfair(port: int, large: Sequence[bytes], short: Sequence[bytes], seconds: float) -> dict[str, Seen]:
    """Run a client of short texts and one of /health, beside clients of large requests."""
    seen = {name: Seen() for name in ("large", "short", "health")}
    end = time.perf_counter() + seconds
    clients = [asyncio.ensure_future(ask_until(port, cycle([one]), end, seen["large"])) for one in large]
    await asyncio.sleep(0.2)
    await asyncio.gather(
        ask_until(port, cycle(short), end, seen["short"], pause=0.02),
        ask_until(port, cycle([HEALTH]), end, seen["health"], pause=0.02),
    )
    await asyncio.gather(*clients)
    return seen


@asynccontextmanager
async def idle_connections(port: int, number: int) -> AsyncIterator[None]:
    """Open connections that send nothing."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(number)]
    try:
        yield
    finally:
        for _, writer in streams:
            writer.close()


@contextmanager
def service(checkout: Path, model: Path) -> Iterator[int]:
    """Start `ie serve` of a checkout; yield its port."""
    command = [sys.executable, "-m", "ie_cli", "serve", str(model), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with subprocess.Popen(command, cwd=checkout, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = ""
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", said)):
                line = process.stderr.readline()
                if not line:
                    raise SystemExit(f"{checkout}: the service did not start:\n{said}")
                said += line
            yield int(found[1])
        finally:
            process.terminate()
            process.communicate()


def rows(checkout: Path, model: Path, texts: list[str], seconds: float) -> dict[str, str]:
    """Run all scenarios with one checkout; each is a row of the table."""
    found: dict[str, str] = {}
    short = [post({"text": text}) for text in texts[:256]]
    long_text = "".join(texts * (100_000 // sum(map(len, texts)) + 1))
    with service(checkout, model) as port:
        asyncio.run(many(port, 4, short, 1.0))  # the first batches are slow
        for clients in (1, 8, 32, 128):
            seen = asyncio.run(many(port, clients, short, seconds))
            found[f"{clients} clients of short texts: responses/s"] = seen.rate()
            found[f"{clients} clients of short texts: ms, median / p99"] = seen.waits()
            found[f"{clients} clients of short texts: statuses"] = seen.statuses()
    body = 0.96e6  # bytes; a character takes up to three in UTF-8
    cut = int(body / max(1, len(long_text[:10_000].encode()) / 10_000))
    whole = [long_text[start : start + 10_000] for start in range(0, min(cut, len(long_text)), 10_000)]
    scenarios = {
        "1 text of 100,000 characters": [post({"text": long_text[:100_000]})],
        "a body of 0.96 MB": [post({"texts": (whole * 100)[: max(1, cut // 10_000)]})],
        "8 requests of 300 KB": [post({"texts": (whole * 100)[: max(1, cut // 32_000)]})] * 8,
    }
    for name, large in scenarios.items():
        with service(checkout, model) as port:
            asyncio.run(many(port, 1, short, 1.0))
            beside = asyncio.run(unfair(port, large, short, max(seconds, 30.0) if len(large) > 1 else seconds))
            found[f"{name}: its own statuses"] = beside["large"].statuses()
            found[f"{name}: its own ms, median / p99"] = beside["large"].waits()
            found[f"a short text beside {name}: ms, median / p99"] = beside["short"].waits()
            found[f"a short text beside {name}: statuses"] = beside["short"].statuses()
            found[f"/health beside {name}: ms, median / p99"] = beside["health"].waits()
    with service(checkout, model) as port:

        async def truncated() -> Seen:
            async with idle_connections(port, 300):
                return await many(port, 1, [HEALTH], 2.0)

        found["/health beside 300 open connections: statuses"] = asyncio.run(truncated()).statuses()
    return found


def table(columns: dict[str, dict[str, str]]) -> str:
    """The rows as Markdown."""
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name in next(iter(columns.values())):
        lines.append(f"| {name} | {' | '.join(column[name] for column in columns.values())} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--before", type=Path, help="another checkout to compare with")
    parser.add_argument("--corpus", type=Path, default=ROOT / "data" / "quickstart" / "dev.json")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each number of clients")
    parser.add_argument("--write", action="store_true", help="write the table into RESULTS.md")
    options = parser.parse_args()
    texts = [json.loads(line)["text"] for line in options.corpus.read_text(encoding="utf-8").splitlines()]
    checkouts: dict[str, Path] = {"before": options.before.resolve()} if options.before is not None else {}
    checkouts["now"] = ROOT
    columns = {name: rows(path, options.model.resolve(), texts, options.seconds) for name, path in checkouts.items()}
    print(text := table(columns))
    if options.write:
        command = f"python benchmarks/service.py MODEL --seconds {options.seconds:g}"
        facts = "\n".join(machine({"here": sys.executable}))
        write_section(ROOT / "benchmarks" / "RESULTS.md", "service", f"`{command}`\n\n{facts}\n\n{text}\n")


if __name__ == "__main__":
    main()
