"""Which windows make a batch: short requests first, long ones in the end, padding bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ie_cli.serving.schedule import OLDEST_EVERY, Flow, Schedule

Item = tuple[int, int]


def flow(number: int, lengths: list[int]) -> Flow[Item]:
    made: Flow[Item] = Flow(float(sum(lengths)))
    for length in lengths:
        made.add(length, (number, length))
    return made


def scheduled(*requests: list[int]) -> Schedule[Item]:
    schedule: Schedule[Item] = Schedule()
    for number, lengths in enumerate(requests):
        schedule.add(flow(number, lengths))
    return schedule


@given(st.lists(st.lists(st.integers(1, 510), max_size=12), max_size=6), st.integers(1, 9), st.integers(1, 2000))
def test_every_window_is_run_once_in_batches_within_bounds(
    requests: list[list[int]], windows: int, tokens: int
) -> None:
    schedule = scheduled(*requests)
    seen: list[Item] = []
    while schedule.ready:
        batch = schedule.next_batch(lambda length: min(windows, max(1, tokens // length)))
        lengths = [length for _, length in batch]
        assert 1 <= len(batch) <= windows
        assert len(batch) * max(lengths) <= max(tokens, max(lengths))
        assert max(lengths) <= max(32, 2 * min(lengths))
        seen += batch
    assert schedule.next_batch(lambda length: windows) == []
    assert sorted(seen) == sorted((number, length) for number, lengths in enumerate(requests) for length in lengths)


def test_a_short_request_waits_for_no_long_one() -> None:
    """It is in one of the next two batches, whatever waits: each third one belongs to the oldest."""
    for turn in range(2 * OLDEST_EVERY):
        schedule = scheduled([510] * 100, [510] * 50)
        for _ in range(turn):
            schedule.next_batch(lambda length: 4)
        schedule.add(flow(2, [12]))
        assert (2, 12) in schedule.next_batch(lambda length: 4) + schedule.next_batch(lambda length: 4)


def test_short_requests_without_end_do_not_hold_up_a_long_one() -> None:
    schedule = scheduled([510] * 20)
    run = 0
    for turn in range(20 * OLDEST_EVERY):
        schedule.add(flow(turn + 1, [12]))
        run += sum(number == 0 for number, _ in schedule.next_batch(lambda length: 1))
    assert run == 20


def test_requests_of_one_size_are_served_as_they_came() -> None:
    schedule = scheduled([40], [30], [20], [35])
    assert [number for number, _ in schedule.next_batch(lambda length: 4)] == [0, 1, 2, 3]


def test_short_windows_of_many_requests_share_a_batch() -> None:
    schedule = scheduled(*([length] for length in range(5, 30)))
    assert len(schedule.next_batch(lambda length: 32)) == 25


def test_a_flow_that_is_removed_is_not_run() -> None:
    schedule: Schedule[Item] = Schedule()
    gone = flow(0, [1, 2])
    schedule.add(gone)
    schedule.add(flow(1, [3]))
    schedule.remove(gone)
    assert schedule.next_batch(lambda length: 9) == [(1, 3)]
    assert not schedule.ready
