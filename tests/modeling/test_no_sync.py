"""Losses and scores are computed without a look of the host at values, and its copies to the device are asynchronous."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
import transformers
from support.heads import APART, HIDDEN, PAIR_HEADS, WINDOW_HEADS, built, example, windows_for
from support.no_sync import BLIND, blind_device

from ie_cli.document import Document
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.modeling.device_queue import InOrder
from ie_cli.modeling.gpu_attention import prepare_for_device, use_gpu_attention
from ie_cli.modeling.losses import factorised, handshaking, label_blocks, span_classes, streamed
from ie_cli.modeling.losses.options import LossOptions
from ie_cli.modeling.model import ExtractionModel

PAIRS = [
    Document("一二三", text_pair="二三四", label=label) for label in ("no", "yes", "maybe", "yes") for _ in range(2)
]


def documents_for(name: str) -> list[Document]:
    """Return documents that the codec of a head can encode."""
    if name in PAIR_HEADS:
        return PAIRS
    return [APART, example(12, most=0), APART]


@pytest.mark.parametrize("name", [*WINDOW_HEADS, *PAIR_HEADS])
def test_a_loss_and_its_gradient_never_wait_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = cast(Any, built(name)).train()
    windows = windows_for(name, head, documents_for(name))
    batch = windows.batch(list(range(len(windows))))
    with blind_device(monkeypatch) as copies:
        head.to(BLIND)
        copies.blocking.clear()  # the weights
        moved = batch.to(BLIND)
        shape = (*moved.input_ids.shape, HIDDEN)
        hidden = torch.zeros(shape, device=BLIND, requires_grad=True)
        read = head.read(hidden, moved.attention_mask, hidden)
        weights = None
        losses = head.losses(read, moved.text_mask, moved.targets, weights)
        sum(losses.values()).backward()
        assert hidden.grad is not None
        assert not copies.blocking
        assert copies.asynchronous > 2
        with pytest.raises((RuntimeError, NotImplementedError)):
            float(sum(losses.values()))


@pytest.mark.parametrize("name", ["global_pointer", "gplinker", "biaffine", "tplinker"])
def test_neither_do_blocks_of_labels_and_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (streamed, span_classes, handshaking, label_blocks):
        monkeypatch.setattr(module, "BLOCK_BYTES", 64)
    test_a_loss_and_its_gradient_never_wait_for_the_device(name, monkeypatch)


@pytest.mark.parametrize("name", ["global_pointer", "efficient_global_pointer"])
def test_neither_do_soft_labels_and_divergences(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head = cast(Any, built(name)).train()
    head.set_loss_options(LossOptions(smoothing=0.1, negatives=2.0))
    batch = windows_for(name, head, [APART]).batch([0])
    with blind_device(monkeypatch):
        head.to(BLIND)
        moved = batch.to(BLIND)
        hidden = torch.zeros((*moved.input_ids.shape, HIDDEN), device=BLIND, requires_grad=True)
        losses = head.losses(hidden, moved.text_mask, moved.targets)
        losses |= {"d": head.divergences(hidden, hidden + 1, moved.text_mask, moved.targets)["entities"]}
        sum(losses.values()).backward()
    assert hidden.grad is not None


@pytest.mark.parametrize("scale", [1.0, 30.0, 200.0])
def test_float64_replaces_the_look_at_large_scores(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, the sums are computed in float64; with its numbers, the result is that of looking."""
    random = torch.Generator().manual_seed(1)
    mask = torch.rand(3, 9, generator=random) < 0.8
    entries = torch.tensor(
        [[sample, 1, int(mask[sample].int().argmax()), int(mask[sample].int().argmax())] for sample in range(3)]
    )
    gold = factorised.Gold.build(entries, mask)
    found = []
    for looked_at in (("cpu",), ()):
        monkeypatch.setattr(factorised, "_LOOKED_AT", looked_at)
        factors = [
            torch.randn(shape, generator=random.manual_seed(2)) * scale for shape in ((3, 9, 9), (3, 4, 9), (3, 4, 9))
        ]
        for factor in factors:
            factor.requires_grad_()
        loss = factorised.factorised_loss(factors[0], factors[1], factors[2], mask, gold)
        found.append((loss, *torch.autograd.grad(loss, factors)))
    for looked, wide in zip(*found, strict=True):
        assert wide.dtype == torch.float32
        torch.testing.assert_close(wide, looked, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["Bert", "ModernBert"])
@pytest.mark.parametrize("lengths", [(7, 4), (7, 7)])
def test_attention_of_a_gpu_computes_the_same(family: str, lengths: tuple[int, int]) -> None:
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "vocab_size": 40,
    }
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    encoder = getattr(transformers, f"{family}Model")(
        getattr(transformers, f"{family}Config")(**sizes, **special)
    ).eval()
    ids = torch.randint(3, 40, (2, 7))
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    model = ExtractionModel(encoder, {})
    expected = model.hidden(ids, mask)
    use_gpu_attention(encoder)
    assert encoder.config._attn_implementation == "ie_gpu"
    torch.testing.assert_close(model.hidden(ids, mask)[mask], expected[mask])
    if mask.all():
        torch.testing.assert_close(model.hidden(ids, None), expected)


@pytest.mark.parametrize(("device", "allowed"), [("cuda", False), ("cpu", True)])
def test_on_a_gpu_no_plan_is_built_for_each_shape(device: str, allowed: bool) -> None:
    """cuDNN's attention does that, and torch prefers it on some GPUs."""
    encoder = transformers.BertModel(transformers.BertConfig(num_hidden_layers=1), add_pooling_layer=False)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    try:
        prepare_for_device(encoder, torch.device(device))
        assert torch.backends.cuda.cudnn_sdp_enabled() == allowed
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_an_encoder_gets_no_mask_on_a_gpu_if_there_is_no_padding() -> None:
    seen: list[Any] = []

    class Encoder(torch.nn.Module):
        config = transformers.BertConfig()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> Any:
            seen.append(attention_mask)
            return transformers.modeling_outputs.BaseModelOutput(torch.zeros((*input_ids.shape, HIDDEN), device=BLIND))

    encoder = Encoder()
    encoder.config._attn_implementation = "ie_gpu"
    model = ExtractionModel(encoder, {"ner": built("global_pointer")})
    ids, mask = torch.zeros(1, 4, dtype=torch.int64, device=BLIND), torch.ones(1, 4, dtype=torch.bool, device=BLIND)
    model.read(["ner"], ids, mask, padded=False)
    model.read(["ner"], ids, mask, padded=True)
    encoder.config._attn_implementation = "eager"
    model.read(["ner"], ids, mask, padded=False)
    assert [found is None for found in seen] == [True, False, False]


@pytest.mark.parametrize("name", [*WINDOW_HEADS, *PAIR_HEADS])
def test_launching_a_batch_and_its_scores_never_waits_for_the_device(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    encoder = transformers.BertModel(transformers.BertConfig(vocab_size=40, **sizes), add_pooling_layer=False)
    use_gpu_attention(encoder)
    head = cast(Any, built(name))
    backend = TorchBackend(ExtractionModel(encoder, {"task": head}), "float32")
    ids = np.full((3, 9), 5)
    brought: list[Any] = []
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # in which copies can be recorded
    with blind_device(monkeypatch) as copies:
        backend.model.to(BLIND)
        copies.blocking.clear()  # the weights
        copies.asynchronous = 0
        monkeypatch.setattr(InOrder, "bring", lambda queue, tensors: brought.append(tensors) or {})
        for mask in (ids > 0, np.arange(9) < np.array([[9], [4], [7]])):
            outputs = backend.run(ids, mask)["task"]
            for matrix in head.blocks(outputs.hidden):
                list(outputs.matrix(matrix))
            if "objects" in head.queries:
                outputs.query("objects", {argument: np.array([1, 2]) for argument in head.queries["objects"]})
    assert brought
    assert not copies.blocking
    assert copies.asynchronous >= 4
