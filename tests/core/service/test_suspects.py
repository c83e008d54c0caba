# SPDX-License-Identifier: Apache-2.0
"""Who is called again, when, and what becomes of those that still fail: each rule by example, and any sequence of
calls against the rules written down once more. Whole tries are in test_tries.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_aigen.core.models import NO_ROWS
from airflow_provider_aigen.core.service.breaker import BreakerState
from airflow_provider_aigen.core.service.health import CallRecord, Health
from airflow_provider_aigen.core.service.suspects import (
    MAX_CALLS,
    CallAgain,
    Outage,
    Probe,
    Route,
    Suspect,
    Suspects,
    repeat_limit,
)
from airflow_provider_aigen.core.service.verdicts import Extracted, Failed

EXTRACTED = Extracted(NO_ROWS, 1)
FAILED = Failed(500, ("service_error",), billed=True)


class Try:
    """Suspects of one try, whose documents fail and are answered at given moments."""

    def __init__(self, documents: int = 100, max_repeat_ratio: float = 0.2) -> None:
        self.health = Health()
        self.suspects = Suspects(self.health, documents, max_repeat_ratio)
        self.answers = 0

    def answer(self, at: float, times: int = 1) -> None:
        """Calls that begin now, for others, are answered."""
        for _ in range(times):
            self.answers += 1
            self.health.record(CallRecord(f"other{self.answers}", EXTRACTED, at, at, 1))

    def fail(self, name: str, at: float, calls: int = 1, **facts: bool) -> None:
        """The ``calls``-th call of the document fails."""
        self.suspects.add(Suspect(name, calls, at, **facts))

    def next(self, now: float, *, others: bool = False):
        return self.suspects.next(now, others=others)


# --- calling again while others are worked on ---------------------------------------------------------------------


def test_a_document_is_called_again_once_a_call_that_began_since_was_answered():
    a = Try()
    a.answer(1.0)
    a.fail("bad", at=1.0)
    assert a.next(9.0, others=True) is None
    a.answer(1.1)
    assert a.next(9.0, others=True) == CallAgain("bad")


def test_nobody_is_named_twice_while_nothing_changes():
    a = Try()
    for name in "abc":
        a.fail(name, at=1.0)
    a.answer(2.0)
    assert [a.next(9.0, others=True) for _ in range(5)] == [CallAgain("a"), CallAgain("b"), CallAgain("c"), None, None]
    assert a.next(9.0) is None  # on their way
    assert len(a.suspects) == 3


def test_each_failure_needs_an_answer_of_its_own_and_three_calls_are_all():
    a = Try()
    a.fail("bad", at=1.0)
    for calls, at in ((2, 3.0), (3, 5.0)):
        a.answer(at - 1)
        assert a.next(at, others=True) == CallAgain("bad")
        a.fail("bad", at, calls)
        assert a.next(at, others=True) is None
    a.answer(6.0)
    assert MAX_CALLS == 3
    assert a.next(99.0, others=True) is None
    assert a.next(99.0) == Route(("bad",))


def test_a_dead_letter_of_an_earlier_run_is_not_called_again():
    a = Try()
    a.fail("old", at=1.0, letter=True)
    a.answer(2.0)
    assert a.next(99.0, others=True) is None
    assert a.next(99.0) == Route(("old",))


def test_the_one_that_failed_first_is_called_first():
    a = Try()
    for at, name in enumerate("cab"):
        a.fail(name, float(at))
    a.answer(5.0)
    assert [a.next(9.0, others=True) for _ in range(3)] == [CallAgain("c"), CallAgain("a"), CallAgain("b")]


def test_only_those_that_failed_before_the_answer_began_are_called():
    a = Try()
    a.fail("early", at=1.0)
    a.fail("late", at=3.0)
    a.answer(2.0)
    assert a.next(9.0, others=True) == CallAgain("early")
    assert a.next(9.0, others=True) is None


def test_while_the_breaker_is_not_closed_the_others_test_the_service_and_no_suspect_does():
    """One more failure of a suspect would say little, and keep the breaker open for longer."""
    a = Try()
    for number in range(10):
        a.health.record(CallRecord(f"bad{number}", FAILED, 1.0, 2.0, 1))
        a.fail(f"bad{number}", at=2.0)
    a.answer(3.0)  # late: it leaves the breaker open
    assert a.next(3.0, others=True) is None
    assert a.next(32.5, others=True) is None
    assert a.next(3.0) == CallAgain("bad0"), "with nobody else left there is nobody to wait for"
    a.answer(33.0)  # the test
    assert a.next(34.0, others=True) == CallAgain("bad1")


def test_a_document_that_has_its_outcome_is_no_suspect_any_more():
    a = Try()
    a.fail("waits", at=1.0)
    a.suspects.clear("waits")
    a.suspects.clear("nobody")
    assert len(a.suspects) == 0
    assert a.next(9.0) is None
    a.fail("healed", at=1.0)
    a.fail("spent", at=1.0, calls=3)
    a.answer(2.0)
    assert a.next(9.0) == CallAgain("healed")
    a.suspects.clear("healed")
    assert len(a.suspects) == 1
    a.suspects.clear("spent")
    assert a.next(9.0) is None


def test_while_the_breaker_is_not_closed_others_test_the_service_and_no_suspect():
    a = Try()
    for number in range(10):
        a.health.record(CallRecord(f"failed{number}", FAILED, 1.0, 1.5, 1))
    a.fail("bad", at=1.5)
    a.answer(2.0)  # a late one, which closes nothing
    assert a.health.breaker.state(2.0) is BreakerState.OPEN
    assert a.next(2.0, others=True) is None
    assert a.health.breaker.state(31.5) is BreakerState.HALF_OPEN
    assert a.next(31.5, others=True) is None
    assert a.next(31.5) == CallAgain("bad")  # nobody else is left
    a.fail("bad", at=31.6, calls=2)
    a.answer(32.0)
    assert a.health.breaker.state(32.0) is BreakerState.CLOSED
    assert a.next(32.0, others=True) == CallAgain("bad")


# --- what may be billed twice -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documents", "ratio", "limit"),
    [(0, 0.2, 20), (1, 1.0, 20), (100, 0.2, 20), (101, 0.2, 21), (2000, 0.2, 400), (2000, 0.0, 20), (30, 1.0, 30)],
)
def test_a_ratio_of_the_documents_may_be_repeated_and_never_fewer_than_20(documents, ratio, limit):
    assert repeat_limit(documents, ratio) == limit
    assert Try(documents, ratio).suspects.repeats_left == limit


def test_repeats_that_may_be_billed_end_with_the_budget_and_others_do_not():
    a = Try()
    for number in range(25):
        a.fail(f"billed{number}", at=1.0)
        a.fail(f"free{number}", at=1.0, billed=False)
    a.answer(2.0, times=100)
    named = []
    while (step := a.next(9.0, others=True)) is not None:
        named.append(step.document_id)
    assert sum(name.startswith("billed") for name in named) == 20
    assert sum(name.startswith("free") for name in named) == 25
    assert a.suspects.repeats_left == 0
    a.fail("later", at=3.0)
    a.fail("later and free", at=3.0, billed=False)
    a.answer(4.0)
    assert a.next(9.0, others=True) == CallAgain("later and free")
    assert a.next(9.0, others=True) is None


def test_without_a_budget_the_rest_is_decided_without_another_call():
    a = Try(documents=1000)
    a.suspects.repeats_left = 1
    a.answer(0.0, times=60)
    for name in ("a", "b", "c"):
        a.fail(name, at=1.0)
    assert a.next(3.0) == Probe("a", 3.0)
    a.suspects.clear("a")
    assert a.next(3.0) == Route(("b", "c"))


# --- nobody left to answer ----------------------------------------------------------------------------------------


def test_what_could_be_routed_is_called_2_and_8_s_after_its_own_failure():
    a = Try()
    a.answer(0.0, times=10)
    a.fail("first", at=1.0)
    a.fail("second", at=1.5)
    assert a.next(2.0) == Probe("first", 3.0)
    assert a.next(2.9) == Probe("first", 3.0)  # nothing has begun, so it is said again
    assert a.next(3.0) == Probe("first", 3.0)
    assert a.next(3.0) == Probe("second", 3.5)  # though the first one is on its way
    assert a.next(3.6) == Probe("second", 3.5)
    assert a.next(3.6) is None
    a.fail("first", 4.0, calls=2)
    assert a.next(4.0) == Probe("first", 12.0)
    a.fail("second", 5.0, calls=2)
    assert a.next(12.0) == Probe("first", 12.0)
    a.fail("first", 12.5, calls=3)
    assert a.next(12.5) == Probe("second", 13.0)
    assert a.next(13.0) == Probe("second", 13.0)
    assert a.next(13.0) is None
    a.fail("second", 13.5, calls=3)
    assert a.next(13.5) == Route(("first", "second"))


def test_while_others_are_worked_on_nothing_is_probed_or_ended():
    a = Try()
    a.fail("bad", at=1.0)
    assert a.next(99.0, others=True) is None
    assert a.next(99.0) == Probe("bad", 3.0)


def test_a_probe_that_is_answered_is_an_answer_for_the_others():
    a = Try()
    for name in "abc":
        a.fail(name, at=1.0)
    assert a.next(3.0) == Probe("a", 3.0)
    assert a.next(99.0) is None  # one at a time, for it looks like an outage
    a.suspects.clear("a")
    a.answer(3.0)
    assert a.next(3.1) == CallAgain("b")
    assert a.next(3.1) == CallAgain("c")


def test_an_outage_is_found_out_by_two_single_probes_of_those_called_least():
    a = Try()
    a.fail("c", at=2.0)
    a.fail("a", at=1.0)
    a.fail("b", at=3.0, calls=2)
    assert a.next(3.0) == Probe("a", 5.0)  # 2 s after the newest failure
    assert a.next(5.0) == Probe("a", 5.0)
    assert a.next(99.0) is None
    a.fail("a", 6.0, calls=2)
    assert a.next(6.0) == Probe("c", 14.0)  # 8 s after it
    assert a.next(14.0) == Probe("c", 14.0)
    a.fail("c", 15.0, calls=2)
    end = a.next(15.0)
    assert isinstance(end, Outage)
    assert set(end.document_ids) == {"a", "b", "c"}


def test_of_those_that_may_not_be_called_again_the_newest_failure_counts_for_the_pause_too():
    a = Try()
    a.fail("a", at=1.0)
    a.fail("letter", at=6.0, letter=True)
    assert a.next(7.0) == Probe("a", 8.0)


def test_probes_begin_anew_once_one_was_answered():
    a = Try(documents=1000)
    for name in "abcd":
        a.fail(name, at=1.0)
    assert a.next(3.0) == Probe("a", 3.0)
    a.fail("a", 3.5, calls=2)
    assert a.next(11.5) == Probe("b", 11.5)
    a.suspects.clear("b")
    a.answer(11.5)
    assert [a.next(11.6) for _ in range(3)] == [CallAgain("c"), CallAgain("d"), CallAgain("a")]
    for name, calls in (("c", 2), ("d", 2), ("a", 3)):
        a.fail(name, 12.0, calls)
    assert a.next(12.0) == Probe("c", 14.0)  # three fail, one was answered: an outage, with two probes again
    assert a.next(14.0) == Probe("c", 14.0)
    a.fail("c", 14.5, calls=3)
    assert a.next(14.5) == Probe("d", 22.5)
    assert a.next(22.5) == Probe("d", 22.5)
    a.fail("d", 23.0, calls=3)
    assert isinstance(a.next(23.0), Outage)


# --- whose fault it is --------------------------------------------------------------------------------------------


def spent(documents: int, answered: int, failing: int, letters: int = 0, aged: int = 0):
    """What comes of so many that were called as often as they may."""
    a = Try(documents)
    a.answer(0.0, times=answered)
    for kind, count in (("new", failing), ("letter", letters), ("aged", aged)):
        for number in range(count):
            a.fail(f"{kind}{number}", 1.0, calls=3, letter=kind == "letter", aged=kind == "aged")
    end = a.next(99.0)
    assert end is not None
    assert len(end.document_ids) == failing + letters + aged
    return type(end)


@pytest.mark.parametrize(
    ("documents", "answered", "failing", "end"),
    [
        (1, 0, 1, Outage),  # nobody was answered
        (2, 1, 1, Route),
        (3, 1, 2, Outage),  # more than were answered
        (10, 5, 5, Route),
        (11, 5, 6, Outage),
        (20, 14, 6, Outage),  # more than five
        (119, 113, 6, Outage),
        (120, 114, 6, Route),  # 5 %
        (140, 133, 7, Route),
        (140, 132, 8, Outage),
        (2000, 1900, 100, Route),
        (2000, 1899, 101, Outage),
        (2000, 99, 100, Outage),
        (2000, 100, 100, Route),
    ],
)
def test_what_still_fails_is_an_outage_where_it_is_much_or_nobody_was_answered(documents, answered, failing, end):
    assert spent(documents, answered, failing) is end


@pytest.mark.parametrize(
    ("failing", "letters", "aged", "answered", "end"),
    [
        (0, 50, 0, 0, Route),
        (0, 0, 50, 0, Route),
        (0, 50, 50, 0, Route),
        (5, 50, 50, 10, Route),
        (1, 50, 50, 0, Outage),
        (6, 50, 50, 10, Outage),
        (2, 50, 50, 1, Outage),
    ],
)
def test_dead_letters_of_earlier_runs_and_what_failed_for_long_are_no_sign_of_an_outage(
    failing, letters, aged, answered, end
):
    assert spent(100, answered, failing, letters, aged) is end


def test_what_is_on_its_way_counts_too():
    """Five are left and one is being called: six is an outage, so the others are not probed one beside the other."""
    a = Try(documents=20)
    a.answer(0.0, times=14)
    a.fail("z", at=0.5)
    a.answer(1.0)
    assert a.next(1.0) == CallAgain("z")
    for name in "abcde":
        a.fail(name, at=2.0)
    assert a.next(99.0) is None
    a.suspects.clear("z")
    assert a.next(99.0) == Probe("a", 4.0)
    assert a.next(99.0) == Probe("b", 4.0)


# --- any sequence -------------------------------------------------------------------------------------------------


class AnyTry(RuleBasedStateMachine):
    """Documents fail and are answered in any order, and the suspects are asked at any time. Each step that they name
    is held against the rules, which are written down here over the list of what happened."""

    @initialize(documents=st.sampled_from([10, 100, 200]), ratio=st.sampled_from([0.0, 0.2]), left=st.integers(0, 20))
    def begin(self, documents: int, ratio: float, left: int) -> None:
        self.documents = documents
        self.a = Try(documents, ratio)
        self.a.suspects.repeats_left -= left  # so that the budget is used up now and then
        self.budget = self.a.suspects.repeats_left
        self.now = 1.0
        self.failed: dict[str, Suspect] = {}  # the newest failure of each that has no outcome
        self.on_their_way: dict[str, float] = {}
        self.answered_at = [-1e9]
        self.repeats = 0
        self.asked = 0
        self.probes = 0  # since the newest answer

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0, 8.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(letter=st.booleans(), aged=st.booleans(), billed=st.booleans(), times=st.integers(1, 4))
    def others_fail(self, letter: bool, aged: bool, billed: bool, times: int) -> None:
        for _ in range(times):
            self.asked += 1
            self.now += 0.01
            self.report(Suspect(f"d{self.asked}", 1, self.now, billed, letter, aged))

    @rule(times=st.integers(1, 8), began_s=st.sampled_from([0.0, 1.5]))
    def others_are_answered(self, times: int, began_s: float) -> None:
        self.now += 0.01
        self.answered(self.now - began_s, times)

    @precondition(lambda self: self.on_their_way)
    @rule(data=st.data(), again=st.sampled_from([True, True, False]))
    def a_repetition_ends(self, data: st.DataObject, again: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.on_their_way)))
        began_at = self.on_their_way.pop(name)
        self.now += 0.5
        suspect = self.failed[name]
        if again:
            self.report(replace(suspect, calls=suspect.calls + 1, failed_at=self.now))
        else:
            del self.failed[name]
            self.a.suspects.clear(name)
            self.answered(began_at)

    @precondition(lambda self: self.failed)
    @rule(data=st.data())
    def another_run_takes_one(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.failed)))
        self.a.suspects.clear(name)
        self.on_their_way.pop(name, None)
        del self.failed[name]

    @rule(others=st.booleans(), times=st.integers(1, 6))
    def ask(self, others: bool, times: int) -> None:
        for _ in range(times):
            self.judge(self.a.next(self.now, others=others), others)

    def report(self, suspect: Suspect) -> None:
        self.failed[suspect.document_id] = suspect
        self.a.suspects.add(suspect)

    def answered(self, began_at: float, times: int = 1) -> None:
        self.a.answer(began_at, times)
        self.answered_at += [began_at] * times
        self.probes = 0

    def waiting(self) -> list[Suspect]:
        return [one for name, one in self.failed.items() if name not in self.on_their_way]

    def may_repeat(self, one: Suspect) -> bool:
        calls = 1 if one.letter else 3
        return one.calls < calls and (not one.billed or self.repeats < self.budget)

    def is_outage(self) -> bool:
        failing = sum(not one.letter and not one.aged for one in self.failed.values())
        answered = len(self.answered_at) - 1
        return failing > 0 and (answered == 0 or failing > max(5, 0.05 * self.documents) or failing > answered)

    def judge(self, step: CallAgain | Probe | Route | Outage | None, others: bool) -> None:
        again = {
            one.document_id
            for one in self.waiting()
            if self.may_repeat(one) and any(at > one.failed_at for at in self.answered_at)
        }
        possible = [one for one in self.waiting() if self.may_repeat(one)]
        match step:
            case CallAgain(document_id=name):
                assert name in again
                self.call(name)
            case Probe(document_id=name, at=at):
                assert not others
                assert not again
                one = self.failed[name]
                assert one in possible
                if self.is_outage():
                    assert not self.on_their_way
                    assert self.probes < 2
                    assert at == max(one.failed_at for one in self.failed.values()) + (2.0, 8.0)[self.probes]
                    assert all((one.calls, one.failed_at) <= (each.calls, each.failed_at) for each in possible)
                else:
                    assert at == min(each.failed_at + (2.0, 8.0)[each.calls - 1] for each in possible)
                if at <= self.now:
                    self.probes += 1
                    self.call(name)
            case Route(document_ids=names) | Outage(document_ids=names):
                assert not others
                assert not self.on_their_way
                assert sorted(names) == sorted(self.failed)
                assert isinstance(step, Outage) == self.is_outage()
                assert not again
                assert not possible or (self.is_outage() and self.probes == 2)
                for name in names:
                    self.a.suspects.clear(name)
                self.failed.clear()
            case None:
                assert not again
                # Somebody is at work, so that something will change.
                assert others or self.on_their_way or not self.failed

    def call(self, name: str) -> None:
        self.repeats += self.failed[name].billed
        self.on_their_way[name] = self.now
        self.now += 0.01

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        if hasattr(self, "a"):
            assert self.repeats <= self.budget
            assert self.a.suspects.repeats_left == self.budget - self.repeats
            assert len(self.a.suspects) == len(self.failed)
            assert all(one.calls <= (1 if one.letter else 3) for one in self.failed.values())


TestAnyTry = AnyTry.TestCase
TestAnyTry.settings = settings(stateful_step_count=30)


@given(
    st.lists(
        st.builds(Suspect, st.uuids().map(str), st.integers(1, 3), st.floats(0, 10), st.booleans(), st.booleans())
    ),
    st.integers(0, 20),
)
def test_where_nobody_is_answered_any_more_it_ends_within_a_few_steps_and_leaves_nobody_out(suspects, answered):
    a = Try(documents=len(suspects) + answered)
    a.answer(0.0, times=answered)
    for one in suspects:
        a.suspects.add(one)
    failed = {one.document_id: one for one in suspects}
    now = 10.0
    for _ in range(2 * 2 * len(suspects) + 10):
        match step := a.next(now, others=False):
            case CallAgain(document_id=name) | Probe(document_id=name, at=0.0):
                now += 0.1
            case Probe(document_id=name, at=at) if at > now:
                now = at
                continue
            case Probe(document_id=name):
                now += 0.1
            case Route(document_ids=names) | Outage(document_ids=names):
                assert sorted(names) == sorted(failed)
                return
            case None:
                assert not failed
                return
        one = failed[name]
        assert step is not None
        failed[name] = replace(one, calls=one.calls + 1, failed_at=now)
        a.suspects.add(failed[name])
    raise AssertionError("it does not end")
