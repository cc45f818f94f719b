"""The files around the project: workflows, the action, hooks, the image. Their syntax is checked by `make lint`."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

from ie_cli import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BASH = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


def read(path: Path | str) -> Any:
    """A YAML file below the root."""
    return YAML(typ="safe", pure=True).load(ROOT / path)


def values(node: Any, key: str) -> Iterator[Any]:
    """All values of a key, wherever they are."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values(value, key)


def bash(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run bash, with nothing in the environment but where programs are and what is given."""
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run(
        ["bash", *arguments], cwd=cwd, env=path | environment, capture_output=True, encoding="utf-8", check=False
    )


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    named = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    allowed = SpecifierSet(PROJECT["requires-python"])
    minors = sorted(int(version.split(".")[1]) for version in named)
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert f"3.{minors[0]}.0" in allowed
    assert f"3.{minors[0] - 1}.99" not in allowed
    matrix = read(".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert set(matrix["python"]) == named
    for system in ("macos-latest", "windows-latest"):
        ends = {job["python"] for job in matrix["include"] if job["os"] == system}
        assert {f"3.{minors[0]}", f"3.{minors[-1]}"} <= ends


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_can_only_read_unless_a_job_says_otherwise(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    assert "pull_request_target" not in workflow.get("on", workflow.get(True))
    writing = {name for name, job in workflow["jobs"].items() if "write" in job.get("permissions", {}).values()}
    assert writing == ({"publish", "github"} if path.name == "release.yml" else set())


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.name)
def test_actions_are_pinned_and_leave_no_credentials(path: Path) -> None:
    used = list(values(read(path), "uses"))
    assert used
    for action in used:
        assert action.startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@([0-9a-f]{40}|v\d+|release/v\d+)", action)
    for steps in values(read(path), "steps"):
        for step in steps:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_only_a_tested_tag_is_published() -> None:
    jobs = read(".github/workflows/release.yml")["jobs"]
    assert [jobs[name].get("needs") for name in ("tag", "test", "publish", "github")] == [
        None,
        "tag",
        "test",
        "publish",
    ]
    assert jobs["test"]["uses"] == "./.github/workflows/test.yml"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"]["name"] == "pypi"


@BASH
@pytest.mark.parametrize(
    ("tag", "heading", "code"),
    [
        (f"v{__version__}", f"## [{__version__}] - 2030-01-01", 0),
        (f"v{__version__}", "## [Unreleased]", 1),
        (f"v{__version__}0", f"## [{__version__}]", 1),
        (__version__, f"## [{__version__}]", 1),
    ],
)
def test_a_tag_that_is_not_the_version_is_refused(tmp_path: Path, tag: str, heading: str, code: int) -> None:
    for name in (".ci/tag-is-version", "ie_cli/__init__.py"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n", encoding="utf-8")
    done = bash(".ci/tag-is-version", tag, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert ("error: " in done.stderr) == bool(code)


@BASH
@pytest.mark.parametrize(
    ("recipes", "arguments", "expected"),
    [
        ("quickstart", "", ["--", "quickstart"]),
        (
            "a.yaml\n  my recipe.yaml \n\n",
            "--set data.dev=0.1",
            ["--set", "data.dev=0.1", "--", "a.yaml", "my recipe.yaml"],
        ),
        ("a.yaml", "--set a=1\n--set b=2\n", ["--set", "a=1", "--set", "b=2", "--", "a.yaml"]),
        ("$(touch gone); `x`", "--set\ta=*", ["--set", "a=*", "--", "$(touch gone); `x`"]),
    ],
)
def test_the_action_passes_its_inputs_as_they_are(
    tmp_path: Path, recipes: str, arguments: str, expected: list[str]
) -> None:
    step = read("action.yml")["runs"]["steps"][-1]
    assert set(step["env"]) == {"RECIPES", "ARGUMENTS"}
    script = 'ie() { printf "%s\\n" "$@"; }\nset -euo pipefail\n' + step["run"]
    done = bash("-c", script, cwd=tmp_path, RECIPES=recipes, ARGUMENTS=arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["check", *expected]
    assert list(tmp_path.iterdir()) == []


def test_no_input_of_the_action_is_part_of_a_script() -> None:
    scripts = [script for path in [*WORKFLOWS, ROOT / "action.yml"] for script in values(read(path), "run")]
    assert len([script for script in scripts if isinstance(script, str)]) > 10
    assert not [script for script in scripts if isinstance(script, str) and "${{" in script]


def test_the_hook_takes_recipes_and_leaves_other_files() -> None:
    [hook] = read(".pre-commit-hooks.yaml")
    assert (hook["id"], hook["entry"], hook["types"]) == ("ie-check", "ie check --no-time", ["yaml"])
    taken = re.compile(hook["files"])
    assert all(
        taken.search(path) for path in ("recipes/a.yaml", "x/recipes/ner/b.yml", "recipe.yaml", "x/recipe-2.yml")
    )
    assert not any(taken.search(path) for path in (".github/workflows/test.yml", "mkdocs.yml", "data/cookbook.yaml"))


def test_the_image_is_built_from_files_that_are_not_ignored() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {name for line in lines if re.match("COPY (?!--from)", line) for name in line.split()[1:-1]}
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert {"README.md", "LICENSE", "pyproject.toml", "ie_cli", "recipes", "data"} <= copied


def test_the_image_runs_as_nobody_in_particular() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    final = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.M)
    assert 'ENTRYPOINT ["ie"]' in final
    bases = re.findall(r"^FROM (\S+)", text, re.M)
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="no actionlint")
def test_actionlint_finds_nothing() -> None:
    done = subprocess.run(["actionlint"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
