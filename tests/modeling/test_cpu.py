"""The replacements for training on a CPU compute the same as the code of the libraries, except for dropout's draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers.integrations import sdpa_attention

from ie_cli.modeling.cpu import attention as attention_module
from ie_cli.modeling.cpu.attention import NAME, attention, use_cpu_attention
from ie_cli.modeling.cpu.dropout import Dropout, dropout, replace_dropout
from ie_cli.modeling.cpu.training import prepare_for_training

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
LAYOUTS = ["contiguous", "transposed", "strided", "expanded"]
STEPS = 2**16
TINY = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 40}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
BERT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # those of ModernBERT are 0
FAMILIES = ["Bert", "Roberta", "ModernBert"]


def build(family: str, **options: Any) -> Any:
    """A tiny encoder without dropout."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**TINY | IDS | BERT | options)
    return getattr(transformers, f"{family}Model")(config).train()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1 / STEPS, 0.001, 0.1, 0.3, 0.5, 0.9, 0.999, 1 - 1 / STEPS])
def test_the_share_of_zeros_is_p(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    count = 1_000_003
    zeros = int((dropout(torch.ones(count, dtype=dtype), p) == 0).sum())
    assert abs(zeros - count * p) < 5 * (count * p * (1 - p)) ** 0.5


@given(st.lists(st.integers(0, 9), max_size=3), st.sampled_from(DTYPES), st.floats(0, 0.99), st.sampled_from(LAYOUTS))
def test_an_element_is_dropped_or_scaled(shape: list[int], dtype: torch.dtype, p: float, layout: str) -> None:
    x = torch.rand(shape, dtype=dtype) + 0.5
    if layout == "expanded":
        x = x.expand(3, *shape)
    elif shape and layout != "contiguous":
        x = x.transpose(0, -1) if layout == "transposed" else x[..., ::2]
    before = x.clone()
    found = dropout(x, p)
    assert (found.dtype, found.shape) == (dtype, x.shape)
    assert torch.equal(x, before)
    expected = x.double() / (1 - round(p * STEPS) / STEPS)
    error = (found.double() - expected).abs() / expected
    assert bool((error[found != 0] <= 1.01 * torch.finfo(dtype).eps).all())  # the scale is rounded, and the product


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_ends_of_the_range_of_p(dtype: torch.dtype) -> None:
    x = torch.rand(1001, dtype=dtype) + 0.5
    for small in (0.0, 1e-9, 0.49 / STEPS):  # rounded to 0, and 1 - small to 1
        assert torch.equal(dropout(x, small), x)
        assert torch.equal(dropout(x, 1 - small), torch.zeros_like(x))


@given(st.integers(0, 50), st.sampled_from(DTYPES), st.floats(0, 1 - 2 / STEPS), st.integers(0, 2**32))
def test_gradients_go_through_the_kept_elements(count: int, dtype: torch.dtype, p: float, seed: int) -> None:
    x = (torch.rand(count, dtype=dtype) + 0.5).requires_grad_()
    gradient = torch.randn(count, dtype=dtype)
    torch.manual_seed(seed)
    noise = dropout(torch.ones(count, dtype=dtype), p)
    torch.manual_seed(seed)
    found = dropout(x, p)
    assert torch.equal(found, x * noise)
    assert torch.equal(torch.autograd.grad(found, x, gradient)[0], gradient * noise)


def test_the_seed_decides() -> None:
    draws = []
    for _ in range(2):
        torch.manual_seed(5)
        draws += [dropout(torch.ones(1001), 0.5).tolist() for _ in range(2)]
    assert draws[:2] == draws[2:]
    assert draws[0] != draws[1]


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_neighbours_are_uncorrelated(p: float) -> None:
    torch.manual_seed(0)
    count = 2**18
    kept = (dropout(torch.ones(count), p) != 0).double()
    kept = (kept - kept.mean()) / kept.std()
    for distance in range(1, 9):  # four elements share a draw
        assert abs(float((kept[distance:] * kept[:-distance]).mean())) < 5 / count**0.5


def test_the_module_is_off_in_evaluation_and_for_p_0() -> None:
    x, module = torch.ones(1001), Dropout(0.5)
    assert 0 in module(x)
    assert module.eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_every_dropout_is_replaced_and_nothing_else() -> None:
    own = type("Own", (nn.Dropout,), {})
    others = [nn.Linear(3, 3), nn.Dropout1d(0.2), nn.AlphaDropout(0.2), own(0.2), nn.LayerNorm(3)]
    model = nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Dropout(0.3), nn.ModuleList([nn.Dropout(0.0)])), *others)
    replace_dropout(model)
    assert [m.p for m in model.modules() if type(m) is Dropout] == [0.1, 0.3, 0.0]
    assert not [m for m in model.modules() if type(m) is nn.Dropout]
    assert all(a is b for a, b in zip(list(model)[2:], others, strict=True))


def test_a_checkpoint_draws_the_same_mask_again() -> None:
    calls = []

    def layer(x: Tensor) -> Tensor:
        calls.append(1)
        return dropout(x, 0.5)

    x = torch.ones(1001, requires_grad=True)
    found = checkpoint(layer, x, use_reentrant=False)
    dropout(torch.ones(7), 0.5)  # advances the generator before the backward pass
    assert torch.equal(torch.autograd.grad(found.sum(), x)[0], found)
    assert len(calls) == 2


def inputs(batch: int, heads: int, length: int, size: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(batch, heads, length, size, dtype=dtype, requires_grad=True) for _ in range(3)]


def results(output: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    """Return the output and the gradients of a function of it."""
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape)
    return [output.detach().float(), *(g.float() for g in torch.autograd.grad((output * weights).sum(), tensors))]


def close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@settings(max_examples=60)
@given(st.data(), st.sampled_from([(torch.float32, 1e-5), (torch.bfloat16, 0.05)]), st.sampled_from([None, 0.2]))
def test_attention_is_that_of_torch(data: st.DataObject, kind: tuple[Any, float], scaling: float | None) -> None:
    batch, heads, size = (data.draw(st.integers(1, n)) for n in (3, 3, 9))
    lengths = data.draw(st.lists(st.integers(1, 17), min_size=batch, max_size=batch))
    length = max(lengths)
    tensors = inputs(batch, heads, length, size, kind[0])
    mask = (torch.arange(length) < torch.tensor(lengths)[:, None])[:, None, None].expand(-1, 1, length, length)
    seen = data.draw(st.sampled_from([mask, None]))
    found = attention(nn.Module(), *tensors, seen, scaling=scaling, is_causal=False)[0]
    assert found.dtype == kind[0]
    exact = [t.detach().float().requires_grad_() for t in tensors]
    expected = scaled_dot_product_attention(*exact, attn_mask=seen, scale=scaling).transpose(1, 2)
    close(results(found, tensors), results(expected, exact), kind[1])


def test_a_query_without_keys_does_not_affect_others() -> None:
    tensors = inputs(2, 2, 5, 4)
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[1, :, 3:] = False  # padding outside the local attention window
    found = attention(nn.Module(), *tensors, mask)[0]
    assert bool(found.isfinite().all())
    expected = scaled_dot_product_attention(*tensors, attn_mask=mask).transpose(1, 2)
    seeing = mask[:, 0].any(-1)
    close(results(found[seeing], tensors), results(expected[seeing], tensors), 1e-5)


def test_the_mean_over_dropout_is_attention_without() -> None:
    tensors = inputs(1, 2, 6, 4)
    mask = (torch.arange(6) < 5).expand(1, 1, 6, 6)
    expected = attention(nn.Module(), *tensors, mask)[0]
    query, key, value, many = (t.expand(5000, -1, -1, -1) for t in (*tensors, mask))
    draws = attention(nn.Module(), query, key, value, many, dropout=0.3)[0]
    assert bool(((draws.mean(0) - expected[0]).abs() < 5 * draws.std(0) / 5000**0.5).all())


def test_unsupported_variants_use_the_fused_form(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = sdpa_attention.sdpa_attention_forward, []

    def check(module: nn.Module, fused: bool, options: dict[str, Any], **expected: Any) -> None:
        calls.clear()
        found = attention(module, *tensors, None, **options)[0]
        assert len(calls) == fused
        close([found], [scaled_dot_product_attention(*tensors, **expected).transpose(1, 2)], 1e-5)

    monkeypatch.setattr(sdpa_attention, "sdpa_attention_forward", lambda *a, **o: calls.append(o) or real(*a, **o))
    module, causal, tensors, bias = nn.Module(), nn.Module(), inputs(2, 2, 5, 4), torch.randn(2, 2, 5, 5)
    causal.is_causal = True  # type: ignore[assignment]
    check(module, False, {"is_causal": False})
    check(module, True, {"is_causal": True}, is_causal=True)
    check(causal, True, {}, is_causal=True)
    check(module, True, {"is_causal": False, "position_bias": bias}, attn_mask=bias)
    with torch.no_grad():
        check(module, True, {"is_causal": False})
    monkeypatch.setattr(attention_module, "FUSED_FROM", 5)
    check(module, True, {"is_causal": False})
    calls.clear()
    attention(module, *tensors, None, dropout=0.1, is_causal=False)  # the fused form has no dropout on a CPU
    assert not calls


@pytest.mark.parametrize(("family", "window"), [*((family, 128) for family in FAMILIES), ("ModernBert", 4)])
def test_an_encoder_computes_the_same_as_before(family: str, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build(family, local_attention=window)  # with 4, some padding attends to no token
    ids = torch.randint(3, 40, (3, 12))
    mask = torch.arange(12) < torch.tensor([[12], [7], [2]])
    used = [p for name, p in encoder.named_parameters() if "pooler" not in name]

    def run() -> list[Tensor]:
        output = encoder(input_ids=ids.where(mask, 0), attention_mask=mask.long()).last_hidden_state
        return results(output[mask], used)

    expected = run()
    use_cpu_attention(encoder)
    assert encoder.config._attn_implementation == NAME
    monkeypatch.delattr(sdpa_attention, "sdpa_attention_forward")  # an error if it is used
    close(run(), expected, 1e-4)


def test_an_encoder_with_its_own_attention_keeps_it() -> None:
    for encoder in (build("Bert", attn_implementation="eager"), build("DebertaV2")):
        use_cpu_attention(encoder)
        assert encoder.config._attn_implementation == "eager"


@pytest.mark.parametrize("family", FAMILIES)
def test_an_encoder_is_prepared_and_its_config_saved_as_any(family: str, tmp_path: Path) -> None:
    encoder = build(family)
    prepare_for_training(encoder)
    assert encoder.config._attn_implementation == NAME
    assert not [m for m in encoder.modules() if type(m) is nn.Dropout]
    ids = torch.arange(3, 12)[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert encoder.embeddings(ids).dtype == torch.bfloat16
    assert encoder.embeddings(ids).dtype == torch.float32
    encoder.config.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()
    again = type(encoder)(type(encoder.config).from_pretrained(tmp_path))
    assert again.config._attn_implementation == "sdpa"
    again.load_state_dict(encoder.state_dict())
