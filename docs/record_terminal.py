"""Record the first screen of the README as an SVG: run its commands in an empty directory and draw what they print.

    python docs/record_terminal.py > docs/_static/terminal.svg

This trains both quickstart recipes, which takes a few minutes. Of the output of `ie train` the picture shows the summary, the
evaluations on dev and the path of the model. It contains no script and no web font.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

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


def run(command: str, directory: str) -> Iterator[str]:
    """Run a command and yield the lines of its output that are shown."""
    done = subprocess.run(["bash", "-c", command], cwd=directory, capture_output=True, text=True, check=True)
    yield from (line for line in done.stderr.splitlines() if SHOWN.match(line))
    yield from done.stdout.splitlines()


def draw(lines: list[Text]) -> str:
    """Draw the lines of a terminal as an SVG without web fonts."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    for line in lines:
        console.print(line)
    svg = console.export_svg(title="ie", theme=MONOKAI, unique_id="ie-terminal")
    svg = re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->", "", svg, flags=re.S).replace("Fira Code", "ui-monospace")
    return svg.replace("<svg ", '<svg role="img" aria-label="A terminal: training and prediction" ', 1)


def main() -> None:
    """Run the commands and print the picture."""
    lines = []
    with tempfile.TemporaryDirectory() as directory:
        for command in SCREEN:
            lines.append(Text.assemble(("$ ", "bold green"), (command, "bold")))
            lines += [Text(line) for line in run(command, directory)]
    sys.stdout.write(draw(lines) + "\n")


if __name__ == "__main__":
    main()
