"""The distribution for machines that only predict: the same files, and the requirements that exported models need."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from ie_cli.system.distribution import FULL, PREDICT, PREDICT_EXTRAS

ROOT = Path(__file__).parent.parent
LIGHT = ROOT / "distributions" / "predict"
MODEL = ROOT / "tests" / "fixtures" / "format_v2" / "ner" / "onnx"
DATA = ROOT / "data"
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

denied = set(sys.argv[1].split(","))


class Denied(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if {name, name.partition(".")[0]} & denied:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Denied())
"""
RUN = """
from ie_cli.cli import main

for line in sys.stdin.read().splitlines():
    sys.argv = ["ie", *line.split("\\t")]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


def configuration(directory: Path) -> dict[str, Any]:
    return tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))


def included(directory: Path) -> dict[Path, str]:
    """Return the names in the wheel of the files and directories that it is built from."""
    wheel = configuration(directory)["tool"]["hatch"]["build"]["targets"]["wheel"]
    named = {name: name for name in wheel.get("packages", [])} | wheel["force-include"]
    return {(directory / source).resolve(): target for source, target in named.items()}


def names(lines: list[str]) -> set[str]:
    return {Requirement(line).name for line in lines}


FULL_PROJECT = configuration(ROOT)["project"]
LIGHT_PROJECT = configuration(LIGHT)["project"]
EXTRAS = FULL_PROJECT["optional-dependencies"]


def test_hints_know_both_distributions() -> None:
    assert (FULL_PROJECT["name"], LIGHT_PROJECT["name"]) == (FULL, PREDICT)
    assert LIGHT_PROJECT["optional-dependencies"].keys() == PREDICT_EXTRAS


def test_the_ranges_are_those_of_the_full_distribution() -> None:
    assert set(LIGHT_PROJECT["dependencies"]) <= {*FULL_PROJECT["dependencies"], *EXTRAS["onnx"]}
    for extra, lines in LIGHT_PROJECT["optional-dependencies"].items():
        assert lines == EXTRAS[extra]


def test_both_distributions_have_the_same_files_and_metadata() -> None:
    assert included(LIGHT) == included(ROOT)
    assert all(path.exists() for path in included(LIGHT))
    for field in ("requires-python", "scripts", "license", "license-files", "dynamic"):
        assert LIGHT_PROJECT[field] == FULL_PROJECT[field]
    versions = [
        {line for line in project["classifiers"] if line.startswith("Programming Language")}
        for project in (LIGHT_PROJECT, FULL_PROJECT)
    ]
    assert versions[0] == versions[1]
    for directory in (LIGHT, ROOT):
        version = configuration(directory)["tool"]["hatch"]["version"]["path"]
        assert (directory / version).resolve() == ROOT / "ie_cli" / "__init__.py"
    assert (LIGHT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def commands(directory: Path) -> list[list[str]]:
    gold, written = str(DATA / "samples" / "ner.cluener.json"), str(directory / "predicted.jsonl")
    return [
        ["predict", str(DATA / "samples" / "plain.txt"), "--text", "--model", str(MODEL)],
        ["predict", gold, "--model", str(MODEL), "--output", written],
        ["predict", gold, "--model", str(MODEL), "--output", f"{directory / 'shards'}/"],
        ["eval", str(MODEL), gold, "--json"],
        ["eval", gold, "--predictions", written, "--json"],
        ["convert", gold, (directory / "gold.conll").as_uri(), "--to", "conll"],
        ["split", gold, "--output", str(directory / "parts"), "--dev", "0.5", "--test", "0", "--seed", "1"],
        ["merge", gold, written, "--output", str(directory / "merged.jsonl"), "--on-conflict", "union"],
        ["diff", gold, written],
        ["stats", gold],
        ["view", gold],
        ["show", "quickstart"],
        ["init", gold],
    ]


@pytest.mark.parametrize("extra", [None, *sorted(PREDICT_EXTRAS)])
def test_an_exported_model_needs_no_other_package(extra: str | None, tmp_path: Path) -> None:
    allowed = names([*LIGHT_PROJECT["dependencies"], *(EXTRAS[extra] if extra else [])])
    every = [
        *FULL_PROJECT["dependencies"],
        *(line for name in ("export", "onnx", "ray", "s3", "serve", "zstd") for line in EXTRAS[name]),
    ]
    denied = names(every) - allowed - {FULL}
    assert {"torch", "transformers", "datasets", "onnx"} <= denied
    used = {
        None: RUN,
        "ray": "from ie_cli.commands import predict_shards; from ie_cli.integrations import ray_engine",
        "s3": "from ie_cli.commands import predict_shards; from ie_cli.system import stores",
        "serve": "from ie_cli.serving import app, server",
        "zstd": "from ie_cli.system.streams import zstandard; zstandard()",
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + used[extra], ",".join(denied)],
        input="\n".join("\t".join(words) for words in commands(tmp_path)) if extra is None else "",
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if extra is None:
        assert done.stdout.count('"entities"') == 3
        assert done.stdout.count('"f1"') >= 2
        assert (tmp_path / "gold.conll").stat().st_size > 0
