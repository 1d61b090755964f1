"""The retry budget."""

import pytest

from plexus_proxy.limits.retries import WINDOW_S, RetryBudget


def taken(budget: RetryBudget, share: float, min_per_s: float, now: float) -> int:
    count = 0
    while budget.take(share, min_per_s, now):
        count += 1
    return count


@pytest.mark.parametrize(
    ("requests", "share", "min_per_s", "retries"),
    [(0, 0.2, 0, 0), (0, 0.2, 1, 10), (100, 0.2, 0, 20), (100, 0.2, 1, 30), (4, 0.2, 0, 0)],
)
def test_retries_are_a_share_of_the_traffic_and_a_few_a_second(
    requests: int, share: float, min_per_s: float, retries: int
) -> None:
    budget = RetryBudget()
    for _ in range(requests):
        budget.request(5.5)
    assert taken(budget, share, min_per_s, 5.9) == retries


def test_what_is_older_than_the_window_no_longer_counts() -> None:
    budget = RetryBudget()
    for _ in range(100):
        budget.request(0.5)
    assert budget.take(0.2, 0, WINDOW_S - 0.1)
    assert not budget.take(0.2, 0, WINDOW_S)


def test_retries_of_the_past_give_way_to_new_ones() -> None:
    budget = RetryBudget()
    assert taken(budget, 0, 1, 0) == 10
    assert not budget.take(0, 1, WINDOW_S - 0.1)
    assert taken(budget, 0, 1, WINDOW_S) == 10
