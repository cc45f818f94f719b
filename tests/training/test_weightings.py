"""Methods of balancing: which changes of the losses they ignore, that no loss rises, and their closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ie_cli.errors import RecipeError, TrainingError
from ie_cli.recipe.balance import CONSTANT, TORCHJD, BalanceSection
from ie_cli.training.balancing.base import Balancer
from ie_cli.training.balancing.build import build_weighting
from ie_cli.training.balancing.by_torchjd import ByTorchJD
from ie_cli.training.balancing.constant import ConstantWeights
from ie_cli.training.balancing.gram import norms
from ie_cli.training.balancing.start_values import initial_weights
from ie_cli.training.balancing.step_weights import StepWeights
from ie_cli.training.balancing.weightings import FLOOR, GeneralisedMean, GradNorm, Log, MainAuxiliary, MinNorm

Doubles = npt.NDArray[np.float64]
NAMES = ("a", "b", "c")
EVERY = np.ones(3, dtype=bool)

METHODS: dict[str, dict[str, Any]] = {
    "sum": {"name": "sum"},
    "weights": {"name": "weights", "weights": {"a": 2.0, "c": 0.5}},
    "initial_loss": {"name": "initial_loss"},
    "prior": {"name": "prior"},
    "log": {"name": "log"},
    "geometric mean": {"name": "generalised_mean"},
    "generalised_mean": {"name": "generalised_mean", "gamma": 0.5},
    "grad_norm": {"name": "grad_norm"},
    "min_norm": {"name": "min_norm"},
    "min_norm on unit gradients": {"name": "min_norm", "normalise": True},
    "main_auxiliary": {"name": "main_auxiliary", "main": "a"},
    **{name: {"name": name} for name in sorted(TORCHJD)},
}
INVARIANCE = {  # direction if one loss is scaled, direction if one loss is shifted, length if all losses are multiplied by 7
    "sum": (False, True, 7),
    "weights": (False, True, 7),
    "initial_loss": (True, False, 1),
    "prior": (False, True, 7),  # constant: only a prior computed from the changed loss would change
    "log": (True, False, 1),
    "geometric mean": (True, False, 7),
    "generalised_mean": (False, False, 7),
    "grad_norm": (True, True, 1),
    "min_norm": (False, True, 7),
    "min_norm on unit gradients": (True, True, 1),
    "main_auxiliary": (True, True, 7),
    "upgrad": (False, True, 7),
    "pcgrad": (False, True, 7),
    "cagrad": (False, True, 7),
    "aligned_mtl": (False, True, 7),
    "imtl": (True, True, 7),
    "gradvac": (False, True, 7),
}


class Toy:
    """Three losses of one shared vector, each with a head of its own; a loss can be scaled and shifted."""

    def __init__(self, scales: Doubles, shifts: Doubles) -> None:
        random = torch.Generator().manual_seed(5)
        self.shared = nn.Parameter(torch.randn(6, generator=random, dtype=torch.float64))
        self.heads = nn.ParameterList(
            [nn.Parameter(torch.randn(6, generator=random, dtype=torch.float64)) for _ in NAMES]
        )
        self.targets = torch.randn(3, generator=random, dtype=torch.float64) + 3
        self.scales, self.shifts = scales.tolist(), shifts.tolist()

    def losses(self, name: str) -> dict[str, Tensor]:
        at = NAMES.index(name)
        loss = 1 + (self.heads[at] @ torch.tanh(self.shared) - self.targets[at]) ** 2
        return {f"{name}.only": loss * self.scales[at] + self.shifts[at]}

    def direction(self, section: BalanceSection) -> Doubles:
        """The gradient of the shared vector in the first step."""
        balancer = self.balancer(section)
        for name in NAMES:
            balancer.backward(self.losses(name), share=1.0, backward=backward)
        balancer.finish_step()
        assert self.shared.grad is not None
        found: Doubles = self.shared.grad.numpy()
        return found

    def balancer(self, section: BalanceSection) -> Balancer:
        if section.name not in CONSTANT:
            return steps(build_weighting(section, NAMES), [self.shared])
        find: dict[str, Callable[[], dict[str, float]]] = {
            "sum": dict,
            "weights": lambda: section.weights,
            "prior": lambda: {"a": 0.1, "b": 0.5, "c": 0.2},
            "initial_loss": lambda: initial_weights(
                nn.Linear(1, 1),
                self.losses,  # type: ignore[arg-type]
                {name: [name] for name in NAMES},  # type: ignore[list-item]
                by="task",
                seed=0,
            ),
        }
        return ConstantWeights(find[section.name], NAMES)


def backward(loss: Tensor, *, retain_graph: bool = False) -> None:
    loss.backward(retain_graph=retain_graph)  # type: ignore[no-untyped-call]


def steps(weighting: Any, shared: list[nn.Parameter], *, by: str = "task", names: Any = NAMES) -> StepWeights:
    compared = range(len(shared))
    return StepWeights(weighting, names, by=by, shared=shared, compared=compared, scale=lambda: 1.0)


def parallel(one: Doubles, other: Doubles) -> bool:
    return bool(np.abs(one / np.linalg.norm(one) - other / np.linalg.norm(other)).max() < 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_table_of_invariances(method: str) -> None:
    if METHODS[method]["name"] in TORCHJD:
        pytest.importorskip("torchjd")
    section = BalanceSection.model_validate(METHODS[method])
    scale, shift, factor = INVARIANCE[method]
    one, zero = np.ones(3), np.zeros(3)

    def direction(scales: Doubles, shifts: Doubles) -> Doubles:
        torch.manual_seed(0)  # PCGrad and GradVac draw the order of the tasks
        return Toy(scales, shifts).direction(section)

    plain = direction(one, zero)
    assert np.linalg.norm(plain) > 0
    others = (1, 2) if method == "main_auxiliary" else (0, 1, 2)  # a scaled main loss scales the direction
    scaled = [direction(np.where(np.arange(3) == at, 9.0, 1.0), zero) for at in others]
    assert all(parallel(plain, found) for found in scaled) == scale
    shifted = [direction(one, np.where(np.arange(3) == at, 25.0, 0.0)) for at in range(3)]
    assert all(parallel(plain, found) for found in shifted) == shift
    np.testing.assert_allclose(direction(7 * one, zero), factor * plain, rtol=1e-6, atol=1e-9)


@st.composite
def gradients(draw: st.DrawFn, least: int = 2) -> Doubles:
    """Gradients of 2 to 6 tasks of very different sizes, some 0, equal or opposite."""
    random = np.random.default_rng(draw(st.integers(0, 2**20)))
    count, size = draw(st.integers(least, 6)), draw(st.integers(1, 9))
    found = random.normal(size=(count, size)) * np.exp(2 * random.normal(size=(count, 1)))
    for task in draw(st.lists(st.integers(0, count - 1), max_size=2)):
        found[task] = found[0] * draw(st.sampled_from([0.0, 1.0, -1.0, 2.0]))
    return found


def weights_of(weighting: Any, g: Doubles) -> Doubles:
    found: Doubles = weighting.weights(np.ones(len(g)), g @ g.T, np.ones(len(g), dtype=bool))
    return found


@pytest.mark.parametrize("normalise", [False, True])
@given(g=gradients())
def test_no_loss_rises_along_the_minimum_norm(normalise: bool, g: Doubles) -> None:
    """<g_i, u> ≥ |u|² for every task whose gradient is not 0; equality where its weight is not 0."""
    sizes = np.linalg.norm(g, axis=1)
    active = sizes > 0
    weights = weights_of(MinNorm(normalise=normalise), g)
    assert (weights >= 0).all()
    assert (weights[~active] == 0).all()
    if normalise:
        weights, g = weights * sizes, g / np.where(active, sizes, 1)[:, None]
    direction = weights @ g
    assert weights.sum() == pytest.approx(float(active.any()))
    gap = ((g @ direction - direction @ direction) / max((g**2).sum(axis=1).max(), 1e-300))[active]
    assert gap.min(initial=0.0) > -1e-9
    assert np.abs(gap * weights[active]).max(initial=0.0) < 1e-9


@given(v11=st.floats(0.01, 100), v22=st.floats(0.01, 100), cosine=st.floats(-1, 1))
def test_the_minimum_norm_of_two_tasks_has_a_closed_form(v11: float, v22: float, cosine: float) -> None:
    v12 = cosine * math.sqrt(v11 * v22)
    found = MinNorm().weights(np.ones(2), np.array([[v11, v12], [v12, v22]]), np.ones(2, dtype=bool))
    expected = 1.0 if v12 >= v11 else 0.0 if v12 >= v22 else (v22 - v12) / (v11 + v22 - 2 * v12)
    length = [a * a * v11 + (1 - a) ** 2 * v22 + 2 * a * (1 - a) * v12 for a in (float(found[0]), expected)]
    assert length[0] == pytest.approx(length[1], abs=1e-9 * max(v11, v22))
    if v11 + v22 - 2 * v12 > 1e-3:
        assert found[0] == pytest.approx(expected, abs=1e-6)


@given(v00=st.floats(0.01, 100), v11=st.floats(0.01, 100), cosine=st.floats(-1, 1))
def test_one_auxiliary_task_has_a_closed_form(v00: float, v11: float, cosine: float) -> None:
    v01 = cosine * math.sqrt(v00 * v11)
    found = MainAuxiliary(0).weights(np.ones(2), np.array([[v00, v01], [v01, v11]]), np.ones(2, dtype=bool))
    assert found.tolist() == pytest.approx([1.0, max(0.0, -v01) / v11], abs=1e-9)


@given(g=gradients(), number=st.integers(0, 5))
def test_the_conditions_of_main_and_auxiliary_tasks(g: Doubles, number: int) -> None:
    """λ ≥ 0, <u, g_i> ≥ 0, λ_i <u, g_i> = 0, relative to the sizes of the gradients; and |u| ≤ |g_0|."""
    main = number % len(g)
    weights = weights_of(MainAuxiliary(main), g)
    sizes = np.where(np.linalg.norm(g, axis=1) > 0, np.linalg.norm(g, axis=1), 1.0)
    direction = weights @ g / sizes[main]
    slopes = g / sizes[:, None] @ direction
    others = np.arange(len(g)) != main
    assert weights[main] == 1
    assert (weights >= 0).all()
    assert slopes[others].min(initial=0.0) > -1e-9
    assert np.abs(slopes * weights * sizes / sizes[main])[others].max(initial=0.0) < 1e-9 * max(1, weights.max())
    assert np.linalg.norm(direction) <= 1 + 1e-9
    assert slopes[main] == pytest.approx(direction @ direction, abs=1e-7)


def test_an_opposite_auxiliary_task_stops_the_main_one() -> None:
    g = np.array([[1.0, 2.0], [-3.0, -6.0]])
    np.testing.assert_allclose(weights_of(MainAuxiliary(0), g) @ g, 0, atol=1e-12)


def test_two_unit_gradients_never_conflict_with_their_sum_but_three_can() -> None:
    g = np.array([[1.0, 0.0], [-0.9, math.sqrt(0.19)], [-0.9, -math.sqrt(0.19)]])
    assert (g[:2] @ (weights_of(GradNorm(), g[:2]) @ g[:2]) >= 0).all()
    assert g[0] @ (weights_of(GradNorm(), g) @ g) == pytest.approx(-0.8)


@pytest.mark.parametrize("gamma", [-50.0, -1.0, 0.0, 1e-9, 0.5, 1.0, 3.0, 50.0])
def test_the_generalised_mean_has_the_gradient_of_its_definition(gamma: float) -> None:
    values = torch.tensor([0.5, 2.0, 7.0], dtype=torch.float64, requires_grad=True)
    mean = values.log().mean().exp() if abs(gamma) < 1e-6 else (values**gamma).mean() ** (1 / gamma)
    mean.backward()  # type: ignore[no-untyped-call]
    weights = GeneralisedMean(gamma).weights(values.detach().numpy(), np.zeros((3, 3)), EVERY)
    np.testing.assert_allclose(weights, values.grad.numpy(), rtol=1e-6)  # type: ignore[union-attr]


def test_the_generalised_mean_of_a_large_exponent_is_the_maximum_without_overflow() -> None:
    losses = np.array([1e-2, 1.0, 1e3])
    assert GeneralisedMean(100).weights(losses, np.zeros((3, 3)), EVERY).argmax() == 2
    assert GeneralisedMean(-100).weights(losses, np.zeros((3, 3)), EVERY).argmax() == 0


@pytest.mark.parametrize("weighting", [Log(), GeneralisedMean(), GeneralisedMean(-2.0)])
def test_a_loss_near_0_does_not_take_all_the_weight(weighting: Any) -> None:
    for value in (0.0, 1e-30, -1.0):
        weights = weighting.weights(np.array([1.0, value, 1.0]), np.zeros((3, 3)), EVERY)
        assert np.isfinite(weights).all()
        np.testing.assert_allclose(weights, weighting.weights(np.array([1.0, FLOOR, 1.0]), np.zeros((3, 3)), EVERY))


STEPWISE = [name for name, fields in METHODS.items() if fields["name"] not in CONSTANT]


@pytest.mark.parametrize("method", STEPWISE)
def test_an_absent_task_is_left_out(method: str) -> None:
    """Two tasks of three have the weights that they would have alone."""
    if METHODS[method]["name"] in TORCHJD:
        pytest.importorskip("torchjd")
    g = np.random.default_rng(1).normal(size=(3, 8))
    g[2] = 0
    present, losses = np.array([True, True, False]), np.array([2.0, 3.0, 0.0])

    def found(count: int) -> Doubles:
        torch.manual_seed(0)
        section = BalanceSection.model_validate(METHODS[method])
        weighting = build_weighting(section, NAMES[:count])
        return weighting.weights(losses[:count], g[:count] @ g[:count].T, present[:count])

    three = found(3)
    assert three[2] == 0
    np.testing.assert_allclose(three[:2], found(2), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "method", [name for name in STEPWISE if METHODS[name]["name"] not in ("log", "generalised_mean")]
)
def test_gradients_of_0_have_no_weight_and_small_ones_are_not_0(method: str) -> None:
    if METHODS[method]["name"] in TORCHJD:
        pytest.importorskip("torchjd")
    section = BalanceSection.model_validate(METHODS[method])
    weights = build_weighting(section, NAMES).weights(np.ones(3), np.zeros((3, 3)), EVERY)
    assert weights.tolist() == ([1.0, 0.0, 0.0] if method == "main_auxiliary" else [0.0] * 3)
    g = np.random.default_rng(2).normal(size=(3, 8))
    torch.manual_seed(0)
    small = build_weighting(section, NAMES).weights(np.ones(3), 1e-16 * g @ g.T, EVERY)
    torch.manual_seed(0)
    plain = build_weighting(section, NAMES).weights(np.ones(3), g @ g.T, EVERY)
    np.testing.assert_allclose(small / small.sum(), plain / plain.sum(), rtol=1e-6)


def test_gradvac_is_restored_with_its_expectations() -> None:
    pytest.importorskip("torchjd")
    g = np.random.default_rng(3).normal(size=(4, 3, 5))
    whole, cut = (ByTorchJD(BalanceSection(name="gradvac"), 3) for _ in range(2))
    for part in g[:2]:
        for one in (whole, cut):
            torch.manual_seed(0)
            weights_of(one, part)
    resumed = ByTorchJD(BalanceSection(name="gradvac"), 3)
    resumed.load_state_dict(cut.state_dict())
    for part in g[2:]:
        found = []
        for one in (whole, resumed):
            torch.manual_seed(0)
            found.append(weights_of(one, part).tolist())
        assert found[0] == found[1]


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchjd", None)
    with pytest.raises(RecipeError, match="upgrad needs packages that are not installed") as error:
        ByTorchJD(BalanceSection(name="upgrad"), 2)
    assert "[balance]" in str(error.value.hint)


def test_a_solver_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchjd")
    weighting = ByTorchJD(BalanceSection(name="imtl"), 2)
    monkeypatch.setattr(weighting, "_weighting", SimpleNamespace(__call__=None))
    with pytest.raises(TrainingError, match="training.balance: imtl failed"):
        weights_of(weighting, np.eye(2))


def test_a_start_value_of_0_is_an_error() -> None:
    with pytest.raises(TrainingError, match="initial_loss: the loss b is 0 before the first step") as error:
        Toy(np.array([1.0, 0.0, 1.0]), np.zeros(3)).direction(BalanceSection(name="initial_loss"))
    assert "weights" in str(error.value.hint)


def test_norms_are_those_of_the_diagonal() -> None:
    assert norms(np.diag([4.0, 0.0, -1e-20])).tolist() == [2.0, 0.0, 0.0]
