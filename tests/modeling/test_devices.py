"""The choice of device and precision, with GPUs that do not exist."""

from __future__ import annotations

import pytest
import torch

from ie_cli.errors import ModelError
from ie_cli.modeling import devices
from ie_cli.modeling.devices import choose_device, choose_precision, to_device
from ie_cli.recipe.base import Precision

GPU = torch.device("cuda")


@pytest.mark.parametrize(
    ("capability", "bfloat16", "expected"),
    [((9, 0), True, "bfloat16"), ((8, 0), True, "bfloat16"), ((7, 5), False, "float16"), ((6, 1), False, "float32")],
)
def test_the_precision_is_the_fastest_that_the_gpu_has(
    capability: tuple[int, int], bfloat16: bool, expected: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", GPU) == expected
    assert choose_precision("float32", GPU) == "float32"
    assert choose_precision("auto", torch.device("mps")) == "float32"


def test_a_gpu_is_chosen_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ModelError, match="device cuda:2 not found") as raised:
        choose_device("cuda:2")
    assert raised.value.hint == "use one of auto, cpu, cuda:0, cuda:1."


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
