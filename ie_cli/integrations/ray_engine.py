"""Predict shards on a Ray cluster: an actor holds the model, and predicts one shard after the other.

Ray starts the actors, gives each its processors and GPUs, and restarts them elsewhere if a process or a machine dies. What is
read and written goes from the actors to the store, not through Ray, and a shard is finished when its manifest is written: so Ray
needs to move nothing but names, and its tasks may run twice.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ie_cli.errors import DataError, IEError
from ie_cli.inference.shard_workers import RETRIES, Outcome, Predictor, ShardJob, attempt, died
from ie_cli.inference.shards import Shard
from ie_cli.system.distribution import install_hint
from ie_cli.system.optional_packages import with_code

_RESTARTS = 50
"""How often loading is tried again after an actor has died: every second or so until Ray knows that its machine is lost."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where and how to run.

    Attributes:
        address: the address of a cluster, as `ray.init` takes it; None for the variable ``RAY_ADDRESS``, or else this machine.
        actors: the number of models; None for one for each GPU that is asked for, or one for each machine.
        gpus_per_actor: the GPUs of each actor, which may be a fraction; an actor sees no others.
    """

    address: str | None = None
    actors: int | None = None
    gpus_per_actor: float = 0.0


class ShardActor:
    """The actor: loads the model when it is first needed, so that one that was restarted loads it again."""

    def __init__(self, job: ShardJob) -> None:
        self._job = job
        self._predictor: Predictor | None = None

    def ready(self) -> IEError | None:
        """Load the model; return the error if it cannot be loaded."""
        try:
            self._predictor = self._predictor or self._job.load()
        except IEError as error:
            return error
        return None

    def predict(self, shard: Shard) -> Outcome | IEError:
        """Predict a shard; return an error that concerns not only this shard."""
        try:
            self._predictor = self._predictor or self._job.load()
            return attempt(self._predictor, shard)
        except IEError as error:
            return error


def predict_on_ray(job: ShardJob, shards: Sequence[Shard], cluster: Cluster) -> Iterator[Outcome]:
    """Predict shards on a cluster, and yield the outcomes as they come; when the iterator is closed, the actors end.

    Args:
        job: loads the model.
        shards: the shards.
        cluster: where to run.

    Raises:
        DataError: Ray is not installed, there is no such cluster, or it is too small.
        IEError: the model cannot be loaded, or nothing can be written.
    """
    ray = import_ray()
    with _connected(ray, cluster.address):
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        number = min(actors_of(nodes, cluster), len(shards))
        start = ray.remote(ShardActor).options(
            num_cpus=cpus_per_actor(nodes, number, cluster.gpus_per_actor),
            num_gpus=cluster.gpus_per_actor,
            max_restarts=-1,  # without a limit, because what counts is how often a shard fails
            max_task_retries=0,  # on the same actor; `_outcomes` gives the shard to one that is alive
            scheduling_strategy="SPREAD",
            # Ray shows an actor the GPUs that it gives it, but all of the machine if it gives it none.
            runtime_env=None if cluster.gpus_per_actor else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}},
        )
        actors = [start.remote(job) for _ in range(number)]
        try:
            yield from _outcomes(ray, actors, shards)
        finally:
            for actor in actors:
                ray.kill(actor)


def _outcomes(ray: Any, actors: Sequence[Any], shards: Sequence[Shard]) -> Iterator[Outcome]:
    """Give each actor a shard when it has loaded its model, and another one whenever it is free.

    If an actor dies, its shard is given to the next free one, `RETRIES` times. The actor gets no other one until Ray has
    restarted it: until Ray knows that a machine is lost, all that is given to its actors fails.
    """
    waiting, left = deque(shards), len(shards)
    deaths: Counter[Shard] = Counter()
    idle: list[Any] = []
    running: dict[Any, tuple[Any, Shard | None]] = {_load(actor, RETRIES): (actor, None) for actor in actors}
    while left:
        (done,), _ = ray.wait(list(running), num_returns=1)
        actor, shard = running.pop(done)
        try:
            answer = ray.get(done)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            if shard is None:
                raise _failed_start(error) from error
            running[_load(actor, _RESTARTS)] = (actor, None)
            deaths[shard] += 1
            answer = None
            if deaths[shard] > RETRIES:
                answer = Outcome(shard, error=died(shard, _reason(error)))
            else:
                waiting.append(shard)
        else:
            idle.append(actor)
        if isinstance(answer, IEError):
            raise answer
        while waiting and idle:
            free, following = idle.pop(), waiting.popleft()
            running[free.predict.remote(following)] = (free, following)
        if isinstance(answer, Outcome):
            left -= 1
            yield answer


def _load(actor: Any, retries: int) -> Any:
    """Let an actor load its model, if it has none; Ray repeats this after as many failures."""
    return actor.ready.options(max_task_retries=retries).remote()


def _failed_start(error: Exception) -> DataError:
    return DataError(
        f"an actor died while it loaded the model: {_reason(error)}",
        hint="use fewer --actors if memory is the reason; ie-cli has to be installed on all machines of the cluster.",
    )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def import_ray() -> Any:
    """Import Ray.

    Raises:
        DataError: it is not installed.
    """
    try:
        return with_code(import_module("ray"))
    except ImportError as error:
        raise DataError(
            "--engine ray needs the package ray, which is not installed", hint=install_hint("ray")
        ) from error


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to a cluster, unless the process already is; whoever connects disconnects.

    Raises:
        DataError: there is no cluster at this address.
    """
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address=address, logging_level="warning", log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"--address {address}: " if address is not None else ""
        raise DataError(
            f"{where}Ray cannot be reached or started: {_reason(error)}",
            hint="check the address, and that `ray status` answers there; without --address, Ray starts on this machine.",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def actors_of(nodes: Sequence[dict[str, float]], cluster: Cluster) -> int:
    """Return the number of actors: what was asked for, or one for each share of a GPU, or one for each machine.

    Raises:
        DataError: the cluster has not the GPUs or processors for them.
    """
    share = cluster.gpus_per_actor
    by_gpu = sum(int(node.get("GPU", 0.0) / share + 1e-9) for node in nodes) if share else None
    number = cluster.actors or (len([node for node in nodes if node.get("CPU")]) if by_gpu is None else by_gpu)
    if by_gpu is not None and max(number, 1) > by_gpu:
        raise DataError(
            f"--gpus-per-actor {share:g}: the cluster has GPUs for {by_gpu} actors, but {max(number, 1)} are wanted",
            hint="use fewer --actors, a smaller --gpus-per-actor, or a larger cluster.",
        )
    cpus = sum(int(node.get("CPU", 0.0)) for node in nodes)
    if max(number, 1) > cpus:
        raise DataError(
            f"the cluster has {cpus} processor cores, but {max(number, 1)} actors need one each",
            hint="use fewer --actors, or a larger cluster.",
        )
    return number


def cpus_per_actor(nodes: Sequence[dict[str, float]], actors: int, share: float) -> int:
    """Return the largest number of processor cores that every one of some actors can have at the same time, at least 1.

    An actor is on one machine, so the cores of all together may be more than they can use.
    """

    def room(cpus: int) -> int:
        fits = (int(node.get("CPU", 0.0)) // cpus for node in nodes)
        if share:
            return sum(min(n, int(node.get("GPU", 0.0) / share + 1e-9)) for n, node in zip(fits, nodes, strict=True))
        return sum(fits)

    most = max((int(node.get("CPU", 0.0)) for node in nodes), default=1)
    return next((cpus for cpus in range(most, 1, -1) if room(cpus) >= actors), 1)
