"""The choice of device and precision, with GPUs that do not exist."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor, nn

from ie_cli.errors import ModelError
from ie_cli.modeling import devices
from ie_cli.modeling.devices import (
    choose_device,
    choose_precision,
    convert,
    converted,
    device_of_process,
    to_device,
    torch_dtype,
)
from ie_cli.recipe.base import Precision

GPU = torch.device("cuda")


@pytest.mark.parametrize(
    ("capability", "bfloat16", "expected"),
    [((9, 0), True, "bfloat16"), ((8, 0), True, "bfloat16"), ((7, 5), False, "float16"), ((6, 1), False, "float32")],
)
def test_the_precision_is_the_fastest_that_the_gpu_has(
    capability: tuple[int, int], bfloat16: bool, expected: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[torch.device] = []

    def device(chosen: torch.device) -> AbstractContextManager[None]:
        entered.append(chosen)
        return nullcontext()

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", GPU) == expected
    assert entered == [GPU]  # torch answers for the GPU in use
    assert choose_precision("float32", GPU) == "float32"
    assert choose_precision("auto", torch.device("mps")) == "float32"


def test_a_gpu_is_chosen_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cuda") == GPU
    with pytest.raises(ModelError, match="device cuda:2 not found") as raised:
        choose_device("cuda:2")
    assert raised.value.hint == "use one of auto, cpu, cuda, cuda:0, cuda:1."
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ModelError, match="device cuda not found") as raised:
        choose_device("cuda")
    assert raised.value.hint == "use one of auto, cpu."


@pytest.mark.parametrize(
    ("wanted", "gpus", "expected"),
    [
        ("auto", 3, ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]),
        ("cuda", 2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]),
        ("auto", 1, ["cuda:0"] * 5),
        ("cuda:1", 3, ["cuda:1"] * 5),
        ("cpu", 3, ["cpu"] * 5),
        ("auto", 0, ["auto"] * 5),
        ("cuda", 0, ["cuda"] * 5),
    ],
)
def test_processes_take_the_gpus_in_turn(
    wanted: str, gpus: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: gpus)
    assert [device_of_process(wanted, process) for process in range(5)] == expected


def test_copies_to_a_gpu_are_asynchronous_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def to(tensor: torch.Tensor, device: torch.device, *, non_blocking: bool) -> torch.Tensor:
        calls.append((device.type, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: calls.append("pinned") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", to)
    to_device(torch.zeros(2), GPU)
    assert calls == ["pinned", ("cuda", True)]
    calls.clear()
    to_device(torch.zeros(2), torch.device("cpu"))
    assert calls == [("cpu", True)]


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32"])
def test_a_converted_module_is_that_which_is_loaded_and_is_restored(precision: Precision) -> None:
    """With tied weights and buffers, and after an error."""

    def built() -> nn.Sequential:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(4, 3))
        model[2].weight = model[0].weight
        return model

    def same(module: nn.Module, expected: dict[str, Tensor]) -> bool:
        found = module.state_dict()
        return all(x.dtype == found[name].dtype and torch.equal(x, found[name]) for name, x in expected.items())

    model, loaded = built(), built()
    convert(loaded, precision)
    assert {x.dtype for x in loaded.parameters()} == {torch_dtype(precision)}
    assert {x.dtype for x in loaded.buffers()} == {torch.float32, torch.int64}
    objects, before = list(model.parameters()), {name: x.clone() for name, x in model.state_dict().items()}
    places = [x.data_ptr() for x in model.state_dict().values()]

    def fail() -> None:
        with converted(model, precision):
            assert same(model, loaded.state_dict())
            assert model[2].weight is model[0].weight
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert same(model, before)
    assert all(one is other for one, other in zip(objects, model.parameters(), strict=True))
    assert places == [x.data_ptr() for x in model.state_dict().values()]
