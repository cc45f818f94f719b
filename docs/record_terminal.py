"""Record the first screen of the README as an SVG: run the commands and draw what they print.

    python docs/record_terminal.py MODEL_EN MODEL_ZH > docs/_static/terminal.svg

MODEL_EN and MODEL_ZH are the models of the recipes `quickstart-en` and `quickstart` (`make demo` trains both). The picture
contains no script and no web font.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH = 104
ENGLISH = "Mara Lindqvist founded Northwind Analytics in Oslo in 2014."
CHINESE = "林子涵从青川市出发，去听星辰科技总经理高长青的讲座。"
TRIPLES = "jq -c '.relations[] | [.subject.text, .predicate, .object.text]'"
ENTITIES = "jq -c '.entities[] | [.text, .label]'"


def screen(english: str, chinese: str) -> list[tuple[str, str]]:
    """Return the commands as they are shown and as they are run."""
    return [
        ("ie train quickstart-en", ""),
        (f'echo "{ENGLISH}" | ie predict - --text | {TRIPLES}', english),
        ("ie train quickstart", ""),
        (f'echo "{CHINESE}" | ie predict - --text | {ENTITIES}', chinese),
    ]


def run(command: str, model: str) -> str:
    """Run a command of the screen with a model; return its standard output."""
    with tempfile.TemporaryDirectory() as work:
        environment = os.environ | {"IE_MODEL": str(Path(model).resolve())}
        done = subprocess.run(
            ["bash", "-c", command], cwd=work, env=environment, capture_output=True, text=True, check=True
        )
    return done.stdout


def draw(lines: list[Text]) -> str:
    """Lines of a terminal as an SVG without web fonts."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    for line in lines:
        console.print(line, soft_wrap=False)
    svg = console.export_svg(title="ie", theme=MONOKAI, unique_id="ie-terminal")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    return svg.replace("Fira Code", "ui-monospace").replace("https://www.textualize.io", "")


def main() -> None:
    """Print the picture."""
    lines = []
    for command, model in screen(*sys.argv[1:3]):
        lines.append(Text.assemble(("$ ", "bold green"), (command, "bold")))
        lines += [Text(line) for line in (run(command, model).splitlines() if model else [])]
    sys.stdout.write(draw(lines))


if __name__ == "__main__":
    main()
