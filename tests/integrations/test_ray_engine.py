"""Shards on a Ray cluster of several nodes, which are all on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ray_nodes import import_path, ray_nodes, run_alone
from support.shard_inputs import EXPORTED, SKIPPING, enter_inputs, predict
from support.shard_jobs import job, loads, make_shards, outputs

from ie_cli.errors import DataError, ModelError
from ie_cli.inference.shard_workers import RETRIES, Outcome, predict_here
from ie_cli.inference.shards import Shard
from ie_cli.integrations import ray_engine
from ie_cli.integrations.ray_engine import Cluster, actors_of, cpus_per_actor, predict_on_ray

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with two processor cores each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", import_path())
        with ray_nodes({"num_cpus": 2}, {"num_cpus": 2}) as nodes:
            yield nodes


def test_a_killed_actor_loses_nothing(cluster: Any, tmp_path: Path) -> None:
    shards = make_shards(tmp_path, 6)
    for name, trouble in {"1.txt": "1", "3.txt": "100", "4.txt": "bad"}.items():
        (tmp_path / "trouble" / name).write_text(trouble, encoding="utf-8")
    found = list(predict_on_ray(job(tmp_path, "out"), shards, Cluster(cluster.address, actors=2)))
    assert sorted(outcome.shard.name for outcome in found) == [shard.name for shard in shards]
    errors = {outcome.shard.name: outcome.error.message for outcome in found if outcome.error is not None}
    assert errors.keys() == {"3.txt", "4.txt"}
    assert "3.txt: the process that predicted it died 3 times" in errors["3.txt"]
    assert errors["4.txt"].endswith("4.txt:1: not JSON")
    assert (tmp_path / "trouble" / "3.txt").read_text(encoding="utf-8") == str(100 - 1 - RETRIES)
    (tmp_path / "trouble" / "3.txt").unlink()
    (tmp_path / "trouble" / "4.txt").unlink()
    list(predict_here(job(tmp_path, "out"), shards[3:5]))
    list(predict_here(job(tmp_path, "alone"), shards))
    assert outputs(tmp_path / "out") == outputs(tmp_path / "alone")


def test_a_model_that_cannot_be_loaded_ends_all(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the model is broken") as caught:
        list(predict_on_ray(job(tmp_path, "out", broken=True), make_shards(tmp_path, 3), Cluster(cluster.address)))
    assert caught.value.hint == "repair it."


def test_too_many_actors_are_an_error(cluster: Any, tmp_path: Path) -> None:
    shards = make_shards(tmp_path, 9)
    with pytest.raises(DataError, match="the cluster has 4 processor cores, but 9 actors need one each"):
        list(predict_on_ray(job(tmp_path, "out"), shards, Cluster(cluster.address, actors=9)))
    with pytest.raises(DataError, match="the cluster has GPUs for 0 actors, but 1 are wanted"):
        list(predict_on_ray(job(tmp_path, "out"), shards, Cluster(cluster.address, gpus_per_actor=1.0)))


def test_the_command_writes_what_one_process_writes(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_inputs(tmp_path, monkeypatch, EXPORTED)
    on_ray = ("--engine", "ray", "--address")
    assert "5 shards with 50 records written to ray/" in predict(*SKIPPING, "-o", "ray/", *on_ray, cluster.address)
    predict(*SKIPPING, "-o", "alone/")
    assert outputs(tmp_path / "ray") == outputs(tmp_path / "alone")
    again = predict(*SKIPPING, "-o", "ray/", *on_ray, "127.0.0.1:1")  # nothing is left to do
    assert "5 of 5 shards finished before" in again


DEAD_NODE = """
import sys
from pathlib import Path
from support.ray_nodes import ray_nodes
from support.shard_jobs import job, make_shards, outputs
from ie_cli.inference.shard_workers import predict_here
from ie_cli.integrations.ray_engine import Cluster, predict_on_ray

here = Path(sys.argv[1])
shards = make_shards(here, 8)
found = []
with ray_nodes({"num_cpus": 1}, {"num_cpus": 1}) as nodes:
    [second] = nodes.worker_nodes
    for outcome in predict_on_ray(job(here, "out"), shards, Cluster(nodes.address)):
        if not found:
            nodes.remove_node(second, allow_graceful=False)
        found.append(outcome)
assert sorted(outcome.shard.name for outcome in found) == sorted(shard.name for shard in shards), found
assert all(outcome.error is None for outcome in found), found
list(predict_here(job(here, "alone"), shards))
assert outputs(here / "out") == outputs(here / "alone")
"""


def test_a_node_that_is_lost_loses_nothing(tmp_path: Path) -> None:
    run_alone(DEAD_NODE, tmp_path)


@pytest.mark.parametrize(
    ("cpus", "gpus", "cluster", "actors", "each"),
    [
        ([8.0], [0.0], Cluster(), 1, 8),
        ([4.0, 4.0, 1.0], [0.0] * 3, Cluster(actors=3), 3, 2),
        ([4.0, 4.0, 1.0], [0.0] * 3, Cluster(actors=9), 9, 1),
        ([16.0, 16.0], [4.0, 2.0], Cluster(gpus_per_actor=1.0), 6, 4),
        ([16.0, 16.0], [1.0, 1.0], Cluster(gpus_per_actor=0.5), 4, 8),
        ([16.0, 64.0], [8.0, 0.0], Cluster(gpus_per_actor=2.0), 4, 4),
        ([0.0, 4.0], [0.0, 0.0], Cluster(), 1, 4),
    ],
)
def test_the_cores_of_actors_fit_on_their_machines(
    cpus: list[float], gpus: list[float], cluster: Cluster, actors: int, each: int
) -> None:
    nodes = [{"CPU": cpu, "GPU": gpu} for cpu, gpu in zip(cpus, gpus, strict=True)]
    assert actors_of(nodes, cluster) == actors
    assert cpus_per_actor(nodes, actors, cluster.gpus_per_actor) == each


GPUS = """
import sys
from pathlib import Path
from support.ray_nodes import ray_nodes
from support.shard_jobs import job, make_shards
from ie_cli.integrations.ray_engine import Cluster, predict_on_ray

here = Path(sys.argv[1])
shards = make_shards(here, 4)
with ray_nodes({"num_cpus": 2, "num_gpus": 2}) as nodes:
    for number, share in enumerate((1.0, 0.5, 0.0), 1):
        (here / "trouble" / "0.txt").write_text(f"until {2 * number} are loaded")  # so that one cannot do all meanwhile
        found = list(predict_on_ray(job(here, f"out {share}"), shards, Cluster(nodes.address, actors=2, gpus_per_actor=share)))
        assert all(outcome.error is None for outcome in found), found
"""


def test_an_actor_sees_the_gpus_that_ray_gives_it_and_no_others(tmp_path: Path) -> None:
    """The GPUs do not exist, but Ray hands them out; an actor then takes the first one that it sees."""
    run_alone(GPUS, tmp_path)
    seen = [line.split()[3] for line in loads(tmp_path)]
    assert [sorted(seen[at : at + 2]) for at in (0, 2, 4)] == [["0", "1"], ["0", "0"], ["none", "none"]]


class FakeRay:
    """A cluster whose calls end in their order; those to a lost actor fail, and loading its model again never ends."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            pass

    def __init__(self) -> None:
        self.calls: list[tuple[FakeActor, Any]] = []

    def wait(self, calls: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        ended = [call for call in sorted(calls) if not (self.calls[call][1] is None and self.calls[call][0].lost)]
        assert ended, "nobody would ever end"
        return ended[:num_returns], []

    def get(self, call: int) -> Any:
        actor, shard = self.calls[call]
        if shard is None:
            return None
        actor.given.append(shard.name)
        if actor.is_lost_by(shard.name):
            raise FakeRay.exceptions.RayError("the actor is unavailable")
        return Outcome(shard)


class FakeActor:
    def __init__(self, ray: FakeRay, dies_with: tuple[str, ...], *, restarted: bool) -> None:
        self._ray, self._dies_with, self._restarted = ray, dies_with, restarted
        self.lost = False
        self.given: list[str] = []
        self.ready = self.predict = self

    def is_lost_by(self, shard: str) -> bool:
        fails = shard in self._dies_with
        self.lost = fails and not self._restarted
        return fails

    def options(self, **options: int) -> FakeActor:
        return self

    def remote(self, shard: Shard | None = None) -> int:
        self._ray.calls.append((self, shard))
        return len(self._ray.calls) - 1


def test_the_shard_of_a_lost_actor_goes_to_one_that_had_nothing_left_to_do(tmp_path: Path) -> None:
    ray, shards = FakeRay(), make_shards(tmp_path, 2)
    lost, alive = FakeActor(ray, ("1.txt",), restarted=False), FakeActor(ray, (), restarted=True)
    found = list(ray_engine._outcomes(ray, [alive, lost], shards))
    assert [(outcome.shard.name, outcome.error) for outcome in found] == [("0.txt", None), ("1.txt", None)]
    assert (lost.given, alive.given) == (["1.txt"], ["0.txt", "1.txt"])


def test_a_shard_with_which_every_actor_dies_is_given_up(tmp_path: Path) -> None:
    ray, shards = FakeRay(), make_shards(tmp_path, 4)
    actors = [FakeActor(ray, ("2.txt",), restarted=True) for _ in range(2)]
    found = {outcome.shard.name: outcome.error for outcome in ray_engine._outcomes(ray, actors, shards)}
    assert [name for name, error in found.items() if error is not None] == ["2.txt"]
    assert "died 3 times" in str(found["2.txt"])
    assert len(found) == 4
    assert sum(actor.given.count("2.txt") for actor in actors) == RETRIES + 1
