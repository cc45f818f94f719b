"""The scaled attention against a plain loop, alone and inside encoders."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AttentionInterface

from ie_cli.modeling.attention_scale import length_factor, scaled_attention
from ie_cli.modeling.cpu.attention import attention
from ie_cli.modeling.cpu.training import prepare_for_training
from ie_cli.modeling.encoder import apply_options, build_encoder, checkpoint_layers
from ie_cli.recipe.encoder_functions import attention_factor, attention_name
from ie_cli.recipe.schema import EncoderSection

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40}
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"max_position_embeddings": 80},
    "electra": {"embedding_size": 16},
    "albert": {"embedding_size": 16},
    "distilbert": {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24, "dropout": 0.0, "attention_dropout": 0.0},
    "modernbert": {"local_attention": 4, "global_attn_every_n_layers": 3},
    "eurobert": {"num_key_value_heads": 1, "mask_token_id": 3},
}


def section(**options: Any) -> EncoderSection:
    given = {"name": "x", "max_length": 32, "stride": 8, "attention_scale": "log_n", **options}
    return EncoderSection.model_validate(given)


def build(family: str, options: EncoderSection) -> Any:
    """A small encoder without dropout."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **SIZES | IDS | DROPOUT | FAMILIES[family])
    apply_options(config, options)
    return build_encoder(config).train()


def by_hand(tensors: list[Tensor], mask: Tensor | None, base: int, floor: int) -> Tensor:
    """Return the attention ``[batch, L, heads, size]`` query by query; 0 for a query that sees nothing."""
    query, key, value = (tensor.double() for tensor in tensors)
    batch, heads, length, size = query.shape
    output = torch.zeros(batch, length, heads, size, dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            for i in range(length):
                seen = [j for j in range(length) if mask is None or mask[b, 0, i, j]]
                if seen:
                    factor = math.log(max(len(seen), floor)) / math.log(base) / math.sqrt(size)
                    weights = torch.softmax(torch.stack([query[b, h, i] @ key[b, h, j] for j in seen]) * factor, 0)
                    output[b, i, h] = weights @ value[b, h, seen]
    return output


def inputs(batch: int, heads: int, length: int, size: int) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(batch, heads, length, size, requires_grad=True) for _ in range(3)]


@settings(max_examples=60)
@given(st.data(), st.integers(2, 9), st.integers(1, 9), st.sampled_from(["bool", "numbers", "none"]), st.booleans())
def test_the_attention_is_that_of_a_plain_loop(
    data: st.DataObject, base: int, floor: int, kind: str, training: bool
) -> None:
    batch, heads, length, size = (data.draw(st.integers(1, n)) for n in (2, 2, 7, 4))
    tensors = inputs(batch, heads, length, size)
    seen = torch.tensor(data.draw(st.lists(st.booleans(), min_size=batch * length**2, max_size=batch * length**2)))
    seen = seen.view(batch, 1, length, length)
    mask = {"bool": seen, "none": None, "numbers": torch.zeros(seen.shape).masked_fill(~seen, -3e38)}[kind]
    with torch.set_grad_enabled(training):
        found = scaled_attention(nn.Module(), *tensors, mask, base=base, floor=floor, is_causal=False)[0]
    assert bool(found.isfinite().all())
    expected = by_hand(tensors, None if mask is None else seen, base, floor)
    rows = torch.ones(batch, length, dtype=torch.bool) if mask is None else seen[:, 0].any(-1)
    torch.testing.assert_close(found[rows].double(), expected[rows], atol=1e-5, rtol=1e-4)
    if training and bool(rows.any()):
        weights = torch.linspace(-1, 1, found[rows].numel()).view(found[rows].shape)
        one = torch.autograd.grad((found[rows] * weights).sum(), tensors)
        other = torch.autograd.grad((expected[rows] * weights).sum(), tensors)
        for left, right in zip(one, other, strict=True):
            torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-4)


def test_the_factor_counts_what_is_visible() -> None:
    key = torch.zeros(2, 3, 512, 4, dtype=torch.bfloat16)  # counts above 256 need more than bfloat16
    assert torch.equal(length_factor(None, key, base=512, floor=1), torch.ones(1, 1, 1, 1))
    mask = (torch.arange(512) < torch.tensor([64, 512])[:, None]).view(2, 1, 1, 512)
    found = length_factor(mask, key, base=512, floor=16).flatten().tolist()
    assert found == pytest.approx([2 / 3, 1])
    assert found[1] == 1.0
    for n in (1, 5, 16, 100, 512):
        one = length_factor(torch.arange(512).view(1, 1, 1, -1) < n, key, base=512, floor=16).item()
        assert one == pytest.approx(attention_factor(n, section()), abs=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_at_the_base_the_result_is_the_usual_one_bit_by_bit(training: bool) -> None:
    tensors = inputs(2, 2, 12, 4)
    with torch.set_grad_enabled(training):
        found = scaled_attention(nn.Module(), *tensors, None, base=12, floor=1, is_causal=False)[0]
        assert torch.equal(found, attention(nn.Module(), *tensors, None, is_causal=False)[0])


def test_a_query_that_sees_one_key_gets_its_value() -> None:
    tensors = inputs(1, 2, 5, 4)
    mask = torch.eye(5, dtype=torch.bool).roll(1, 0).view(1, 1, 5, 5)
    found = scaled_attention(nn.Module(), *tensors, mask, base=512, floor=1)[0]
    torch.testing.assert_close(found, tensors[2].roll(1, 2).transpose(1, 2))


def test_the_entropy_grows_more_slowly() -> None:
    torch.manual_seed(0)
    size, lengths, slopes = 64, (32, 128, 512, 1024), []
    for scaled in (False, True):
        entropies = []
        for n in lengths:
            query, key = (nn.functional.normalize(torch.randn(50, m, size), dim=-1) * size**0.5 for m in (1, n))
            factor = length_factor(None, key[:, None], base=512, floor=16).item() if scaled else 1.0
            weights = torch.softmax(query @ key.transpose(1, 2) * factor / size**0.5, -1)
            entropies.append(float(-(weights * weights.log()).sum(-1).mean()))
        slopes.append((entropies[-1] - entropies[0]) / math.log(lengths[-1] / lengths[0]))
    assert slopes[1] < 0.9 * slopes[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_of_an_encoder_is_scaled_and_padding_changes_nothing(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = section(attention_base=7, attention_floor=2)
    encoder, usual = build(family, options), build(family, section(attention_scale=None))
    encoder.load_state_dict(usual.state_dict())
    name, calls = attention_name(options), list[Tensor | None]()
    real = AttentionInterface._global_mapping[name]

    def noted(*arguments: Any, **given: Any) -> Any:
        calls.append(arguments[4])
        return real(*arguments, **given)

    monkeypatch.setitem(AttentionInterface._global_mapping, name, noted)
    torch.manual_seed(0)
    ids = torch.randint(4, 40, (3, 12))
    mask = torch.arange(12) < torch.tensor([[12], [7], [3]])
    ids = ids.where(mask, 1)

    def hidden(model: Any, rows: slice, length: int) -> Tensor:
        given = {"input_ids": ids[rows, :length], "attention_mask": mask[rows, :length].long()}
        found: Tensor = model(**given).last_hidden_state
        return found

    together = hidden(encoder, slice(0, 3), 12)
    assert len(calls) == 3
    for row, length in ((0, 12), (1, 7), (2, 3)):
        alone = hidden(encoder, slice(row, row + 1), length)
        torch.testing.assert_close(alone[0], together[row, :length], atol=1e-5, rtol=1e-4)
        plain = hidden(usual, slice(row, row + 1), length)
        same = torch.allclose(alone, plain, atol=1e-6)
        assert same == (length == 7 and family != "modernbert")  # whose local layers see fewer
    torch.testing.assert_close(encoder.eval()(ids, mask).last_hidden_state[mask], together[mask], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_training_on_a_cpu_and_checkpointing_keep_the_function(family: str) -> None:
    options = section(attention_base=7, attention_floor=2)
    ids = torch.randint(4, 40, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(12) < torch.tensor([[12], [7], [3]])
    results = []
    for prepare in (lambda encoder: None, prepare_for_training, checkpoint_layers):
        encoder = build(family, options)
        prepare(encoder)
        assert encoder.config._attn_implementation == attention_name(options)
        found = encoder(ids.where(mask, 1), attention_mask=mask.long()).last_hidden_state[mask]
        gradients = torch.autograd.grad(found.square().sum(), [p for p in encoder.parameters() if p.dim() == 2])
        results.append([found, *gradients])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_a_causal_mask_is_never_left_out() -> None:
    from transformers.masking_utils import causal_mask_function

    from ie_cli.modeling.attention_scale import _mask

    mask = _mask(1, 4, 4, mask_function=causal_mask_function, allow_is_causal_skip=True)
    assert mask is not None
    assert mask.sum(-1).flatten().tolist() == [1, 2, 3, 4]
