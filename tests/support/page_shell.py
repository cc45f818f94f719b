"""What a block `sh` of a page does, without a shell: `ie` runs in this process, few other programs in their own."""

from __future__ import annotations

import glob
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from support.pages import Block, Call, UnreadableCommand, ie_words, pipelines
from support.runner import ie

from ie_cli.commands import serve
from ie_cli.commands.inputs import ModelChoice
from ie_cli.commands.recipe_argument import read_recipe
from ie_cli.serving.app import Service, build_app, model_facts
from ie_cli.serving.limits import Limits
from ie_cli.serving.worker import Worker

PROGRAMS = frozenset(
    """
    awk cat cp cut diff echo grep gzip gunzip head iconv jq ls mkdir mv openssl paste printf rm sed sort tail tee tr uniq wc
    xargs zcat zstd
    """.split()  # noqa: SIM905
)
"""They run if they are installed; if not, the rest of their pipeline is left out."""
CHECKED = frozenset({"make", "pip", "git", "source", ".", "docker", "pre-commit", "torchrun", "accelerate"})
"""They change more than the page's directory; tests/docs/test_commands.py looks at what they name."""
LEFT_OUT = None
"""Instead of an exit code: the program is not there, or is not for tests."""


@dataclass(slots=True)
class PageShell:
    """The commands of a page, in the current directory.

    Attributes:
        made_before: the directories of runs that the page has not made itself: `ie train` makes them again.
        resources: closed at the end of the page.
        printed: what the terminal shows of the commands of the latest block.
    """

    made_before: set[str] = field(default_factory=set)
    resources: ExitStack = field(default_factory=ExitStack)
    client: TestClient | None = None
    printed: str = ""
    _output: str | None = field(default=None, init=False)

    def run(self, block: Block) -> None:
        """Run the commands of a block.

        Raises:
            AssertionError: a command fails that should not, or the last one ends otherwise than the page says.
        """
        self.printed = ""
        found = list(pipelines(block.text))
        for number, calls in enumerate(found):
            expected = block.exit_code if number == len(found) - 1 else 0
            self._pipeline(calls, expected)

    def _pipeline(self, calls: Sequence[Call], expected: int) -> None:
        data = b""
        for number, call in enumerate(calls):
            stdin = Path(call.stdin).read_bytes() if call.stdin else data
            self._output = None
            code, data, errors = self._call(call, stdin)
            if code is LEFT_OUT:
                return
            wanted = expected if number == len(calls) - 1 else 0
            assert code == wanted, f"{' '.join(call.words)} ended with {code}: {errors or data.decode()}"
            self._show(call, data, errors, last=number == len(calls) - 1)
            if call.stderr:
                Path(call.stderr).write_text(errors, encoding="utf-8")
            if call.stdout:
                with open(call.stdout, "ab" if call.append else "wb") as file:
                    file.write(data)
                data = b""

    def _show(self, call: Call, data: bytes, errors: str, *, last: bool) -> None:
        """Add what a program prints to what the terminal shows: `ie` mixes both streams in their order."""
        if last and not call.stdout and not call.stderr:
            self.printed += self._output if self._output is not None else errors + data.decode()
        elif not call.stderr:
            self.printed += errors

    def _call(self, call: Call, stdin: bytes) -> tuple[int | None, bytes, str]:
        """The exit code, stdout and stderr of a program."""
        if not call.words or call.words[0] == "export":
            pairs = [word.split("=", 1) for word in call.words[1:]] + list(map(list, call.variables))
            self.resources.enter_context(variables(pairs))
            return 0, b"", ""
        with variables(call.variables):
            if (words := ie_words(call)) is not None:
                return self._ie(_expanded(words), stdin)
            program, *words = _expanded(call.words)
            if program == "curl":
                return self._curl(words, stdin)
            if program == "python":
                return _python(words)
            if program in PROGRAMS:
                return _process([program, *words], stdin)
        if program in CHECKED:
            return LEFT_OUT, b"", ""
        raise UnreadableCommand(f"{program}: a program that the tests of the documentation do not run")

    def _ie(self, words: list[str], stdin: bytes) -> tuple[int, bytes, str]:
        if words[:1] == ["train"] and not {"-h", "--help"} & set(words):
            words = self._short_run(words)
        if words[:1] == ["serve"]:
            with patched(serve, "run_serve", self._serve):
                result = ie(*words)
        else:
            result = ie(*words, stdin=stdin)
        self._output = result.output
        return result.exit_code, result.stdout_bytes, result.stderr

    def _short_run(self, words: list[str]) -> list[str]:
        """`ie train` with one epoch, as if nobody had trained before."""
        name, options = words[1], words[2:]
        settings = [options[at + 1] for at, word in enumerate(options) if word == "--set"]
        named = [options[at + 1] for at, word in enumerate(options) if word in ("-o", "--output")]
        directory = os.path.normpath(named[0] if named else f"runs/{read_recipe(name, settings).name}")
        if directory in self.made_before:
            self.made_before.remove(directory)
            shutil.rmtree(directory)
        options = [re.sub(r"^training\.epochs=.*", "training.epochs=1", word) for word in options]
        return ["train", name, *options, "--set", "training.epochs=1"]

    def _serve(
        self, choice: ModelChoice, host: str, port: int, token: str | None, limits: Limits, *, quiet: bool
    ) -> None:
        """`ie serve` in this process; `curl` asks it."""
        engine, extractor = choice.engine()
        worker = Worker(engine, slots=limits.concurrency, seconds=limits.timeout)
        self.resources.callback(worker.close)
        facts = model_facts(extractor.recipe, extractor.tasks)
        app = build_app(Service(worker, facts, limits, token, None, _raise_again))
        self.client = self.resources.enter_context(TestClient(app, base_url=f"http://{host}:{port}"))

    def _curl(self, words: Sequence[str], stdin: bytes) -> tuple[int, bytes, str]:
        """`curl` with the options that pages use."""
        assert self.client is not None, "curl: nothing serves on this page before it"
        method, url, body, headers, fails = None, "", None, {}, False
        rest = iter(words)
        for word in rest:
            if word in ("-X", "--request"):
                method = next(rest)
            elif word in ("-H", "--header"):
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            elif word in ("-d", "--data", "--data-binary", "--json"):
                body = _body(next(rest), stdin)
                headers.setdefault("Content-Type", "application/json" if word == "--json" else "text/plain")
            elif re.fullmatch("-[sSfN]+|--(silent|show-error|fail)", word):
                fails = fails or "f" in word.removeprefix("--s")
            elif word.startswith("-"):
                raise UnreadableCommand(f"curl {word}: an option that the tests of the documentation do not know")
            else:
                url = re.sub(r"^(https?://)?[^/]+", "", word) or "/"
        answer = self.client.request(method or ("GET" if body is None else "POST"), url, content=body, headers=headers)
        refused = fails and answer.status_code >= 400
        return 22 if refused else 0, answer.content, answer.text if refused else ""


def _raise_again(number: str, error: Exception) -> None:
    raise error


def _body(text: str, stdin: bytes) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    return stdin if text == "@-" else Path(text[1:]).read_bytes()


def _expanded(words: Sequence[str]) -> list[str]:
    """The words, names of files for patterns."""
    return [name for word in words for name in (("*" in word and sorted(glob.glob(word))) or [word])]


def _process(words: Sequence[str], stdin: bytes) -> tuple[int | None, bytes, str]:
    if shutil.which(words[0]) is None:
        return LEFT_OUT, b"", ""
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


def _python(words: Sequence[str]) -> tuple[int, bytes, str]:
    """A script, in this process."""
    if words[:1] == ["-m"] or not words or words[0].startswith("-"):
        raise UnreadableCommand("python with an option: a command that the tests of the documentation do not run")
    out = StringIO()
    with patched(sys, "argv", list(words)), redirect_stdout(out):
        runpy.run_path(words[0], run_name="__main__")
    return 0, out.getvalue().encode(), ""


@contextmanager
def patched(thing: Any, name: str, value: Any) -> Iterator[None]:
    """Set an attribute for a while."""
    before = getattr(thing, name)
    setattr(thing, name, value)
    try:
        yield
    finally:
        setattr(thing, name, before)


@contextmanager
def variables(pairs: Sequence[Sequence[str]]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name, _ in pairs}
    os.environ.update({name: value for name, value in pairs})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def require_printed(shown: str, printed: str) -> None:
    """Compare what a page shows with what its commands have printed; a line `…` stands for any number of lines.

    Raises:
        AssertionError: something else is printed.
    """
    parts = re.split(r"^…\n", _stripped(shown), flags=re.M)
    pattern = "(?:.*\n)*?".join(re.escape(part) for part in parts)
    assert re.fullmatch(pattern, _stripped(printed)), f"the page shows\n{shown}but this is printed:\n{printed}"


def _stripped(text: str) -> str:
    """The lines of a text without spaces at their ends and without empty lines around them."""
    return "".join(f"{line.rstrip()}\n" for line in text.strip("\n").splitlines())


def require_json(text: str, *, lines: bool) -> None:
    """Parse a block `json` or `jsonl`."""
    for part in filter(str.strip, text.splitlines() if lines else [text]):
        json.loads(part)
