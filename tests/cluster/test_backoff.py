"""What is said of an outage, and how often."""

import pytest

from plexus_proxy.cluster.backoff import Backoff


def test_an_outage_is_told_of_once_and_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    backoff = Backoff("nothing is heard")
    waits = [backoff.failed(TimeoutError()) for _ in range(6)]
    assert waits == [0.25, 0.5, 1, 2, 4, 4]
    assert [record.getMessage() for record in caplog.records] == ["nothing is heard: TimeoutError"]
