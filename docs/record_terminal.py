"""Record terminals as SVGs: run commands in an empty directory and draw what they print.

    python docs/record_terminal.py > docs/_static/terminal.svg    # the first screen of the README
    python docs/record_terminal.py --guide                        # docs/_static/guide-*.svg, without training

The first one trains both quickstart recipes, which takes a few minutes. Of the output of `ie train` the picture shows the
summary, the evaluations on dev and the path of the model. The pictures of the guide need only the samples in `data/`. None
contains a script or a web font.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 104
ENGLISH = "Mara Lindqvist founded Northwind Analytics in Oslo in 2014."
CHINESE = "云州大学教授周雨晨的新书《北方的灯塔》在青川市首发。"
PREDICT = 'echo "{text}" \\\n    | ie predict - --text --model runs/{model}/model'
SCREEN = [
    "ie train quickstart-en",
    PREDICT.format(text=ENGLISH, model="quickstart-en")
    + " \\\n    | jq -c '.relations[] | [.subject.text, .predicate, .object.text]'",
    "ie train quickstart --quiet",
    PREDICT.format(text=CHINESE, model="quickstart") + " \\\n    | jq -c '[.entities[] | {(.text): .label}] | add'",
]
SHOWN = re.compile(r"\d+ examples|epoch |model: ")
"""The lines of a training run that the picture shows."""
EXPORTS = ["people.label_studio.json first.jsonl", "people.doccano.jsonl second.jsonl"]
CONVERT = [f"ie convert --quiet data/samples/{files}" for files in EXPORTS]
GUIDE = {
    "view": (CONVERT, 'ie view first.jsonl second.jsonl --grep "port elin"', "Records with entities and relations"),
    "check": (CONVERT, "ie check first.jsonl second.jsonl --fail-on warning", "The findings of a check of data"),
    "diff": (
        [*CONVERT, f"{CONVERT[1]} --trim"],
        "ie diff first.jsonl second.jsonl --by text",
        "The agreement of two annotators",
    ),
}
"""Of each picture of the guide the commands before it, the one that it shows, and what it shows in words."""


def run(command: str, directory: str) -> Iterator[str]:
    """Run a command and yield the lines of its output that are shown."""
    done = subprocess.run(["bash", "-c", command], cwd=directory, capture_output=True, text=True, check=True)
    yield from (line for line in done.stderr.splitlines() if SHOWN.match(line))
    yield from done.stdout.splitlines()


def run_here(command: str, directory: str, *, colour: bool = False) -> str:
    """Run a command of `ie`, whatever its exit code, and return its output, both streams in their order."""
    place = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": str(WIDTH)}
    done = subprocess.run(
        ["bash", "-c", command.replace("ie ", f"{sys.executable} -m ie_cli ", 1)],
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.endswith("_COLOR")}
        | place
        | ({"FORCE_COLOR": "1"} if colour else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout


def record_guide(name: str) -> str:
    """Record a picture of the guide."""
    before, command, title = GUIDE[name]
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(ROOT / "data" / "samples", Path(directory, "data", "samples"))
        for one in before:
            run_here(one, directory)
        # With FORCE_COLOR, some commands would draw the bars of a terminal, too.
        option = " --color" if name == "view" else ""
        printed = run_here(command + option, directory, colour=name == "check")
    shown = Text.assemble(("$ ", "bold green"), (command, "bold"))
    return draw([shown, *map(Text.from_ansi, printed.strip("\n").splitlines())], title=title, name=f"ie-{name}")


def draw(lines: list[Text], *, title: str = "A terminal: training and prediction", name: str = "ie-terminal") -> str:
    """Draw the lines of a terminal as an SVG without web fonts."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    for line in lines:
        console.print(line)
    svg = console.export_svg(title="ie", theme=MONOKAI, unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->", "", svg, flags=re.S).replace("Fira Code", "ui-monospace")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def main() -> None:
    """Print the first screen of the README, or write the pictures of the guide."""
    if sys.argv[1:] == ["--guide"]:
        for name in GUIDE:
            (ROOT / "docs" / "_static" / f"guide-{name}.svg").write_text(record_guide(name) + "\n", encoding="utf-8")
        return
    lines = []
    with tempfile.TemporaryDirectory() as directory:
        for command in SCREEN:
            lines.append(Text.assemble(("$ ", "bold green"), (command, "bold")))
            lines += [Text(line) for line in run(command, directory)]
    sys.stdout.write(draw(lines) + "\n")


if __name__ == "__main__":
    main()
