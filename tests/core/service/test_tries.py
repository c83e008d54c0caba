# SPDX-License-Identifier: Apache-2.0
"""Whole tries, and runs one after the other, against scripted endpoints: health, suspects, retry, rounds and planning
together. What fails in single ways is in test_failure_table.py."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.document.outcomes import LastCall, Round, failed
from airflow_provider_aigen.core.errors import ServiceUnavailableError
from airflow_provider_aigen.core.letters import PassingLetters
from airflow_provider_aigen.core.models import (
    ApiResponse,
    CommitEntry,
    DocumentOutcome,
    Outcome,
    Retake,
    RunIdentity,
)
from airflow_provider_aigen.core.planning import PlanRequest, call_order
from airflow_provider_aigen.core.service.suspects import repeat_limit
from tests.core.planned import SETTINGS, document
from tests.core.service.trial import Call, End, Script, Trial

GOOD = ApiResponse(200, b'{"status": "success", "error": [], "data": [{"f": {"value": "v"}}]}', 0.1)
BROKEN = ApiResponse(502, b"<html>", 0.1)
HTML = ApiResponse(200, b"<html>", 0.1)
PAGE_ERROR = ApiResponse(400, b'{"status": "error", "error": [{"code": "internal_server_error"}], "data": [{}]}', 0.1)
HOUR = 3600.0
BEGIN = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass
class Runs:
    """The runs of one destination, one after the other; ``now`` are seconds since the first one began."""

    script: Script
    now: float = 0.0
    max_in_flight: int = 4
    letters: PassingLetters = field(default_factory=PassingLetters)
    outcomes: dict[str, DocumentOutcome] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    commits: int = 0

    def run(self, new: list[str], *, retries: int = 0, every_s: float = 300.0) -> list[End]:
        """Its tries: until one succeeds, or the task has no retry left."""
        request = PlanRequest(RunIdentity("d", "t", str(self.commits)), SETTINGS, "scans", "in/", lambda _: True, 500)
        due = {
            letter.document.key[3:]: letter.retake
            for letter in self.letters.due(request, BEGIN + timedelta(seconds=self.now))
        }
        left, planned, tries = [*new, *due], len(new) + len(due), []
        for number in range(retries + 1):
            self.now += every_s if number else 0.0
            begun = self.now
            trial = Trial(
                left,
                lambda call, begun=begun: self.script(Call(call.document_id, call.number, begun + call.at)),
                letters=due,
                planned=planned,
                max_in_flight=self.max_in_flight,
            )
            end = trial.run()
            self.now += end.ended_at
            self.calls += end.calls
            self._commit(end, due, Round(trial.health.round_counts, 3))
            tries.append(end)
            left = [name for name in left if name not in end.kept and name not in end.routed]
            if not left:
                break
        return tries

    def _commit(self, end: End, due: dict[str, Retake], this: Round) -> None:
        self.commits += 1
        made = {name: DocumentOutcome(document(name), Outcome.EXTRACTED) for name in end.kept}
        last = LastCall(BEGIN + timedelta(seconds=self.now), 1)
        for name, verdict in end.routed.items():
            made[name] = failed(document(name), verdict, last, this, content_sha256="", retake=due.get(name))
        self.outcomes |= made
        self.letters.see(CommitEntry(self.commits, "w", RunIdentity("d", "t", "r"), 0, SETTINGS, tuple(made.values())))

    def dead_letters(self) -> set[str]:
        return {name for name, outcome in self.outcomes.items() if outcome.outcome is Outcome.DEAD_LETTER}

    def final(self) -> set[str]:
        return {name for name in self.dead_letters() if not self.outcomes[name].passing}


def new(count: int, run: int = 0) -> list[str]:
    return [f"run{run:02d}-{number:04d}" for number in range(count)]


def poisoned(*names: str) -> Script:
    return lambda call: BROKEN if call.document_id in names else GOOD


def at_random(share: float, seed: int, *, until: float = math.inf) -> Script:
    """A share of all calls fails, whatever their document."""
    drawn = random.Random(seed)
    return lambda call: BROKEN if call.at < until and drawn.random() < share else GOOD


# --- one bad document ---------------------------------------------------------------------------------------------


def test_case_1_a_bad_image_that_sorts_last_and_20_new_scans_an_hour():
    runs = Runs(poisoned("zzz"))
    for number in range(6):
        runs.now = number * HOUR
        scans = new(20, number)
        (end,) = runs.run(scans if number else [*scans, "zzz"])
        assert end.error is None
        assert set(scans) <= set(end.kept)
        assert runs.dead_letters() == {"zzz"}
        assert (runs.final() == {"zzz"}) == (number >= 3)
        assert end.calls["zzz"] == (3, 1, 1, 1, 0, 0)[number]
    assert runs.calls["zzz"] == 6


@pytest.mark.parametrize("position", range(60))
def test_case_2_one_bad_image_of_60_at_any_position(position):
    scans = new(60)
    runs = Runs(poisoned(scans[position]))
    (end,) = runs.run(scans)
    assert end.error is None
    assert set(end.kept) == set(scans) - {scans[position]}
    assert runs.dead_letters() == {scans[position]}


def test_case_2_the_fifth_of_five_does_not_hold_up_those_behind():
    runs = Runs(poisoned("a4"))
    assert runs.run([f"a{number}" for number in range(5)])[0].error is None
    runs.now += HOUR
    assert runs.run([f"b{number}" for number in range(4)])[0].error is None  # the fifth place is the letter's
    assert runs.dead_letters() == {"a4"}
    assert len(runs.outcomes) == 9


@pytest.mark.parametrize("bad", [1, 2, 5])
@pytest.mark.parametrize("where", ["first", "last", "spread"])
@pytest.mark.parametrize("max_in_flight", [1, 4, 16])
def test_a_few_bad_ones_are_routed_by_the_first_try_that_answers_others(bad, where, max_in_flight):
    good, names = new(30), {f"bad{number}" for number in range(bad)}
    scans = {
        "first": [*sorted(names), *good],
        "last": [*good, *sorted(names)],
        "spread": random.Random(7).sample([*good, *sorted(names)], 30 + bad),
    }[where]
    end = Trial(scans, poisoned(*names), max_in_flight=max_in_flight).run()
    assert end.error is None
    assert end.routed.keys() == names
    assert end.kept.keys() == set(good)
    assert all(end.calls[name] == 3 for name in names)
    assert end.all_calls == 30 + 3 * bad


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("max_in_flight", [1, 4, 16])
def test_a_folder_of_broken_scans_holds_up_nothing_in_a_processs_own_order(seed, max_in_flight):
    """In the listing's order the breaker would end every try at them, for its probes are broken too."""
    broken = [f"broken{number:02d}" for number in range(25)]
    scans = sorted([*broken, *new(475)], key=lambda name: call_order(document(name).document_id, f"writer{seed}"))
    end = Trial(scans, poisoned(*broken), max_in_flight=max_in_flight).run()
    assert end.error is None
    assert end.routed.keys() == set(broken)
    assert len(end.kept) == 475


@pytest.mark.parametrize("max_in_flight", [1, 4, 16])
def test_twelve_bad_images_in_a_row_at_the_end_are_routed_though_they_open_the_breaker(max_in_flight):
    good, bad = new(300), [f"zz{number:02d}" for number in range(12)]
    end = Trial([*good, *bad], poisoned(*bad), max_in_flight=max_in_flight).run()
    assert end.error is None
    assert end.routed.keys() == set(bad)
    assert end.kept.keys() == set(good)


def test_an_image_that_is_all_that_a_run_has_waits_for_others_and_is_routed_when_it_has_failed_for_long():
    end = Trial(["only"], poisoned("only")).run()
    assert (end.outage, end.routed) == ({"only"}, {})
    assert end.calls["only"] == 3
    end = Trial(["only"], poisoned("only"), aged=["only"]).run()
    assert (end.outage, end.routed.keys()) == (set(), {"only"})
    assert end.calls["only"] == 3


def test_many_that_failed_for_long_open_no_breaker_so_that_they_can_be_routed():
    names = [f"bad{number}" for number in range(40)]
    end = Trial(names, poisoned(*names), aged=names).run()
    assert end.error is None
    assert end.routed.keys() == set(names)


# --- failures at random -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.03, 0.05, 0.1])
@pytest.mark.parametrize("documents", [100, 500, 2000])
def test_case_4_a_share_of_all_calls_fails_at_random(share, documents):
    seeds = range(2000 // documents)
    passing = 0
    for seed in seeds:
        runs = Runs(at_random(share, seed))
        (end,) = runs.run(new(documents))
        assert end.error is None
        assert end.repeated <= repeat_limit(documents, 0.2)
        passing += len(end.routed)
        runs.now += HOUR
        runs.script = poisoned()
        (end,) = runs.run(new(20, 1))
        assert end.error is None
        assert not runs.dead_letters()
    assert passing <= 0.005 * documents * len(seeds)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("max_in_flight", [4, 16])
def test_case_3_a_third_of_all_calls_fails_for_an_hour(seed, max_in_flight):
    runs = Runs(at_random(1 / 3, seed, until=HOUR), max_in_flight=max_in_flight)
    tries = runs.run(new(2000), retries=12)
    assert len(tries) <= 5
    assert len(runs.outcomes) == 2000
    assert len(runs.dead_letters()) <= 100
    assert not runs.final()
    runs.now = max(runs.now, HOUR) + 900.0
    (end,) = runs.run(new(20, 1))
    assert end.error is None
    assert not runs.dead_letters()


@pytest.mark.parametrize("answer", [BROKEN, HTML, PAGE_ERROR])
@pytest.mark.parametrize("documents", [1, 5, 200])
def test_cases_5_and_6_an_outage_routes_and_keeps_nothing_and_afterwards_all_are_extracted(answer, documents):
    runs = Runs(lambda call: answer if call.at < 1800.0 else GOOD)
    scans = new(documents)
    tries = runs.run(scans, retries=200)
    assert not any(end.kept or end.routed for end in tries[:-1])
    assert all(end.ended_at < 240.0 for end in tries[:-1])
    assert tries[-1].kept.keys() == set(scans)
    assert 1800.0 < runs.now < 1800.0 + 600.0
    assert all(count <= 3 * len(tries) for count in runs.calls.values())


def test_what_was_answered_before_an_outage_stays_and_the_next_try_goes_on():
    runs = Runs(lambda call: BROKEN if 2.0 <= call.at < 400.0 else GOOD)
    first, *_, last = runs.run(new(200), retries=5)
    assert isinstance(first.error, ServiceUnavailableError)
    assert first.kept
    assert not first.routed
    assert last.error is None
    assert len(runs.outcomes) == 200
    assert not runs.dead_letters()


def test_letters_of_an_outage_of_few_documents_are_not_final_before_ten_rounds():
    """The rounds of a service that answers nobody do not count."""
    runs = Runs(poisoned("bad"))
    runs.run([*new(20), "bad"])
    runs.script = lambda _: BROKEN
    for number in range(1, 11):
        assert not runs.final()
        runs.now = number * HOUR
        (end,) = runs.run([])
        assert end.calls["bad"] == 1
    assert runs.final() == {"bad"}
    assert (runs.outcomes["bad"].rounds, runs.outcomes["bad"].all_rounds) == (0, 10)


def test_an_outage_leaves_the_dead_letters_of_earlier_runs_as_they_are():
    runs = Runs(poisoned("bad"))
    runs.run([*new(20), "bad"])
    before = runs.outcomes["bad"]
    runs.script = lambda _: BROKEN
    runs.now += HOUR
    (end,) = runs.run(new(5, 1))
    assert end.outage == {"bad", *new(5, 1)}
    assert runs.outcomes["bad"] == before


# --- any endpoint -------------------------------------------------------------------------------------------------


class Whims:
    """How one document's calls go: the first ``failures`` of them fail, then each with ``chance``."""

    def __init__(self, failures: int, chance: float, answer: ApiResponse) -> None:
        self.failures = failures
        self.chance = chance
        self.answer = answer


WHIMS = st.builds(
    Whims,
    st.sampled_from([0, 0, 0, 0, 1, 2, 3, 99]),
    st.sampled_from([0.0, 0.0, 0.0, 0.3]),
    st.sampled_from([BROKEN, HTML, PAGE_ERROR, ApiResponse(503, b"", 0.1)]),
)
KINDS = st.sampled_from(["new", "new", "new", "new", "letter", "aged"])


@given(
    st.lists(st.tuples(WHIMS, KINDS), max_size=60),
    st.integers(1, 16),
    st.sampled_from([0.0, 0.2]),
    st.none() | st.tuples(st.floats(0, 5), st.floats(0, 60)),
    st.integers(0, 2**32),
)
def test_any_try_ends_within_its_bounds_and_accounts_for_everybody(whims, max_in_flight, ratio, outage, seed):
    drawn = random.Random(seed)
    names = [f"d{number}" for number in range(len(whims))]
    kinds = {name: kind for name, (_, kind) in zip(names, whims, strict=True)}
    moods = {name: mood for name, (mood, _) in zip(names, whims, strict=True)}

    def script(call: Call) -> ApiResponse:
        mood = moods[call.document_id]
        down = outage is not None and outage[0] <= call.at < outage[0] + outage[1]
        return mood.answer if down or call.number <= mood.failures or drawn.random() < mood.chance else GOOD

    trial = Trial(
        names,
        script,
        letters=[name for name in names if kinds[name] == "letter"],
        aged=[name for name in names if kinds[name] == "aged"],
        max_in_flight=max_in_flight,
        max_repeat_ratio=ratio,
        latency_s=lambda _: drawn.uniform(0.1, 3.0),
    )
    end = trial.run()
    kept, routed = set(end.kept), set(end.routed)
    assert not kept & routed
    assert not (kept | routed) & end.outage
    assert end.repeated <= repeat_limit(len(names), ratio)
    assert all(count <= (1 if kinds[name] == "letter" else 3) for name, count in end.calls.items())
    assert trial.suspects.repeats_left == repeat_limit(len(names), ratio) - end.repeated
    assert end.error is None or isinstance(end.error, ServiceUnavailableError)
    if end.error is not None or end.outage:
        assert not routed
    else:
        assert kept | routed == set(names)
        assert all(end.calls[name] for name in names)
    fresh = [name for name in routed if kinds[name] == "new"]
    assert not fresh or len(fresh) <= min(max(5, 0.05 * len(names)), len(kept))
    if not outage and all(mood.failures == mood.chance == 0 for mood in moods.values()):
        assert kept == set(names)
        assert end.all_calls == len(names)
