"""Heads of tags: the loss compared with the enumeration of all sequences, the tags of gold, and learning rates."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
import torchcrf
from hypothesis import given, settings
from hypothesis import strategies as st
from support.corpora import documents, recipe, write_jsonl
from support.fakes import FakeOutputs
from support.heads import HIDDEN, SCHEMA, built, codec_of_head, example, windows_for
from support.tagging import legal_paths, path_total, spans_of
from torch import nn

from ie_cli.codecs.base import Decoding
from ie_cli.codecs.tag_margins import decode_tags
from ie_cli.codecs.tag_scheme import SCHEMES
from ie_cli.data.label_schema import LabelSchema
from ie_cli.inference.backends.torch import TorchOutputs
from ie_cli.modeling.heads.base import Head
from ie_cli.modeling.heads.crf import Crf
from ie_cli.modeling.heads.softmax import Softmax
from ie_cli.modeling.heads.tagger import Tagger
from ie_cli.modeling.losses.crf import crf_loss
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.schema import TrainingSection
from ie_cli.training.events import Evaluated
from ie_cli.training.optimizer import parameter_groups
from ie_cli.training.run import train

schemes = pytest.mark.parametrize("scheme", SCHEMES)
TAGGERS = ["crf", "softmax"]


@schemes
@pytest.mark.parametrize("mask_illegal", [True, False])
@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(0, 4), min_size=1, max_size=3),
    seed=st.integers(0, 2**20),
    scale=st.sampled_from([0.1, 3.0, 100.0]),
)
def test_the_loss_is_the_enumeration_of_all_sequences(
    scheme: str, mask_illegal: bool, lengths: list[int], seed: int, scale: float
) -> None:
    random, labels = np.random.default_rng(seed), 1
    count = SCHEMES[scheme].outside(labels) + 1
    longest = max(lengths) + 2  # special tokens on both sides
    emissions = scale * random.normal(size=(len(lengths), longest, count))
    transitions = 3 * random.normal(size=(count + 1, count + 1))
    mask = torch.zeros(len(lengths), longest, dtype=torch.bool)
    tags = torch.full((len(lengths), longest), count - 1)
    expected = []
    for sample, length in enumerate(lengths):
        mask[sample, 1 : 1 + length] = True
        legal = list(legal_paths(scheme, labels, length))
        gold = legal[random.integers(len(legal))]
        tags[sample, 1 : 1 + length] = torch.tensor(gold)
        every = legal if mask_illegal else list(product(range(count), repeat=length))
        totals = [path_total(emissions[sample, 1:], transitions, path) for path in every]
        score = path_total(emissions[sample, 1:], transitions, gold)
        expected.append(float(np.logaddexp.reduce(totals)) - score if length else 0.0)
    legal_mask = torch.from_numpy(SCHEMES[scheme].legal(labels)) if mask_illegal else None
    given_ = torch.tensor(emissions, requires_grad=True), torch.tensor(transitions, requires_grad=True)
    found = crf_loss(*given_, tags, mask, legal=legal_mask)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-9, rtol=1e-9)
    found.sum().backward()
    for tensor in given_:
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
    assert given_[0].grad is not None
    assert (given_[0].grad[~mask] == 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_loss_and_best_sequence_are_those_of_another_library(seed: int) -> None:
    """pytorch-crf has neither masks of transitions nor a start of the chain within the text: its special tokens are cut off."""
    random, labels, longest = np.random.default_rng(seed), 3, 9
    scheme = SCHEMES["bio"]
    count = scheme.outside(labels) + 1
    lengths = random.integers(1, longest + 1, size=4)
    emissions = torch.tensor(2 * random.normal(size=(4, longest, count)))
    transitions = torch.tensor(random.normal(size=(count + 1, count + 1)))
    mask = torch.tensor(np.arange(longest) < lengths[:, None])
    other = torchcrf.CRF(count, batch_first=True).double()
    with torch.no_grad():
        other.transitions.copy_(transitions[:-1, :-1])
        other.start_transitions.copy_(transitions[-1, :-1])
        other.end_transitions.copy_(transitions[:-1, -1])
    tags = torch.tensor(random.integers(count, size=(4, longest)))
    expected = -other(emissions, tags, mask=mask, reduction="none")
    torch.testing.assert_close(crf_loss(emissions, transitions, tags, mask), expected, atol=1e-9, rtol=1e-9)
    legal = torch.from_numpy(scheme.legal(labels))
    with torch.no_grad():  # sequences that are not legal are made impossible, as in our decoder
        for name, part in (
            ("transitions", legal[:-1, :-1]),
            ("start_transitions", legal[-1, :-1]),
            ("end_transitions", legal[:-1, -1]),
        ):
            getattr(other, name).masked_fill_(~part, -1e4)
    block = {role: emissions[:, :, scheme.block(role, labels)].numpy() for role in scheme.blocks}
    block |= {"outside": emissions[:, :, -1].numpy(), "transitions": transitions.numpy()}
    found = decode_tags(block, mask.numpy(), np.zeros(labels, dtype=np.float32), scheme)
    paths = other.decode(emissions, mask=mask)
    assert {tuple(entry) for entry in found.entries.tolist()} == {
        (sample, *span) for sample, path in enumerate(paths) for span in spans_of("bio", labels, tuple(path))
    }


@schemes
def test_gradients_are_those_of_finite_differences(scheme: str) -> None:
    generator = torch.Generator().manual_seed(0)
    count = SCHEMES[scheme].outside(2) + 1
    emissions = torch.randn(2, 6, count, dtype=torch.float64, generator=generator, requires_grad=True)
    transitions = torch.randn(count + 1, count + 1, dtype=torch.float64, generator=generator, requires_grad=True)
    mask = torch.tensor([[False, True, True, True, True, False], [False, True, True, False, False, False]])
    tags = torch.full((2, 6), count - 1)
    legal = torch.from_numpy(SCHEMES[scheme].legal(2))
    assert torch.autograd.gradcheck(lambda e, t: crf_loss(e, t, tags, mask, legal=legal), (emissions, transitions))


def test_the_loss_of_a_confident_model_keeps_its_digits() -> None:
    """In float32, log Z - score would be the difference of two numbers near 60,000."""
    emissions = torch.full((1, 300, 5), 190.0)
    emissions[:, :, 4] = 200.0
    tags, mask = torch.full((1, 300), 4), torch.ones(1, 300, dtype=torch.bool)
    loss = crf_loss(emissions, torch.zeros(6, 6), tags, mask)
    expected = 300 * np.log1p(4 * np.exp(-10.0))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@schemes
@settings(max_examples=20)
@given(lengths=st.lists(st.integers(0, 12), min_size=1, max_size=4), seed=st.integers(0, 2**20))
def test_tags_of_gold_spans_are_a_legal_sequence_with_these_spans(scheme: str, lengths: list[int], seed: int) -> None:
    head = cast(Tagger, built("softmax", scheme=scheme))
    batch = windows_for("softmax", head, [example(length, seed=seed) for length in lengths]).batch(range(len(lengths)))
    legal = SCHEMES[scheme].legal(len(SCHEMA.labels))
    gold = batch.entries["tags"].tolist()
    tags = head.collate(batch.entries, batch.text_mask)
    for sample, length in enumerate(lengths):
        path = tuple(tags[sample, 1 : 1 + length].tolist())
        assert legal[[-1, *path], [*path, -1]].all() or not path
        expected = {(label, first - 1, last - 1) for number, label, first, last in gold if number == sample}
        assert spans_of(scheme, len(SCHEMA.labels), path) == expected
    assert (tags[~batch.text_mask] == head.scheme.outside(head.labels)).all()


def test_the_loss_of_softmax_is_the_cross_entropy_summed_over_tokens() -> None:
    head = cast(Softmax, built("softmax"))
    batch = windows_for("softmax", head, [example(7), example(4, seed=1)]).batch([0, 1])
    hidden = torch.randn(*batch.input_ids.shape, HIDDEN)
    logs = head.emissions(hidden).log_softmax(-1).detach()
    total = sum(
        -float(logs[sample, token, batch.targets[sample, token]])
        for sample, token in batch.text_mask.nonzero().tolist()
    )
    found = head.losses(hidden, batch.text_mask, batch.targets)["tags"]
    assert found.item() == pytest.approx(total / 2, rel=1e-5)


@pytest.mark.parametrize("name", TAGGERS)
def test_a_label_weighs_its_tokens_and_o_has_the_mean(name: str) -> None:
    head = cast(Tagger, built(name))
    weights = torch.tensor([1.0, 2.0, 6.0])
    tags = torch.tensor([[0, 1, 5, 6, 3]])  # B-0, B-1, I-2, O, I-0
    assert head.token_weights(tags, weights).tolist() == [[1.0, 2.0, 6.0, 3.0, 1.0]]
    hidden, mask = torch.randn(1, 5, HIDDEN), torch.tensor([[False, True, True, True, False]])
    plain = head.losses(hidden, mask, tags)["tags"]
    weighted = head.losses(hidden, mask, tags, {"tags": weights})["tags"]
    if name == "crf":
        torch.testing.assert_close(weighted, plain * (2.0 + 6.0 + 3.0) / 3)
    else:
        each = -head.emissions(hidden).log_softmax(-1)[0, [1, 2, 3], [1, 5, 6]]
        torch.testing.assert_close(weighted, (each * torch.tensor([2.0, 6.0, 3.0])).sum())


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)


def test_transitions_have_their_own_learning_rate_and_no_weight_decay() -> None:
    model = ExtractionModel(_Encoder(), {"ner": built("crf", transition_learning_rate=0.03)})
    section = TrainingSection(learning_rate=1e-4, head_learning_rate=1e-3, weight_decay=0.1)
    for wrapped in (model, nn.Sequential(model)):  # a technique may wrap the model
        found = {
            id(parameter): (group["lr"], group["weight_decay"])
            for group in parameter_groups(wrapped, section)
            for parameter in group["params"]  # type: ignore[attr-defined]
        }
        rates = {name: found[id(parameter)] for name, parameter in model.heads["ner_head"].named_parameters()}
        assert rates == {
            "tags.weight": (1e-3, 0.1),
            "tags.bias": (1e-3, 0.0),
            "outside.weight": (1e-3, 0.1),
            "outside.bias": (1e-3, 0.0),
            **dict.fromkeys(("pair_scores", "side_scores", "outside_scores"), (0.03, 0.0)),
        }
        assert len(found) == len(list(model.parameters()))


def test_the_reported_learning_rate_is_not_that_of_the_transitions(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    made = recipe(data, head={"name": "crf", "transition_learning_rate": 0.5}, training={"epochs": 1, "eval_every": 2})
    rates = [event.learning_rate for event in train(made, tmp_path / "run") if isinstance(event, Evaluated)]
    assert 0 < rates[0] <= made.training.head_learning_rate


@schemes
@pytest.mark.parametrize("name", TAGGERS)
def test_a_head_learns_a_few_sentences(name: str, scheme: str) -> None:
    head = built(name, scheme=scheme)
    batch = windows_for(name, head, [example(length, seed=length) for length in (3, 6, 8, 11)]).batch(range(4))
    torch.manual_seed(0)
    hidden = torch.randn(*batch.input_ids.shape, HIDDEN)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(80):
        loss = cast(Head, head).losses(hidden, batch.text_mask, batch.targets)["tags"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    decoder = codec_of_head(name, scheme=scheme).decoder(Decoding())
    found = decoder.decode(TorchOutputs(cast(Head, head), hidden), batch.text_mask.numpy()).parts["spans"]
    assert sorted(found.entries.tolist()) == sorted(batch.entries["tags"].tolist())


def test_the_crf_learns_what_tags_alone_cannot() -> None:
    """With the same hidden state for every token, only transitions can say that an entity has two tokens."""
    head = cast(Crf, built("crf"))
    tags = torch.tensor([[0, 3, 6, 0, 3, 6]])  # B I O B I O
    mask, hidden = torch.ones(1, 6, dtype=torch.bool), torch.ones(1, 6, HIDDEN)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(100):
        loss = head.losses(hidden, mask, tags)["tags"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = codec_of_head("crf").decoder(Decoding()).decode(TorchOutputs(head, hidden), mask.numpy()).parts["spans"]
    assert sorted(found.entries.tolist()) == [[0, 0, 0, 1], [0, 0, 3, 4]]
    assert loss < 0.1


@pytest.mark.parametrize("name", TAGGERS)
def test_three_hundred_labels_need_no_tensor_of_pairs_for_each_token(name: str) -> None:
    schema = LabelSchema(tuple(f"label {number}" for number in range(300)))
    head = cast(Tagger, built(name, schema))
    batch, length, count = 4, 64, head.scheme.outside(300) + 1
    mask = torch.ones(batch, length, dtype=torch.bool)
    first = torch.arange(0, length, 4).repeat(batch)
    entries = torch.stack(
        [torch.arange(batch).repeat_interleave(length // 4), first * 4 % 300, first, first + 2], dim=1
    )
    saved: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = head.losses(torch.randn(batch, length, HIDDEN), mask, head.collate({"tags": entries}, mask))["tags"]
    assert sum(saved.values()) < 8 * (10 * batch * length * count + 10 * count**2)  # pairs for each token: 370 MB
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())
    codec = codec_of_head(name, schema)
    scores = 9 * np.eye(count, dtype=np.float32)[head.collate({"tags": entries}, mask).numpy()]
    block = {role: scores[:, :, head.scheme.block(role, 300)] for role in head.scheme.blocks}
    block["outside"] = scores[:, :, -1]
    if isinstance(head, Crf):
        block["transitions"] = head.transitions().detach().numpy()
    found = codec.decoder(Decoding()).decode(FakeOutputs({"tags": [block]}), mask.numpy())
    assert sorted(found.parts["spans"].entries.tolist()) == sorted(entries.tolist())
