from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import recipe

from ie_cli.errors import RecipeError, TrainingError
from ie_cli.recipe.schema import Recipe, TrainingSection
from ie_cli.training.loggers import PACKAGES, TRACKERS, Log, open_loggers, require_loggers

COLUMNS = ("epoch", "loss", "f1")
RECIPE = recipe(Path("train.jsonl"), training={"label_weights": {"PER": 2.0}})


def opened(name: str, directory: Path, after: int = 0, recipe: Recipe = RECIPE) -> Any:
    return open_loggers([name], directory, recipe=recipe, columns=COLUMNS, after=after)


def write(log: Log, *steps: int) -> None:
    for step in steps:
        log(step, {"epoch": step / 2, "loss": 1 / step, **({"f1": step / 10} if step % 2 == 0 else {})})


def test_a_recipe_may_name_every_tracker() -> None:
    (names,) = get_args(TrainingSection.model_fields["trackers"].annotation)
    assert set(get_args(names)) == TRACKERS.keys() == {"csv", *PACKAGES}
    extras = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f'\n{name} = ["{name}>=' in extras for name in PACKAGES)


@pytest.mark.parametrize(
    ("missing", "message", "extra"),
    [({"wandb"}, "wandb is not", "wandb"), ({"mlflow", "tensorboard"}, "tensorboard and mlflow are not", "tensorboard,mlflow")],
)  # fmt: skip
def test_missing_packages_are_reported_together(
    monkeypatch: pytest.MonkeyPatch, missing: set[str], message: str, extra: str
) -> None:
    for name in PACKAGES:
        monkeypatch.setitem(PACKAGES, name, lambda name=name: name not in missing)
    require_loggers(["csv", *(PACKAGES.keys() - missing)])
    with pytest.raises(RecipeError, match=f"(?m)^training.trackers: {message} installed$") as error:
        require_loggers(list(TRACKERS))
    assert error.value.hint == f"pip install 'ie-cli[{extra}]'"


# --- csv


def rows(directory: Path) -> list[dict[str, str]]:
    with (directory / "log.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_may_lack_columns_but_have_no_others(tmp_path: Path) -> None:
    with opened("csv", tmp_path) as log:
        write(log, 1, 2)
        assert [row["f1"] for row in rows(tmp_path)] == ["", "0.2"]  # each row is written at once
        with pytest.raises(ValueError, match="recall"):
            log(3, {"recall": 1.0})
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "step,epoch,loss,f1"
    with opened("csv", tmp_path):
        assert rows(tmp_path) == []  # started again


@given(
    steps=st.lists(st.integers(1, 50), unique=True, min_size=1).map(sorted), after=st.integers(1, 50), cut=st.booleans()
)
def test_a_resumed_log_is_that_of_one_run(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], after: int, cut: bool
) -> None:
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    with opened("csv", one) as log:
        write(log, *steps)
    with opened("csv", two) as log:
        write(log, *steps)
    if cut:
        with (two / "log.csv").open("a") as file:
            file.write(f"{after},0.")
    with opened("csv", two, after) as log:
        write(log, *(step for step in steps if step > after))
    assert (one / "log.csv").read_bytes() == (two / "log.csv").read_bytes()


def test_the_log_of_another_version_continues(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("loss,speed,step,f1\n0.5,99,1,\n0.4,98,2,0.7\n0.3,97,3,0.8\n0.2,96\n")
    with opened("csv", tmp_path, 2) as log:
        write(log, 3)
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        "step,epoch,loss,f1,speed", "1,,0.5,,99", "2,,0.4,0.7,98", f"3,1.5,{1 / 3},,",
    ]  # fmt: skip
    (tmp_path / "log.csv").write_text("loss,f1\n0.5,0.7\n")
    with opened("csv", tmp_path, 2):
        assert rows(tmp_path) == []


# --- TensorBoard


@pytest.fixture(params=["before an Accelerator", "after it"])
def state(request: pytest.FixtureRequest) -> Iterator[None]:
    AcceleratorState._reset_state(reset_partial_state=True)
    if request.param == "after it":
        Accelerator(cpu=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("state")
def test_tensorboard_drops_points_after_the_step_that_a_run_is_resumed_from(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with opened("tensorboard", tmp_path) as log:
        write(log, 1, 2, 3, 4)
    with opened("tensorboard", tmp_path, after=2) as log:
        log(3, {"loss": 9.0})
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, 9.0)]
    assert [event.step for event in events.Scalars("f1")] == [2]
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]
    assert all(path.is_file() for path in (tmp_path / "tensorboard").iterdir())


# --- services


class Service:
    """Takes the place of the modules `wandb` and `mlflow`: every function that is called in it is recorded."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.fails_in = ""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **named: Any) -> Any:
            self.calls.append((name, args, named))
            if name == self.fails_in:
                raise ConnectionError("nobody there")
            return [] if name == "search_experiments" else self

        return call


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Service:
    for name in ("WANDB_PROJECT", "WANDB_NAME"):
        monkeypatch.delenv(name, raising=False)
    service = Service()
    service.config = service
    monkeypatch.setitem(sys.modules, "wandb", service)
    return service


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Service:
    for name in ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "MLFLOW_TAGS", "MLFLOW_NESTED_RUN"):
        monkeypatch.delenv(name, raising=False)
    limits = SimpleNamespace(MAX_PARAM_VAL_LENGTH=500, MAX_PARAMS_TAGS_PER_BATCH=100)
    service = Service(utils=SimpleNamespace(validation=limits))
    monkeypatch.setitem(sys.modules, "mlflow", service)
    return service


POINTS = [{"epoch": 0.5, "loss": 1.0}, {"epoch": 1.0, "loss": 0.5, "f1": 0.2}]


@pytest.mark.usefixtures("state")
def test_wandb_gets_recipe_and_points(tmp_path: Path, wandb: Service) -> None:
    with opened("wandb", tmp_path) as log:
        write(log, 1, 2)
    (init, update, *points, finish) = wandb.calls
    assert init == ("init", (), {"project": "ie", "name": "test"})
    assert update[0] == "update"
    config = update[1][0]
    assert config["encoder.name"] == "tiny"
    assert config["training.learning_rate"] == 2e-3
    assert config["training.label_weights.PER"] == 2.0
    assert points == [("log", (point,), {"step": step}) for step, point in enumerate(POINTS, 1)]
    assert finish == ("finish", (), {})
    assert list(tmp_path.iterdir()) == []


def test_the_variables_of_wandb_count_more(tmp_path: Path, wandb: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_NAME", "third try")
    with opened("wandb", tmp_path):
        pass
    assert wandb.calls[0] == ("init", (), {"project": "mine", "name": "third try"})


@pytest.mark.usefixtures("state")
def test_mlflow_gets_recipe_and_points(tmp_path: Path, mlflow: Service) -> None:
    with opened("mlflow", tmp_path) as log:
        write(log, 1, 2)
    calls = {name: (args, named) for name, args, named in mlflow.calls}
    assert calls["create_experiment"][1]["name"] == "ie"
    assert calls["start_run"][1]["run_name"] == "test"
    assert calls["log_params"][0][0]["training.seed"] == 42
    assert calls["log_params"][0][0]["training.label_weights.PER"] == 2.0
    points = [call for call in mlflow.calls if call[0] == "log_metrics"]
    assert points == [("log_metrics", (point,), {"step": step}) for step, point in enumerate(POINTS, 1)]
    assert mlflow.calls[-1] == ("end_run", (), {})


@pytest.mark.parametrize("function", ["init", "update", "log", "finish"])
def test_what_a_service_rejects_is_reported(tmp_path: Path, wandb: Service, function: str) -> None:
    wandb.fails_in = function
    with (
        pytest.raises(TrainingError, match=r"(?m)^training.trackers: wandb: nobody there$") as error,
        opened("wandb", tmp_path) as log,
    ):
        write(log, 1)
    assert "trackers=[csv]" in str(error.value.hint)


def test_a_service_that_does_not_end_hides_no_other_error(tmp_path: Path, mlflow: Service) -> None:
    mlflow.fails_in = "end_run"
    with pytest.raises(KeyError, match="first"), opened("mlflow", tmp_path):
        raise KeyError("first")
    assert mlflow.calls[-1][0] == "end_run"


@pytest.mark.filterwarnings("ignore")
def test_wandb_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    require_loggers(["wandb"])
    with opened("wandb", tmp_path) as log:
        write(log, 1, 2)
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.filterwarnings("ignore")
def test_mlflow_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    require_loggers(["mlflow"])
    with opened("mlflow", tmp_path) as log:
        write(log, 1, 2)
    (found,) = real.search_runs(experiment_names=["ie"], output_format="list")
    assert found.info.run_name == "test"
    assert found.info.status == "FINISHED"
    assert found.data.params["training.seed"] == "42"
    assert found.data.metrics == POINTS[1]
