"""Hints about missing packages name the distribution that is installed."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest
from support.runner import ie

from ie_cli.system.distribution import FULL, PREDICT, install_hint, installed_distribution, upgrade_hint

PACKAGE = Path(__file__).parents[2] / "ie_cli"
REPLACE = f"pip uninstall {PREDICT} && pip install "


@pytest.fixture
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only some of the two distributions are installed."""

    def distribution(name: str) -> str:
        if name not in request.param:
            raise importlib.metadata.PackageNotFoundError(name)
        return name

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)


@pytest.mark.parametrize(
    ("installed", "expected"),
    [({FULL}, FULL), ({PREDICT}, PREDICT), ({FULL, PREDICT}, FULL), (set(), FULL)],
    indirect=["installed"],
)
@pytest.mark.usefixtures("installed")
def test_the_installed_distribution_is_named(expected: str) -> None:
    assert installed_distribution() == expected
    assert upgrade_hint() == f"pip install -U {expected}"


@pytest.mark.parametrize("installed", [{FULL}], indirect=True)
@pytest.mark.usefixtures("installed")
def test_extras_of_the_full_distribution() -> None:
    assert install_hint() == "pip install ie-cli"
    assert install_hint("serve") == "pip install 'ie-cli[serve]'"
    assert install_hint("wandb", "mlflow") == "pip install 'ie-cli[wandb,mlflow]'"


@pytest.mark.parametrize("installed", [{PREDICT}], indirect=True)
@pytest.mark.usefixtures("installed")
def test_what_predicts_only_stays_without_torch_where_it_can() -> None:
    assert install_hint("serve") == "pip install 'ie-cli-predict[serve]'"
    assert install_hint("zstd") == "pip install 'ie-cli-predict[zstd]'"
    assert install_hint("onnx") == "pip install ie-cli-predict"
    assert install_hint().endswith(f": {REPLACE}ie-cli")
    assert install_hint("export").endswith(f": {REPLACE}'ie-cli[export]'")
    assert install_hint("zstd", "mlflow").endswith(f": {REPLACE}'ie-cli[zstd,mlflow]'")


@pytest.mark.parametrize("installed", [{PREDICT}], indirect=True)
@pytest.mark.usefixtures("installed")
def test_a_command_that_needs_torch_names_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("ie_cli.commands.train.run_train", fail)
    said = ie("train", "quickstart")
    assert said.exit_code == 1
    assert "error: this command needs torch, which is not installed\n" in said.stderr
    assert f"hint: {install_hint()}\n" in said.stderr


def test_no_other_module_has_an_installation_command() -> None:
    named = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"pip install", path.read_text(encoding="utf-8"))
    }
    assert named == {"system/distribution.py"}
