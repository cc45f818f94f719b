"""CasRel: the losses, the random subject, and the conditional layer normalisation."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.heads import HIDDEN, ROLE_SCHEMA, built

from ie_cli.codecs.base import Decoding
from ie_cli.codecs.casrel import CasRelCodec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.errors import DataError, ModelError
from ie_cli.inference.backends.torch import TorchOutputs
from ie_cli.modeling.heads.casrel import RANDOM_WIDTH, CasRel
from ie_cli.modeling.losses.power import log_power, log_rest, power_loss, power_scores
from ie_cli.recipe.heads import CasRelSection
from ie_cli.triples import ROLES

LINKS = len(ROLE_SCHEMA.predicates)
SUBJECTS = torch.tensor([[0, 1, 2], [0, 4, 4], [2, 2, 3]])
OBJECTS = torch.tensor([[0, 1, 1, 2, 3, 3], [0, 1, 1, 2, 5, 6], [0, 2, 4, 4, 1, 1], [2, 0, 2, 3, 1, 1]])
MASK = torch.zeros(3, 9, dtype=torch.bool)
MASK[0, 1:8] = MASK[1, 1:5] = MASK[2, 1:4] = True


def head_of() -> CasRel:
    head = built("casrel")
    assert isinstance(head, CasRel)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn(parameter.shape) / 4)
    return head


def targets(head: CasRel) -> Any:
    return head.collate({"subjects": SUBJECTS, "objects": OBJECTS}, MASK)


# The power of the sigmoid


@given(z=st.floats(-300, 300), power=st.sampled_from([1, 2, 4]))
def test_logarithms_are_exact_and_have_finite_gradients(z: float, power: int) -> None:
    value = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    positive, negative = log_power(value, power), log_rest(value, power)
    (positive + negative).backward()
    assert value.grad is not None
    assert math.isfinite(value.grad)
    log_q = -math.log1p(math.exp(-z)) if z > -700 else z
    assert positive.item() == pytest.approx(power * log_q, rel=1e-9, abs=1e-12)
    if -5 < z < 20:  # where the plain form loses nothing
        assert negative.item() == pytest.approx(math.log(-math.expm1(power * log_q)), rel=1e-6, abs=1e-9)
    assert power_scores(value, power).item() == pytest.approx(positive.item() - negative.item())


def test_scores_are_positive_from_the_probability_of_a_half() -> None:
    for power, z in ((2, 0.8814), (4, 1.6654)):  # the thresholds that the article's probabilities imply
        scores = power_scores(torch.tensor([z - 1e-3, z + 1e-3]), power)
        assert scores[0] < 0 < scores[1]
        assert torch.sigmoid(power_scores(torch.tensor(0.3), power)) == pytest.approx(
            torch.sigmoid(torch.tensor(0.3)) ** power
        )


def test_the_loss_is_the_cross_entropy_of_the_probabilities() -> None:
    z = torch.randn(2, 3, 5, dtype=torch.float64)
    gold = torch.zeros_like(z)
    gold[0, 1, 2] = gold[1, 2, 4] = 1
    found = power_loss(z, gold > 0, 4)
    torch.testing.assert_close(
        found, torch.nn.functional.binary_cross_entropy(z.sigmoid() ** 4, gold, reduction="none")
    )


# The subject of a step


def test_a_random_start_has_a_random_end_behind_it() -> None:
    head = head_of()
    torch.manual_seed(0)
    given = targets(head)
    drawn = [Counter[tuple[int, int]]() for _ in range(3)]
    for _ in range(600):
        first, last = given.draw()
        for sample, span in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            drawn[sample][span] += 1
    assert drawn[0].keys() == {(1, 2), (1, 4), (4, 4)}  # the second is no gold subject
    assert drawn[0][4, 4] == pytest.approx(300, abs=60)
    assert drawn[0][1, 4] == pytest.approx(150, abs=50)
    assert drawn[1].keys() == {(i, j) for i in range(1, 5) for j in range(i, 5)}  # no subject: any short span
    assert drawn[2].keys() == {(2, 3)}


@given(st.integers(1, 40), st.integers(0, 2**20))
def test_random_spans_are_short_and_in_the_text(length: int, seed: int) -> None:
    torch.manual_seed(seed)
    mask = torch.zeros(1, 44, dtype=torch.bool)
    mask[0, 2 : 2 + length] = True
    empty = {"subjects": torch.zeros(0, 3, dtype=torch.int64), "objects": torch.zeros(0, 6, dtype=torch.int64)}
    first, last = built("casrel").collate(empty, mask).draw()  # type: ignore[operator]
    assert 2 <= first <= last < 2 + length
    assert last - first < RANDOM_WIDTH


def test_the_draw_does_not_depend_on_padding_and_follows_the_generator() -> None:
    head = head_of()
    wide = torch.cat([MASK, torch.zeros(3, 5, dtype=torch.bool)], dim=1)
    draws = []
    for mask in (MASK, wide, MASK):
        torch.manual_seed(7)
        draws.append(head.collate({"subjects": SUBJECTS, "objects": OBJECTS}, mask).draw())
    for other in draws[1:]:
        assert all(torch.equal(one, two) for one, two in zip(draws[0], other, strict=True))


def test_building_targets_draws_nothing() -> None:
    """Batches are built one step ahead, so a draw there would not be repeated by a resumed run."""
    head = head_of()
    before = torch.get_rng_state()
    targets(head)
    assert torch.equal(torch.get_rng_state(), before)


def test_gold_on_padding_is_an_error() -> None:
    head = head_of()
    for name, column in (("subjects", 2), ("objects", 3), ("objects", 5)):
        entries = {"subjects": SUBJECTS.clone(), "objects": OBJECTS.clone()}
        entries[name][-1, column] = 8
        with pytest.raises(DataError, match="lies on padding"):
            head.collate(entries, MASK)


# What the head computes


def object_values(head: CasRel, hidden: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """Return z of the objects of a subject in a sentence ``[L, hidden]``, token by token; ``[L, 2 links]``."""
    gain, offset = (head.condition.weight @ torch.cat([hidden[first], hidden[last]])).chunk(2)
    rows = []
    for state in hidden:
        normal = (state - state.mean()) / (state.var(unbiased=False) + 1e-5).sqrt()
        rows.append(head.object.weight @ (normal * (head.gain + gain) + head.offset + offset) + head.object.bias)
    return torch.stack(rows)


def test_losses_are_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    head = head_of().double()
    hidden = torch.randn(3, 9, HIDDEN, dtype=torch.float64)
    spans = [(1, 2), (2, 3), (2, 3)]  # of the second sentence, which has no subject, any span
    given = targets(head)
    monkeypatch.setattr(type(given), "draw", lambda _: torch.tensor(spans).unbind(1))
    weights = {"subjects": torch.tensor([3.0]), "objects": torch.tensor([1.0, 2.0, 0.5, 0.0])}
    found = head.losses(hidden, MASK, given, weights)
    subjects, objects = 0.0, 0.0
    for sample, span in enumerate(spans):
        tokens = MASK[sample].nonzero()[:, 0].tolist()
        z = head.subject(hidden[sample])
        values = object_values(head, hidden[sample], *span)
        for token in tokens:
            for side in range(2):
                gold = any(s == sample and (first, last)[side] == token for s, first, last in SUBJECTS.tolist())
                subjects += 3 * entropy(z[token, side], gold, 2) / len(tokens) / 2 / 3
                for link in range(LINKS):
                    gold = any(
                        (s, r, a, b) == (sample, link, *span) and (c, d)[side] == token
                        for s, r, a, b, c, d in OBJECTS.tolist()
                    )
                    weight = float(weights["objects"][link])
                    objects += weight * entropy(values[token, side * LINKS + link], gold, 4) / len(tokens) / 2 / 3
    assert found["subjects"].item() == pytest.approx(subjects)
    assert found["objects"].item() == pytest.approx(objects)


def test_a_batch_split_into_parts_has_the_same_gradient() -> None:
    """With one subject per window, nothing is left to chance; each window counts the same in any batch."""
    head = head_of()
    entries = {"subjects": SUBJECTS[1:].clone(), "objects": OBJECTS[2:].clone()}
    mask, hidden = MASK[[0, 2]], torch.randn(2, 9, HIDDEN)
    entries["subjects"][1, 0] = entries["objects"][1, 0] = 1
    whole = head.losses(hidden, mask, head.collate(entries, mask))
    parts = []
    for sample in range(2):
        own = {
            name: rows[rows[:, 0] == sample] - torch.eye(1, rows.shape[1], dtype=torch.int64) * sample
            for name, rows in entries.items()
        }
        parts.append(head.losses(hidden[sample, None], mask[sample, None], head.collate(own, mask[sample, None])))
    for name, loss in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts) / 2, loss)


def entropy(z: torch.Tensor, gold: bool, power: int) -> float:
    p = torch.sigmoid(z).item() ** power
    return -math.log(p if gold else 1 - p)


def test_a_query_is_the_formula_for_each_subject() -> None:
    head = head_of().double()
    hidden = torch.randn(2, 6, HIDDEN, dtype=torch.float64)
    asked = {"sample": torch.tensor([1, 0, 1]), "first": torch.tensor([0, 2, 3]), "last": torch.tensor([0, 5, 4])}
    found = head.query("objects", hidden, asked)
    for number, (sample, first, last) in enumerate(zip(*(asked[key].tolist() for key in asked), strict=True)):
        expected = power_scores(object_values(head, hidden[sample], first, last), 4).T
        torch.testing.assert_close(torch.cat([found["start"][number], found["end"][number]]), expected)
    with pytest.raises(ModelError, match="no output 'others' that takes arguments"):
        head.query("others", hidden, asked)


def test_a_new_head_treats_all_subjects_alike() -> None:
    head = built("casrel")
    asked = {"sample": torch.zeros(2).long(), "first": torch.tensor([0, 2]), "last": torch.tensor([1, 3])}
    found = head.query("objects", torch.randn(1, 5, HIDDEN), asked)  # type: ignore[operator]
    torch.testing.assert_close(found["start"][0], found["start"][1])


def test_three_hundred_predicates_take_seconds() -> None:
    schema = LabelSchema(ROLES, tuple(f"p{n}" for n in range(300)))
    codec = CasRelCodec(schema, CasRelSection(name="casrel"))
    head = built("casrel", schema, hidden_size=64)
    assert isinstance(head, CasRel)
    mask = torch.ones(4, 128, dtype=torch.bool)
    hidden = torch.randn(4, 128, 64)
    begin = time.monotonic()
    given = head.collate({"subjects": SUBJECTS, "objects": OBJECTS}, mask)
    torch.stack(list(head.losses(hidden, mask, given).values())).sum().backward()
    with torch.no_grad():
        head.subject.bias.fill_(2)  # every token is a subject
        head.object.bias.fill_(-3)
    decoded = codec.decoder(Decoding()).decode(TorchOutputs(head, hidden), mask.numpy())
    assert time.monotonic() - begin < 20
    assert decoded.parts["links"].entries.shape[1] == 6
