# SPDX-License-Identifier: Apache-2.0
"""Several observers are each told everything, in order."""

from __future__ import annotations

from airflow_provider_aigen.core.models import ApiResponse
from airflow_provider_aigen.runtime.observers import Observers
from tests.adapters import samples
from tests.kit.observer import RecordingObserver


def test_each_observer_is_told_everything():
    one, two = RecordingObserver(), RecordingObserver()
    both = Observers(one, two)
    response, entry = ApiResponse(200, b"", 0.5), samples.entry()
    both.called(response)
    both.waited(0.25)
    both.repeated()
    both.reused()
    both.breaker_opened()
    both.committed(entry)
    both.progress(waiting=7, rate=4.5, allowed=5.0)
    for told in (one, two):
        assert (told.results, told.waits, told.entries) == ([response], [0.25], [entry])
        assert told.times == {"repeated": 1, "reused": 1, "breaker_opened": 1}
        assert told.last == {"waiting": 7, "rate": 4.5, "allowed": 5.0}
