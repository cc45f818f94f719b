"""An encoder with heads: the losses of a batch, and the names of tensors, now and in version 0.1."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from support.heads import HIDDEN, SCHEMA, built, example, windows_for
from torch import Tensor, nn

from ie_cli.modeling.batch import Batch
from ie_cli.modeling.model import ExtractionModel, distinct_tensors, first_not_finite, rename_tensor_of_0_1

TASKS = {"names": "global_pointer", "links": "gplinker"}


class Encoder(nn.Module):
    """An encoder whose hidden states depend only on the ids."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(200, HIDDEN)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.embeddings(input_ids) * attention_mask[..., None])


@pytest.fixture
def model() -> ExtractionModel:
    torch.manual_seed(1)
    return ExtractionModel(Encoder(), {task: built(head) for task, head in TASKS.items()})


def batch_of(model: ExtractionModel, task: str) -> Batch:
    windows = windows_for(TASKS[task], model.head(task), [example(7), example(4, seed=1)])  # type: ignore[arg-type]
    windows.task = task
    return windows.batch([0, 1])


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_has_the_losses_of_its_task(task: str, model: ExtractionModel) -> None:
    batch = batch_of(model, task)
    hidden = model.hidden(batch.input_ids, batch.attention_mask)
    expected = model.head(task).losses(hidden, batch.text_mask, batch.targets)
    found = model(batch)
    assert found.keys() == {f"{task}.{name}" for name in expected}
    for name, loss in expected.items():
        torch.testing.assert_close(found[f"{task}.{name}"], loss)
    torch.stack(list(found.values())).sum().backward()
    touched = {name.split(".")[1] for name, p in model.named_parameters() if p.grad is not None and "heads" in name}
    assert len(touched) == 1  # the other head gets no gradients


def test_weights_are_those_of_the_task(model: ExtractionModel) -> None:
    batch = batch_of(model, "links")
    sizes = {"entities": len(SCHEMA.labels), "start_links": len(SCHEMA.predicates), "end_links": len(SCHEMA.predicates)}
    plain = model(batch)
    halves = {matrix: torch.full((count,), 0.5) for matrix, count in sizes.items()}
    others = {"names": {"entities": torch.zeros(3)}}
    assert plain.keys() == {f"links.{matrix}" for matrix in sizes}
    torch.testing.assert_close(model(batch, {"links": halves, **others}), {n: 0.5 * loss for n, loss in plain.items()})
    torch.testing.assert_close(model(batch, others), plain)


# Names

EARLIER = {
    "efficient_global_pointer": ["projection.weight", "projection.bias", "bias.weight", "bias.bias"],
    "global_pointer": ["weight", "bias"],
    "gplinker": [
        "entity.weight",
        "entity.bias",
        *(
            f"{link}.{name}"
            for link in ("start_link", "end_link")
            for name in ("projection.weight", "projection.bias", "bias.weight", "bias.bias")
        ),
    ],
}
"""The tensors of the heads of version 0.1, after ``head.``."""


@pytest.mark.parametrize("name", EARLIER)
@pytest.mark.parametrize("task", ["ner", "keys"])  # a ModuleDict has a method of this name
def test_tensors_of_version_0_1_have_a_place(name: str, task: str) -> None:
    made = ExtractionModel(Encoder(), {task: built(name)})
    expected = set(made.state_dict())
    earlier = ["encoder.embeddings.weight", *(f"head.{tensor}" for tensor in EARLIER[name])]
    assert {rename_tensor_of_0_1(tensor, task) for tensor in earlier} == expected
    assert {rename_tensor_of_0_1(tensor, task) for tensor in expected} == expected  # current names do not change


def test_the_entity_scorer_of_links_has_a_place_too() -> None:
    made = ExtractionModel(Encoder(), {"relation": built("gplinker", entity_scorer="efficient_global_pointer")})
    earlier = {
        rename_tensor_of_0_1(f"head.entity.{tensor}", "relation") for tensor in EARLIER["efficient_global_pointer"]
    }
    assert earlier == {name for name in made.state_dict() if ".entities." in name}


def test_tied_tensors_are_named_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(2, 2, bias=False)
            self.other = nn.Linear(2, 2, bias=False)
            self.other.weight = self.one.weight
            self.register_buffer("none", torch.zeros(0))
            self.register_buffer("nothing", torch.zeros(0))

    assert [name for name, _ in distinct_tensors(Tied())] == ["none", "nothing", "one.weight"]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_the_first_non_finite_weight_is_named(value: float, model: ExtractionModel) -> None:
    assert first_not_finite(model) is None
    with torch.no_grad():
        list(model.head("links").parameters())[-1].fill_(value)  # type: ignore[attr-defined]
    named = first_not_finite(model)
    assert named == [name for name, _ in model.named_parameters()][-1]
