"""Throw mutated samples and damaged files at everything that reads; what is not an error of ours is a finding, kept for replay.

    python tests/support/fuzz.py --seconds 3600 --seed 7
    python tests/support/fuzz.py --replay .fuzz/read-conll04@3f2a9c17

Exit code 1 where something was found.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import random
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.fuzz_damage import damage_targets  # noqa: E402
from support.fuzz_targets import Broken, Target, targets  # noqa: E402

from ie_cli.errors import IEError  # noqa: E402

MOST_SECONDS = 20.0
"""For one input."""


class Hung(BaseException):
    """An input took too long; no handler of ours takes it for an error of the input."""


@dataclass(slots=True)
class Report:
    """What was tried.

    Attributes:
        found: the file of each kind of finding.
    """

    seed: int
    seconds: float = 0.0
    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    found: dict[str, Path] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The report as a table."""
        rows = [f"{name:22} {count:9,} inputs, {self.refused[name]:9,} refused" for name, count in self.tried.items()]
        total = f"seed {self.seed}: {self.tried.total():,} inputs in {self.seconds:.0f} s, {len(self.found)} findings"
        return [*sorted(rows), total, *(f"  {kind}\n    {path}" for kind, path in self.found.items())]


def attempt(target: Target, data: bytes) -> BaseException | None:
    """Run a target; None where it ended as it should, also by an error of ours."""
    _wake_after(MOST_SECONDS)
    try:
        target.run(data)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # panics of Rust libraries are no Exception
        return error
    finally:
        _wake_after(0)
    return None


def kind_of(target: Target, error: BaseException) -> str:
    """What is one finding: the error and the line of ours that it came through last."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.name != "need"]
    frames = [f for f in frames if "/ie_cli/" in f.filename and not isinstance(error, Broken)] or frames
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
    return f"{target.name}: {type(error).__name__} at {place}: {next(iter(str(error).splitlines()), '')[:200]}"


def fuzz(chosen: Mapping[str, Target], *, seconds: float, seed: int, directory: Path) -> Report:
    """Try random inputs until the time is over."""
    source, report, names = random.Random(seed), Report(seed), list(chosen)
    kinds: set[str] = set()
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        target = chosen[source.choices(names, [chosen[name].weight for name in names])[0]]
        data = target.draw(source)
        report.tried[target.name] += 1
        error = attempt(target, data)
        if isinstance(error, IEError):
            report.refused[target.name] += 1
        elif error is not None:
            kind = kind_of(target, error)
            short = kind.partition(": ")[2].split(": ")[0]  # one of each place, whatever it says
            if short not in kinds:
                kinds.add(short)
                report.found[kind] = save(target, data, error, directory)
    report.seconds = time.monotonic() - began
    return report


def save(target: Target, data: bytes, error: BaseException, directory: Path) -> Path:
    """Keep an input, and beside it how it ended."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{target.name}@{hashlib.blake2b(data, digest_size=4).hexdigest()}"
    path.write_bytes(data)
    path.with_name(path.name + ".txt").write_text(
        "".join(traceback.format_exception(error)), "utf-8", "backslashreplace"
    )
    return path


def replay(chosen: Mapping[str, Target], path: Path) -> int:
    """Run a kept input again."""
    target = chosen[path.name.partition("@")[0]]
    target.samples()  # it may make what is damaged
    error = attempt(target, path.read_bytes())
    if error is None or isinstance(error, IEError):
        sys.stdout.write(f"{path}: fine{f': {error}' if error else ''}\n")
        return 0
    sys.stdout.write("".join(traceback.format_exception(error)))
    return 1


def _wake_after(seconds: float) -> None:
    if hasattr(signal, "setitimer"):  # Windows has none: there an input may hang
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _hang(signum: int, frame: FrameType | None) -> None:
    raise Hung(f"more than {MOST_SECONDS:g} s")


def all_targets() -> dict[str, Target]:
    """What reads samples, and what reads stored files that were damaged."""
    return targets() | {target.name: target for target in damage_targets()}


def prepare() -> None:
    """Let warnings be findings, and hangs end."""
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, _hang)
    warnings.simplefilter("error")
    logging.disable(logging.ERROR)


def main(arguments: Sequence[str] | None = None, chosen: Mapping[str, Target] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None, help="default: a different one each time")
    parser.add_argument("--target", action="append", help="one of: " + ", ".join(all_targets()))
    parser.add_argument("--directory", type=Path, default=ROOT / ".fuzz", help="where findings are kept")
    parser.add_argument("--replay", type=Path, help="an input that was kept")
    options = parser.parse_args(arguments)
    chosen = chosen if chosen is not None else all_targets()
    prepare()
    if options.replay:
        return replay(chosen, options.replay)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    some = {name: chosen[name] for name in options.target or chosen}
    report = fuzz(some, seconds=options.seconds, seed=seed, directory=options.directory)
    sys.stdout.write("".join(f"{line}\n" for line in report.lines()))
    return 1 if report.found else 0


if __name__ == "__main__":
    sys.exit(main())
