# SPDX-License-Identifier: Apache-2.0
"""What explains a call that is paid again after a trial with real processes, and what does not."""

from __future__ import annotations

from typing import Any

from tests.crash.checker import Event, Facts, TrialJournal
from tests.kit.laws import no_call_begins_after_a_stop


def journal(*started_at: float, events: tuple[Event, ...] = (), billed: bool = True, lost: int = 0) -> TrialJournal:
    """Calls for the same bytes at these times, one in flight."""
    calls: list[dict[str, Any]] = [
        {"sha256": "a" * 64, "started_at": at, "billed": billed, "possibly_billed": not billed} for at in started_at
    ]
    return TrialJournal(Facts("trial", 1, events, lost_answers=lost), {}, calls)


def unexplained(*started_at: float, **facts: Any) -> int:
    return len(journal(*started_at, **facts).account.unexplained)


def test_a_call_paid_again_needs_a_reason():
    assert unexplained(100.0) == 0
    assert unexplained(100.0, 110.0) == 1


def test_a_kill_explains_one_call_for_each_that_may_be_in_flight():
    kill = (Event("SIGKILL", 105.0),)
    assert unexplained(100.0, 110.0, events=kill) == 0
    assert unexplained(100.0, 110.0, 110.1, events=kill) == 1, "one kill, one in flight, two calls"


def test_a_kill_before_both_calls_explains_nothing():
    assert unexplained(100.0, 110.0, events=(Event("SIGKILL", 95.0),)) == 1


def test_a_process_that_wakes_sends_what_was_on_its_way():
    events = (Event("SIGSTOP", 90.0), Event("SIGCONT", 105.0))
    assert unexplained(100.0, 110.0, events=events) == 0
    assert unexplained(100.0, 110.0, 110.1, events=events) == 1


def test_an_answer_that_the_network_lost_explains_one_call():
    assert unexplained(100.0, 110.0, lost=1) == 0
    assert unexplained(100.0, 110.0, 120.0, lost=1) == 1


def test_a_call_that_may_not_have_been_billed_explains_the_next():
    assert unexplained(100.0, 110.0, billed=False) == 0


def test_calls_after_sigterm_are_those_on_their_way():
    events = (Event("SIGTERM", 95.0), Event("end", 160.0))
    assert list(no_call_begins_after_a_stop(None, journal(100.0, events=events))) == []
    [violation] = no_call_begins_after_a_stop(None, journal(100.0, 101.0, events=events))
    assert "2 calls begin after SIGTERM" in violation
