# SPDX-License-Identifier: Apache-2.0
"""Documents whose calls failed in a way that may pass: is it their fault, or the service's (decision 0009)?

A document that failed is a *suspect*. It is called up to three times in a try, each time only when a call that began
since its failure was answered, or, with nobody left to answer, after 2 s and 8 s. What still fails when the try has
nothing else to do is routed to the dead letters, or it is an outage and the try fails. :meth:`Suspects.next` decides
it; the pool acts. Times are seconds of one monotonic clock, passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_provider_aigen.core.service.breaker import BreakerState
from airflow_provider_aigen.core.service.health import Health

__all__ = [
    "MAX_CALLS",
    "CallAgain",
    "Outage",
    "Probe",
    "Route",
    "Suspect",
    "Suspects",
    "repeat_limit",
]

MAX_CALLS = 3
_LEAST_REPEATS = 20
_LEAST_OUTAGE = 5
_OUTAGE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Suspect:
    """A document whose ``calls`` in this try all failed, the last one at ``failed_at``; a call that was made again at
    once, after a pause that was asked for or for want of a connection, is the same call. ``billed``: one more call may
    be paid twice. ``letter``: it is a dead letter of an earlier run, which gets one call. ``aged``: it has failed in
    many tries over a long time, so it no longer counts as a sign of an outage."""

    document_id: str
    calls: int
    failed_at: float
    billed: bool = True
    letter: bool = False
    aged: bool = False


@dataclass(frozen=True, slots=True)
class CallAgain:
    """Call this document now: the service was well after its failure."""

    document_id: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Nobody else is left to answer: call this document at ``at``, unless something changes before."""

    document_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Route:
    """These are at fault themselves: they become dead letters that later runs try again."""

    document_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outage:
    """The service is at fault: these are in no entry, and the try fails."""

    document_ids: tuple[str, ...]


def repeat_limit(documents: int, max_repeat_ratio: float) -> int:
    """How many calls that may be billed twice a try may make: the ratio of its documents, never under 20."""
    return max(_LEAST_REPEATS, math.ceil(documents * max_repeat_ratio))


class Suspects:
    """Those of one try of ``documents`` planned ones. One that :meth:`next` names is on its way until it is reported
    again (:meth:`add`) or has its outcome (:meth:`clear`)."""

    def __init__(self, health: Health, documents: int, max_repeat_ratio: float) -> None:
        self._health = health
        self._most = max(_LEAST_OUTAGE, math.floor(documents * _OUTAGE_SHARE))
        # Those that may be called again, those that are being called, and those that may not be called again: there
        # may be very many of the last ones, and nothing but the end of the try looks at them.
        self._waiting: dict[str, Suspect] = {}
        self._on_their_way: dict[str, Suspect] = {}
        self._spent: dict[str, Suspect] = {}
        self._probes = 0
        self._answered = 0
        self.repeats_left = repeat_limit(documents, max_repeat_ratio)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._on_their_way) + len(self._spent)

    def add(self, suspect: Suspect) -> None:
        """A call for this document failed."""
        self.clear(suspect.document_id)
        calls = 1 if suspect.letter else MAX_CALLS
        may_repeat = suspect.calls < calls and (self.repeats_left > 0 or not suspect.billed)
        (self._waiting if may_repeat else self._spent)[suspect.document_id] = suspect

    def clear(self, document_id: str) -> None:
        """The document has its outcome, or another run took it. One that is no suspect may be named, too."""
        for suspects in (self._waiting, self._on_their_way, self._spent):
            suspects.pop(document_id, None)

    def next(self, now: float, *, others: bool) -> CallAgain | Probe | Route | Outage | None:
        """What to do now; None: wait until a call ends. ``others``: documents that are no suspects still wait for their
        outcome, or are being called."""
        # While the breaker is not closed and others wait for it, one of those tests the service.
        if not others or self._health.breaker.state(now) is BreakerState.CLOSED:
            for suspect in self._waiting.values():
                if self._health.answered_since(suspect.failed_at):
                    return CallAgain(self._take(suspect))
        if others or not len(self):
            return None
        is_outage = self._is_outage()
        probe = self._next_probe(now, is_outage=is_outage)
        if probe is not None or self._on_their_way:
            return probe
        ids = (*self._waiting, *self._spent)
        return Outage(ids) if is_outage else Route(ids)

    def _next_probe(self, now: float, *, is_outage: bool) -> Probe | None:
        if not self._waiting:
            return None
        if not is_outage:
            due = min(self._waiting.values(), key=self._due)
            return self._probe(due, self._due(due), now)
        # More than the documents' own fault explains: one at a time finds out whether the service is well again.
        probes = self._probes_without_answer()
        if self._on_their_way or probes >= len(self._health.pauses_s):
            return None
        first = min(self._waiting.values(), key=lambda suspect: (suspect.calls, suspect.failed_at))
        newest = max(suspect.failed_at for suspect in (*self._waiting.values(), *self._spent.values()))
        return self._probe(first, newest + self._health.pauses_s[probes], now)

    def _probe(self, suspect: Suspect, at: float, now: float) -> Probe:
        """The probe; the document is on its way from ``at`` on."""
        if at <= now:
            self._take(suspect)
            self._probes = self._probes_without_answer() + 1
            self._answered = self._health.answered
        return Probe(suspect.document_id, at)

    def _probes_without_answer(self) -> int:
        """How many probes there were since the newest answer. Nothing else is called beside them."""
        return self._probes if self._health.answered == self._answered else 0

    def _take(self, suspect: Suspect) -> str:
        self._on_their_way[suspect.document_id] = self._waiting.pop(suspect.document_id)
        self.repeats_left -= suspect.billed
        if self.repeats_left <= 0:
            for billed in [waiting for waiting in self._waiting.values() if waiting.billed]:
                self._spent[billed.document_id] = self._waiting.pop(billed.document_id)
        return suspect.document_id

    def _is_outage(self) -> bool:
        failed = (*self._waiting.values(), *self._on_their_way.values(), *self._spent.values())
        failing = sum(not (suspect.letter or suspect.aged) for suspect in failed)
        answered = self._health.answered
        return failing > 0 and (not answered or failing > self._most or failing > answered)

    def _due(self, suspect: Suspect) -> float:
        pauses_s = self._health.pauses_s
        return suspect.failed_at + pauses_s[min(suspect.calls, len(pauses_s)) - 1]
