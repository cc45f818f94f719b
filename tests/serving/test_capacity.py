"""What can be answered in time, by the speed that was measured."""

from __future__ import annotations

import pytest

from ie_cli.serving.capacity import BATCH_SECONDS, Capacity, TooMuch


def measured(speed: int = 1000, seconds: float = 10.0) -> Capacity:
    capacity = Capacity(seconds)
    capacity.measure(speed, 1.0)
    return capacity


def test_before_it_is_measured_all_is_in_time() -> None:
    capacity = Capacity(0.001)
    capacity.learn(1, 100.0)
    capacity.require_time(1e9, 10**9)
    assert capacity.wait(1e9, [1e9]) is None
    assert capacity.max_characters is None
    assert capacity.batch_tokens is None


def test_more_than_can_be_done_alone_is_too_much() -> None:
    capacity = measured()
    assert capacity.max_characters == 7000
    capacity.require_time(7000, 7000)
    with pytest.raises(TooMuch) as error:
        capacity.require_time(7001, 7001)
    assert error.value.characters == 7000
    with pytest.raises(TooMuch) as error:
        capacity.require_time(14_000, 4000)  # many tokens for its size
    assert error.value.characters == 2000


def test_what_goes_first_counts_and_what_is_larger_hardly() -> None:
    capacity = measured()
    assert capacity.wait(1000, [1000] * 6) is None
    assert capacity.wait(1000, [1000] * 8) == pytest.approx(2.0)
    assert capacity.wait(10, [1e6] * 100) is None
    assert capacity.wait(4667, [8500]) == pytest.approx(0.0005)  # each third batch is that of the larger one


def test_what_came_earlier_and_is_of_about_the_same_size_goes_first() -> None:
    """As in the schedule: the one with less left does not overtake within its class."""
    capacity = measured()
    assert capacity.wait(20, [500] * 14) == pytest.approx(0.02)
    assert capacity.wait(4200, [8000]) == pytest.approx(5.2)


def test_the_speed_is_that_of_large_batches_and_one_slow_one_changes_little() -> None:
    capacity = measured()
    for _ in range(9):
        capacity.learn(1000, 1.0)
    capacity.learn(int(1000 * BATCH_SECONDS / 2) - 1, 60.0)  # small: it does not count
    capacity.learn(1000, 60.0)
    assert capacity.batch_tokens == 1000 * BATCH_SECONDS
    for _ in range(40):
        capacity.learn(1000, 2.0)
    assert capacity.batch_tokens == 500 * BATCH_SECONDS


def test_short_texts_make_no_slow_model_slower() -> None:
    """Most of the time for one word is overhead, so that it does not predict the time for a hundred words."""
    capacity = Capacity(30.0)
    for _ in range(3):
        capacity.measure(510, 4.0)
    most = capacity.max_characters
    for _ in range(40):
        capacity.learn(10, 0.18)
    assert capacity.max_characters == most
    for _ in range(40):
        capacity.learn(300, 3.0)
    assert capacity.max_characters == 2100


def test_a_fast_model_whose_batches_are_short_is_measured_on_too() -> None:
    """As on a GPU: all windows that a batch may have take far less than `BATCH_SECONDS`."""
    capacity = Capacity(10.0)
    for _ in range(3):
        capacity.measure(16_000, 0.01)
    for _ in range(40):
        capacity.learn(7000, 60.0)
    assert capacity.batch_tokens == 1_600_000 * BATCH_SECONDS
    for _ in range(40):
        capacity.learn(15_000, 0.1)
    assert capacity.batch_tokens == 150_000 * BATCH_SECONDS


def test_characters_become_tokens_as_they_did() -> None:
    capacity = measured()
    assert capacity.tokens(100) == 100
    for _ in range(500):
        capacity.observe(4000, 1000)
    assert capacity.tokens(100) == pytest.approx(25, rel=0.02)
    assert capacity.max_characters == pytest.approx(28_000, rel=0.02)
