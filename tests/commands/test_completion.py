"""What shells are offered, and how the program calls itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.runner import ie

from ie_cli.cli import main
from ie_cli.formats import FORMATS
from ie_cli.recipe.bundled import list_recipes

SHELLS = ("bash", "zsh", "fish")


Answer = Callable[..., str]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Answer:
    """What the program writes, run in this process by its entry point."""

    def run(*arguments: str, **variables: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ie", *arguments])
        monkeypatch.setenv("COLUMNS", "80")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return run


def offered(answer: Answer, shell: str, line: str) -> list[str]:
    """The words that a shell is offered for the last one of a line; empty: it offers files."""
    variables = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_TYPER_COMPLETE_ARGS": line}
    out = answer(_IE_COMPLETE=f"complete_{shell}", _TYPER_COMPLETE_FISH_ACTION="get-args", **variables)
    if shell == "zsh":
        return [] if out.strip() == "_files" else re.findall(r'^(?:.*\(\()?"([^"]*)"', out, re.M)
    return [word.partition("\t")[0] for word in out.splitlines() if word]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("before", ["train", "check", "show", "recipes copy", "train --quiet"])
def test_recipes_are_completed(shell: str, before: str, answer: Answer) -> None:
    names = [recipe.name for recipe in list_recipes()]
    assert offered(answer, shell, f"ie {before} ") == names
    assert offered(answer, shell, f"ie {before} quick") == [
        "quickstart-en",
        "quickstart-relations",
        "quickstart",
    ]
    assert offered(answer, shell, f"ie {before} ./quick") == []


def test_the_help_of_a_choice_keeps_its_brackets(answer: Answer) -> None:
    out = answer(
        _IE_COMPLETE="complete_fish", _TYPER_COMPLETE_FISH_ACTION="get-args", _TYPER_COMPLETE_ARGS="ie convert --to cl"
    )
    assert out.splitlines() == [f"cluener\t{FORMATS['cluener'].help}"]


@pytest.mark.parametrize("shell", SHELLS)
def test_formats_are_completed(shell: str, answer: Answer) -> None:
    read = [name for name in FORMATS if name != "html"]
    for line in (
        "ie convert --from ",
        "ie eval --from ",
        "ie predict --from ",
        "ie init --from ",
    ):
        assert offered(answer, shell, line) == read
    written = [
        name
        for name in FORMATS
        if name not in ("pairs-json", "text", "document", "excel", "datasets", "doccano-csv", "label_studio-csv")
    ]
    for line in ("ie convert --to ", "ie predict --to "):
        assert offered(answer, shell, line) == written
    assert offered(answer, shell, "ie convert --to dui") == ["duie", "duie1"]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_options_and_choices_are_completed(shell: str, answer: Answer) -> None:
    assert offered(answer, shell, "ie con") == ["convert"]
    assert "--resume" in offered(answer, shell, "ie train --re")
    assert offered(answer, shell, "ie predict --on-error s") == ["stop", "skip"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", ["ie predict ", "ie predict --model ", "ie eval ", "ie train quickstart --output "])
def test_paths_are_left_to_the_shell(shell: str, line: str, answer: Answer) -> None:
    assert offered(answer, shell, line) == []


def test_the_help_names_the_options() -> None:
    shown = ie("--help").stdout
    assert "--install-completion" in shown
    assert "--show-completion" in shown


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script(shell: str, answer: Answer) -> None:
    assert f"_IE_COMPLETE=complete_{shell}" in answer(_IE_COMPLETE=f"source_{shell}")


def test_the_module_is_the_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "ie_cli", "trian"], capture_output=True, text=True, check=False, timeout=60
    )
    assert shown.returncode == 2
    assert shown.stderr.startswith("Usage: python -m ie_cli [OPTIONS] COMMAND")
    assert "Did you mean 'train'?" in shown.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_the_module_writes_the_script_of_the_command(
    shell: str, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__package__", "ie_cli")
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    script = answer("--show-completion")
    assert f" _IE_COMPLETE=complete_{shell}" in script
    assert "python" not in script


def test_the_script_is_installed_for_the_command(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: "bash")
    answer("--install-completion")
    [script] = (tmp_path / ".bash_completions").iterdir()
    assert script.name == "ie.sh"
    assert str(script) in (tmp_path / ".bashrc").read_text(encoding="utf-8")


def test_completion_starts_without_torch() -> None:
    code = (
        "import sys\n"
        "from ie_cli.__main__ import main\n"
        "try:\n    main()\n"
        "finally:\n    sys.stderr.write(str({'torch', 'transformers', 'datasets', 'numpy'} & sys.modules.keys()))\n"
    )
    variables = {"_IE_COMPLETE": "complete_bash", "COMP_WORDS": "ie convert --to dui", "COMP_CWORD": "3"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | variables,
    )
    assert result.stdout.split() == ["duie", "duie1"]
    assert result.stderr == "set()"
