"""Balancing in the loop: the gradients of a step, in parts or not, and runs with every method that are stopped and resumed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file
from support.corpora import relation_documents, relation_recipe, write_jsonl
from support.pair_corpora import write_pairs
from support.stopping import StopAfter
from support.two_tasks import LINKS, NAMES, two_tasks
from torch import Tensor, nn

from ie_cli.errors import ModelError, RecipeError, TrainingError
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.base import MatrixHead
from ie_cli.recipe.balance import TORCHJD
from ie_cli.recipe.heads import HEADS, heads_of
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.system.signals import Stop, Stopped
from ie_cli.training import loop
from ie_cli.training.balancing import build
from ie_cli.training.balancing.build import build_balancer, build_weighting
from ie_cli.training.balancing.start_values import initial_weights, prior_weights
from ie_cli.training.balancing.step_weights import StepWeights
from ie_cli.training.balancing.weightings import GradNorm
from ie_cli.training.events import Evaluated
from ie_cli.training.loop import Run
from ie_cli.training.processes import Processes
from ie_cli.training.run import train
from ie_cli.training.sampling import build_steps
from ie_cli.training.setup import prepare
from ie_cli.training.techniques.base import Compute

METHODS: dict[str, Any] = {
    "weights": {"name": "weights", "weights": {NAMES: 2.0, f"{LINKS}.entities": 0.5}},
    "initial_loss": {"name": "initial_loss", "batches": 2},
    "prior": "prior",
    "log": "log",
    "generalised_mean": {"name": "generalised_mean", "gamma": 0.5},
    "grad_norm": "grad_norm",
    "grad_norm by loss": {"name": "grad_norm", "by": "loss"},
    "min_norm": {"name": "min_norm", "at": "last_layer"},
    "min_norm on unit gradients": {"name": "min_norm", "normalise": True},
    "main_auxiliary": {"name": "main_auxiliary", "main": NAMES},
    **{name: name for name in sorted(TORCHJD)},
}


def need(method: str) -> None:
    if method in TORCHJD:
        pytest.importorskip("torchjd")


def begin(made: Recipe, directory: Path, *, double: bool = True) -> Run:
    set_seed(3)
    setup = prepare(made)
    if double:
        setup.model.double()
    run = Run.start(made, setup, directory / "run", stop=Stop())
    run.model.train()
    return run


def gradients(run: Run, steps: int = 1, *, batches: Sequence[tuple[Batch, ...]] | None = None) -> dict[str, Tensor]:
    """The gradients of the first step, or of some batches, before they are clipped."""
    found: dict[str, Tensor] = {}

    def clip() -> Tensor:
        found.update({name: p.grad.clone() for name, p in run.setup.model.named_parameters() if p.grad is not None})
        return torch.ones(())

    run._clip = clip  # type: ignore[method-assign]
    for step in first_batches(run, steps) if batches is None else batches:
        run._step(step)
    return found


def first_batches(run: Run, steps: int = 1) -> list[tuple[Batch, ...]]:
    return [batches for _, batches in zip(range(steps), run._batches(), strict=False)]


def plain(
    run: Run, steps: Sequence[tuple[Batch, ...]], by: str = "task"
) -> tuple[dict[str, float], dict[str, dict[str, Tensor]]]:
    """The mean loss of each objective over some batches, and its gradients, by plain autograd."""
    losses: dict[str, float] = {}
    found: dict[str, dict[str, Tensor]] = {}
    model = run.setup.model
    for batches in steps:
        for batch in batches:
            for name, loss in model(batch).items():
                key = name if by == "loss" else name.partition(".")[0]
                losses[key] = losses.get(key, 0.0) + float(loss.detach()) / len(steps)
                own = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True, allow_unused=True)
                kept = found.setdefault(key, {})
                for (parameter, _), gradient in zip(model.named_parameters(), own, strict=True):
                    if gradient is not None:
                        kept[parameter] = kept.get(parameter, torch.zeros_like(gradient)) + gradient / len(steps)
    return losses, found


def expected(run: Run, steps: Sequence[tuple[Batch, ...]]) -> dict[str, Tensor]:
    """The gradients of a step by their definition: weighted at the encoder, plain in the heads."""
    section = run.recipe.training.balance
    losses, found = plain(run, steps, section.by)
    encoder = [name for name in dict(run.setup.model.named_parameters()) if name.startswith("encoder.")]
    last = [name for name in encoder if ".layer.0." in name]  # of one layer
    at = last if section.at == "last_layer" else encoder
    rows = torch.stack([torch.cat([one[name].flatten() for name in at]) for one in found.values()])
    weights = build_weighting(section, list(found)).weights(
        np.array(list(losses.values())), (rows @ rows.T).numpy(), np.ones(len(losses), dtype=bool)
    )
    total: dict[str, Tensor] = {}
    for weight, one in zip(weights.tolist(), found.values(), strict=True):
        for name, gradient in one.items():
            part = gradient * (weight if name.startswith("encoder.") else 1.0)
            total[name] = total.get(name, torch.zeros_like(part)) + part
    return total


def assert_close(one: Mapping[str, Tensor], other: Mapping[str, Tensor], rtol: float = 1e-4) -> None:
    assert one.keys() == other.keys()
    for name in one:
        scale = float(other[name].abs().max())
        torch.testing.assert_close(one[name], other[name], rtol=rtol, atol=rtol * scale + 1e-12, msg=name)


DETERMINISTIC = [name for name in METHODS if name not in ("weights", "initial_loss", "prior", "pcgrad", "gradvac")]


@pytest.mark.parametrize("method", DETERMINISTIC)
def test_a_step_has_weighted_gradients_in_one_part_or_several(method: str, tmp_path: Path) -> None:
    need(method)
    made = two_tasks(tmp_path, dropout=0.0, balance=METHODS[method])
    run = begin(made, tmp_path)
    run.micro_batching.parts = 1 if method == "min_norm" else 3
    steps = first_batches(run)
    wanted = expected(run, steps)
    assert_close(gradients(run, batches=steps), wanted)


def test_the_batches_of_an_accumulated_step_are_balanced_together(tmp_path: Path) -> None:
    made = two_tasks(tmp_path, dropout=0.0, balance="grad_norm", accumulation=2, batch_size=4)
    run = begin(made, tmp_path)
    wanted = expected(run, first_batches(run, 2))
    assert_close(gradients(begin(made, tmp_path), 2), wanted)


@pytest.mark.parametrize("at", ["shared", "representation"])
def test_the_losses_of_one_task_are_balanced(at: str, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "t.jsonl", relation_documents(annotated=True))
    without = {"name": "tiny", "max_length": 64, "stride": 16, "dropout": 0.0, "attention_dropout": 0.0}
    balance = {"name": "grad_norm", "by": "loss", "at": at}
    made = relation_recipe(file, encoder=without, training={"balance": balance})
    run = begin(made if at == "shared" else relation_recipe(file, encoder=without), tmp_path)
    [[batch]] = first_batches(run)
    found = gradients(begin(made, tmp_path))
    if at == "shared":
        assert_close(found, expected(run, [(batch,)]))
        return
    model = run.setup.model
    hidden = model.encoder(input_ids=batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
    losses = model.head("relation").losses(hidden, batch.text_mask, batch.targets)
    assert len(losses) == 3
    parts = [torch.autograd.grad(loss, hidden, retain_graph=True)[0] for loss in losses.values()]
    hidden.backward(torch.stack([part / part.norm() for part in parts]).sum(0))
    wanted = {name: p.grad.clone() for name, p in model.encoder.named_parameters() if p.grad is not None}
    assert_close({name.removeprefix("encoder."): g for name, g in found.items() if name.startswith("encoder.")}, wanted)


def test_the_scale_of_float16_is_no_part_of_the_weights() -> None:
    def step(scale: float) -> Tensor:
        shared = nn.Parameter(torch.tensor([1.0, 2.0]))
        balancer = StepWeights(GradNorm(), ["a", "b"], by="task", shared=[shared], compared=[0], scale=lambda: scale)
        for name, factor in (("a", 3.0), ("b", 50.0)):
            balancer.backward(
                {f"{name}.x": factor * shared[0] * shared[1]},
                share=1.0,
                backward=lambda loss, *, retain_graph=False: (loss * scale).backward(retain_graph=retain_graph),
            )
        balancer.finish_step()
        assert shared.grad is not None
        return shared.grad / scale

    torch.testing.assert_close(step(1024.0), step(1.0))
    assert float(step(1.0).norm()) == pytest.approx(2.0)


def test_gradients_that_are_not_finite_are_counted_and_left_to_the_loop() -> None:
    shared = nn.Parameter(torch.tensor([1.0]))
    balancer = StepWeights(GradNorm(), ["a", "b"], by="task", shared=[shared], compared=[0], scale=lambda: 1.0)
    for name, factor in (("a", 1.0), ("b", float("inf"))):
        balancer.backward(
            {f"{name}.x": factor * shared[0]}, share=1.0, backward=lambda loss, retain_graph: loss.backward()
        )
    balancer.finish_step()
    assert shared.grad is not None
    assert not shared.grad.isfinite().any()
    assert balancer.values()["balance.skipped"] == 1.0
    assert balancer.values()["balance.weight.a"] == 0.0


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop.Run._plain_backward

    def broken(run: loop.Run, part: Batch, *, share: float) -> Tensor:
        return real(run, part, share=float("-inf") if part.task == LINKS else share)

    monkeypatch.setattr(loop.Run, "_plain_backward", broken)
    with pytest.raises(TrainingError, match="the loss is finite, but the norm of the gradient is"):
        list(train(two_tasks(tmp_path, balance="min_norm"), tmp_path / "run"))


class Small:
    """Memory for 3 windows at a time, which runs out after some of the gradient is there."""

    def __init__(self) -> None:
        self.met: list[str] = []

    def backward(self, run: loop.Run, part: Batch, share: float) -> Tensor:
        loss = BACKWARD(run, part, share)
        if len(part.input_ids) > 3 and part.task == LINKS:
            self.met.append(part.task)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return loss


BACKWARD = loop.Run._backward


def test_a_step_that_runs_out_of_memory_is_repeated_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = two_tasks(tmp_path, dropout=0.0, balance="grad_norm", epochs=1)
    whole = gradients(begin(made, tmp_path))
    memory = Small()
    monkeypatch.setattr(loop.Run, "_backward", lambda run, part, share: memory.backward(run, part, share))
    run = begin(made, tmp_path)
    assert_close(gradients(run), whole)
    assert memory.met == [LINKS, LINKS]
    assert run.micro_batching.parts == 4


class Watcher:
    """A technique that looks at the gradient of the embeddings after a batch, as adversarial training does."""

    name = "watcher"

    def __init__(self) -> None:
        self.seen: list[float] = []

    def wrap_model(self, model: nn.Module) -> nn.Module:
        self.weight = model.encoder.get_input_embeddings().weight  # type: ignore[union-attr,operator]
        return model

    def compute_gradients(self, batch: Batch, compute: Compute) -> Tensor:
        loss = compute(batch)
        self.seen.append(float(self.weight.grad.norm()))
        return loss

    def after_step(self, step: int) -> None:
        pass

    def evaluation_weights(self) -> Any:
        return nullcontext()

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        pass


@pytest.mark.parametrize("by", ["task", "loss"])
def test_a_technique_sees_the_gradient_of_its_batch(by: str, tmp_path: Path) -> None:
    made = two_tasks(tmp_path, dropout=0.0, balance={"name": "min_norm", "by": by}, epochs=1)
    watcher, setup = Watcher(), prepare(made)
    setup.model.double()
    run = Run.start(made, setup, tmp_path / "run", stop=Stop(), techniques=[watcher])
    run.model.train()
    steps = first_batches(run)
    _, found = plain(run, steps)
    run._step(steps[0])
    wanted = [float(one["encoder.embeddings.word_embeddings.weight"].norm()) for one in found.values()]
    assert watcher.seen == pytest.approx(wanted, rel=1e-4)


def read_log(output: Path) -> list[dict[str, str]]:
    with (output / "log.csv").open(encoding="utf-8") as file:
        return [
            {k: v for k, v in row.items() if k != "sentences_per_second"}
            for row in csv.DictReader(file)
            if row[f"{NAMES}.f1"]
        ]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_two_tasks_and_logs_what_it_did(method: str, tmp_path: Path) -> None:
    need(method)
    precision = {"precision": "bfloat16"} if method == "min_norm" else {}
    events = list(train(two_tasks(tmp_path, balance=METHODS[method], epochs=1, **precision), tmp_path / "run"))
    [evaluated] = [event for event in events if isinstance(event, Evaluated)]
    [row] = read_log(tmp_path / "run")
    assert evaluated.balance
    for name, value in evaluated.balance.items():
        assert float(row[name]) == value
        assert np.isfinite(value)
    weights = {name: value for name, value in evaluated.balance.items() if name.startswith("balance.weight.")}
    assert max(weights.values()) > 0
    if method not in ("weights", "initial_loss", "prior", "log", "generalised_mean"):
        names = list(evaluated.balance)
        pairs = {2: 1, 4: 6}[len(weights)]
        assert len([name for name in names if name.startswith("balance.cosine.")]) == pairs
        assert 0 <= evaluated.balance["balance.conflicts"] <= pairs
        assert -1 <= evaluated.balance[next(n for n in names if n.startswith("balance.cosine."))] <= 1


STATEFUL = ["initial_loss", "grad_norm by loss", "gradvac"]
"""Measured weights; means for the log; a state of the method, which also draws random numbers."""


@pytest.mark.parametrize("method", STATEFUL)
def test_a_resumed_run_ends_as_one_that_was_not_stopped(method: str, tmp_path: Path) -> None:
    need(method)
    made = two_tasks(tmp_path, balance=METHODS[method], epochs=2)
    list(train(made, tmp_path / "whole"))
    with pytest.raises(Stopped):
        list(train(made, tmp_path / "cut", stop=StopAfter(4)))
    list(train(made, tmp_path / "cut", resume=True))
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_log(tmp_path / "whole") == read_log(tmp_path / "cut")


def test_a_run_is_not_resumed_with_another_method(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        list(train(two_tasks(tmp_path, balance="log"), tmp_path / "run", stop=StopAfter(1)))
    with pytest.raises(RecipeError, match=r"training\.balance\.name was .log. and is now .min_norm."):
        list(train(two_tasks(tmp_path, balance="min_norm"), tmp_path / "run", resume=True))


def batches_of(run: Run, count: int = 2) -> dict[str, list[Batch]]:
    return build._Drawn((run.loader.dataset._mixture, run.sampler), run.accelerator, seed=1).first(count)


def test_initial_losses_are_measured_with_dropout_and_leave_the_run_as_it_is(tmp_path: Path) -> None:
    run = begin(two_tasks(tmp_path, dropout=0.5), tmp_path, double=False)
    batches, before = batches_of(run), torch.get_rng_state()
    model = run.setup.model.eval()
    found, again = (initial_weights(model, model, batches, by="task", seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    assert found == again
    with torch.no_grad():
        without = {task: np.mean([float(sum(model(b).values())) for b in some]) for task, some in batches.items()}
    for task, weight in found.items():
        assert 1 / weight != pytest.approx(without[task], rel=1e-6)
        assert 1 / weight == pytest.approx(without[task], rel=0.5)


@pytest.mark.parametrize("head", heads_of("relation"))
def test_the_prior_is_near_the_loss_of_a_new_head(head: str, tmp_path: Path) -> None:
    run = begin(two_tasks(tmp_path, relations=head), tmp_path, double=False)
    batches = {LINKS: batches_of(run)[LINKS]}
    model = run.setup.model.eval()
    model.begin_step(0.0)
    [[_, prior]] = prior_weights(run.setup, batches, by="task", seed=0).items()
    with torch.no_grad():
        measured = np.mean([float(sum(model(batch).values())) for batch in batches[LINKS]])
    assert 1 / prior == pytest.approx(measured, rel=0.5)


@pytest.mark.parametrize("option", [{"label_smoothing": 0.3}, {"negative_sampling": 0.1}])
def test_the_prior_is_that_of_the_loss_of_the_run(option: dict[str, float], tmp_path: Path) -> None:
    plain = begin(two_tasks(tmp_path, balance="prior"), tmp_path, double=False).balancer.weights  # type: ignore[attr-defined]
    run = begin(two_tasks(tmp_path, dropout=0.0, balance="prior", **option), tmp_path, double=False)
    found = run.balancer.weights  # type: ignore[attr-defined]
    batches = batches_of(run)
    with torch.no_grad():
        measured = {
            task: np.mean([float(sum(run.setup.model(b).values())) for b in some]) for task, some in batches.items()
        }
    for task, weight in found.items():
        assert weight != pytest.approx(plain[task], rel=0.01)
        assert 1 / weight == pytest.approx(measured[task], rel=0.5)


def test_the_prior_of_classes_is_the_logarithm_of_their_number(tmp_path: Path) -> None:
    made = two_tasks(tmp_path)
    tasks = {
        NAMES: made.tasks[NAMES].model_copy(
            update={"head": HEADS["softmax"].section.model_validate({"name": "softmax"})}
        )
    }
    run = begin(made.model_copy(update={"tasks": tasks}), tmp_path, double=False)
    batches = batches_of(run)
    classes = 2 * 3 + 1
    tokens = np.mean([float(batch.text_mask.sum()) / len(batch.text_mask) for batch in batches[NAMES]])
    found = prior_weights(run.setup, batches, by="task", seed=0)
    assert 1 / found[NAMES] == pytest.approx(tokens * np.log(classes), rel=1e-4)


def test_a_head_without_a_known_start_value_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begin(two_tasks(tmp_path), tmp_path, double=False)
    monkeypatch.setattr(MatrixHead, "losses", lambda self, hidden, *rest: {"x": hidden.sum()})
    with pytest.raises(TrainingError, match="prior: the loss names is 0 before the first step"):
        prior_weights(run.setup, batches_of(run), by="task", seed=0)


def test_unknown_losses_single_losses_and_several_processes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"balance\.weights\.links\.entity: there is no loss .* did you mean 'links.entities'"
    ):
        begin(two_tasks(tmp_path, balance={"name": "weights", "weights": {"links.entity": 2}}), tmp_path)
    with pytest.raises(RecipeError, match=r"balance\.main: there is no loss 'links.start'"):
        begin(two_tasks(tmp_path, balance={"name": "main_auxiliary", "by": "loss", "main": "links.start"}), tmp_path)
    made = two_tasks(tmp_path, balance={"name": "log", "by": "loss"})
    alone = made.model_copy(update={"tasks": {NAMES: made.tasks[NAMES]}})
    with pytest.raises(RecipeError, match=r"log has nothing to balance: there is only the loss names\.entities"):
        begin(alone, tmp_path)
    file = write_jsonl(tmp_path / "t.jsonl", relation_documents(annotated=True))
    balance = {"name": "grad_norm", "by": "loss", "at": "representation"}
    run = begin(made := relation_recipe(file, training={"balance": balance}), tmp_path)
    batches, two = (run.loader.dataset._mixture, run.sampler), Processes(0, 2)
    with pytest.raises(TrainingError, match=r"training.balance.at: representation does not support several processes"):
        build_balancer(made, run.setup, run.accelerator, batches, processes=two)


def test_an_encoder_without_layers_of_its_own_has_no_last_layer() -> None:
    with pytest.raises(ModelError, match="last_layer: the layers of this encoder share their weights"):
        build._last_layer(["embeddings.weight", "encoder.albert_layer_groups.0.albert_layers.0.weight"])


def with_pairs(directory: Path, **training: Any) -> Recipe:
    """The task `names`, and pairs whose loss compares all pairs of a step."""
    made = two_tasks(directory, dropout=0.0, **training)
    file = str(write_pairs(directory, classes=3))
    pairs = {"task": "match", "data": {"train": file, "dev": file}, "head": {"name": "cosent"}}
    return made.model_copy(update={"tasks": {NAMES: made.tasks[NAMES], "pairs": TaskSection.model_validate(pairs)}})


@pytest.mark.parametrize("method", ["log", "grad_norm", "min_norm on unit gradients"])
def test_a_loss_that_compares_pairs_is_balanced_with_others_in_parts_too(method: str, tmp_path: Path) -> None:
    made = with_pairs(tmp_path, balance=METHODS[method])
    run = begin(made, tmp_path)
    wanted = expected(run, first_batches(run))
    for parts in (1, 3):
        run = begin(made, tmp_path)
        run.micro_batching.parts = parts
        assert_close(gradients(run), wanted)


def test_the_batches_of_a_step_are_one_loss_of_pairs_for_the_balancer(tmp_path: Path) -> None:
    """Two batches of 4 pairs have the gradient of one batch of 8."""
    found = []
    for size, accumulation in ((8, 1), (4, 2)):
        made = with_pairs(tmp_path, balance="grad_norm", batch_size=size, accumulation=accumulation)
        run = begin(made, tmp_path)
        windows = build_steps(run.setup, made)[0].tasks
        rows = [[list(range(n, n + size)) for n in range(0, 8, size)]] * 2
        for number in range(accumulation):
            batches = [task.batch(own[number]) for task, own in zip(windows, rows, strict=True)]
            run._batches = lambda batches=batches: iter([tuple(batches)])  # type: ignore[method-assign,misc]
            part = gradients(run)
        found.append(part)
    assert_close(*found)


@pytest.mark.parametrize("method", ["prior", "min_norm"])
def test_pairs_and_names_are_trained_together(method: str, tmp_path: Path) -> None:
    events = list(train(with_pairs(tmp_path, balance=METHODS[method], epochs=1), tmp_path / "run"))
    [evaluated] = [event for event in events if isinstance(event, Evaluated)]
    assert {"balance.weight.names", "balance.weight.pairs"} <= evaluated.balance.keys()
    assert all(np.isfinite(value) for value in evaluated.balance.values())
