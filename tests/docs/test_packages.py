"""The packages that the guide lists for a machine that only predicts are all that an exported model needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "fixtures" / "format_v2" / "ner" / "onnx"
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

denied = set(sys.argv[1].split(","))


class Denied(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in denied:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Denied())
sys.argv = ["ie", *sys.argv[2:]]
from ie_cli.__main__ import main

main()
"""


def test_an_exported_model_needs_only_the_listed_packages() -> None:
    guide = (ROOT / "docs" / "guide" / "export.md").read_text(encoding="utf-8")
    [listed] = re.findall(r"^pip install (.*\bonnxruntime\b.*)$", guide, re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.split(r"[^\w.-]", requirement)[0] for requirement in project["dependencies"]}
    denied = required - set(listed.split())
    assert {"torch", "transformers", "huggingface_hub"} <= denied
    text = str(ROOT / "data" / "samples" / "plain.txt")
    command = ["predict", text, "--text", "--model", str(MODEL)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(denied), *command], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"entities"') == 3
