from __future__ import annotations

import pytest
import torch
from torch import nn

from ie_cli.modeling.heads.gplinker import build as gplinker
from ie_cli.recipe.schema import TrainingSection
from ie_cli.training.optimizer import SCHEDULES, build_optimizer, build_schedule, parameter_groups


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(4, 2)
        self.layer = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.norm = nn.LayerNorm(2)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Linear(2, 2)


def test_rates_fall_layer_by_layer_and_vectors_do_not_decay() -> None:
    model = Model()
    section = TrainingSection(learning_rate=1e-4, head_learning_rate=1e-2, layer_decay=0.5, weight_decay=0.1)
    found = {}
    for group in parameter_groups(model, section):
        for parameter in group["params"]:  # type: ignore[attr-defined]
            found[id(parameter)] = (group["lr"], group["weight_decay"])
    names = {name: found[id(parameter)] for name, parameter in model.named_parameters()}
    assert names == {
        "encoder.embeddings.weight": (pytest.approx(2.5e-5), 0.1),
        "encoder.layer.0.weight": (pytest.approx(5e-5), 0.1),
        "encoder.layer.0.bias": (pytest.approx(5e-5), 0.0),
        "encoder.layer.1.weight": (pytest.approx(1e-4), 0.1),
        "encoder.layer.1.bias": (pytest.approx(1e-4), 0.0),
        "encoder.norm.weight": (pytest.approx(1e-4), 0.0),
        "encoder.norm.bias": (pytest.approx(1e-4), 0.0),
        "head.weight": (pytest.approx(1e-2), 0.1),
        "head.bias": (pytest.approx(1e-2), 0.0),
    }


@pytest.mark.parametrize("factors", [True, False])
def test_label_biases_learn_faster_than_the_rest_of_a_head(factors: bool) -> None:
    labels = {"entities": 2, "start_links": 3, "end_links": 3}
    model = nn.ModuleDict({"heads": gplinker(8, labels, head_size=4, entity_scorer="efficient_global_pointer")})
    section = TrainingSection(head_learning_rate=1e-3, weight_decay=0.1)
    found = {}
    for group in parameter_groups(model, section, factors=factors):
        for parameter in group["params"]:  # type: ignore[attr-defined]
            found[id(parameter)] = (group["lr"], group["weight_decay"])
    for name, parameter in model.named_parameters():
        rate = 8e-3 if factors and ".bias." in name else 1e-3
        assert found[id(parameter)] == (pytest.approx(rate), 0.0 if name.endswith(".bias") else 0.1), name


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.1])
@pytest.mark.parametrize("steps", [1, 2, 50])
def test_schedules_rise_to_the_peak_and_never_past_it(name: str, warmup: float, steps: int) -> None:
    section = TrainingSection(schedule=name, warmup=warmup, head_learning_rate=1.0, learning_rate=1.0)  # type: ignore[arg-type]
    optimizer = build_optimizer(Model(), section)
    schedule = build_schedule(optimizer, section, steps=steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert all(0 < rate <= 1 for rate in rates)
    assert max(rates) == pytest.approx(1.0, abs=0.05)
    if name != "constant":
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-6)


def test_frozen_parameters_are_left_out() -> None:
    model = Model()
    model.encoder.requires_grad_(False)
    groups = parameter_groups(model, TrainingSection())
    assert sum(len(group["params"]) for group in groups) == 2  # type: ignore[arg-type]
    assert torch.is_tensor(groups[0]["params"][0])  # type: ignore[index]
