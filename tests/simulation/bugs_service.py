# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in what becomes of documents that fail."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.adapters.limits import local
from airflow_provider_aigen.core.service import health, retry, suspects
from airflow_provider_aigen.pipeline import calls, claims, feed
from tests.simulation.mutations import Patch, edit, mutation


@mutation("an outage is routed", law="an outage is not routed", profile="outage")
def _() -> list[Patch]:
    return [edit(suspects.Suspects, "next", ("Outage(ids) if is_outage else Route(ids)", "Route(ids)"))]


@mutation("more are routed than were answered", law="an outage is not routed", profile="outage")
def _() -> list[Patch]:
    return [edit(suspects.Suspects, "_is_outage", (" or failing > answered", ""))]


@mutation("a few documents that fail are an outage", law="a run with few failures succeeds", profile="passing")
def _() -> list[Patch]:
    return [edit(suspects.Suspects, "_is_outage", ("failing > self._most", "failing > 0"))]


@mutation("a document is called four times", law="calls 4 times for content", profile="passing")
def _() -> list[Patch]:
    return [(suspects, "MAX_CALLS", 4)]


@mutation("documents are called again while nothing is answered", law="though nothing was answered", profile="outage")
def _() -> list[Patch]:
    return [(health.Health, "answered_since", lambda *_: True)]


@mutation("repeats have no limit", law="repeats stay within the budget", profile="storm")
def _() -> list[Patch]:
    return [(suspects, "repeat_limit", lambda *_: 10**6)]


@mutation("a passing failure is kept", law="nothing is kept for a passing failure", profile="passing")
def _() -> list[Patch]:
    def decide(verdict: Any, *rest: Any, **more: Any) -> Any:
        failed = isinstance(verdict, retry.Failed) and verdict.status == 200
        return retry.Keep() if failed else original(verdict, *rest, **more)

    original = calls.decide
    return [(calls, "decide", decide)]


@mutation("429 without Retry-After is waited out for ever", law="a try that cannot go on ends soon", profile="account")
def _() -> list[Patch]:
    return [edit(health.Health, "_throttled", ("if self._throttles <= len(self.pauses_s):", "if True:"))]


@mutation("no credit is an outage", law="a try that cannot go on ends soon", profile="account")
def _() -> list[Patch]:
    def decide(verdict: Any, *rest: Any, **more: Any) -> Any:
        decision = original(verdict, *rest, **more)
        if isinstance(verdict, retry.Fatal):
            return retry.EndRun(retry.ServiceUnavailableError("later, perhaps"))
        return decision

    original = calls.decide
    return [(calls, "decide", decide)]


@mutation("a document never ages", law="documents that fail alone are not routed", profile="alone")
def _() -> list[Patch]:
    return [(claims.Claims, "is_aged", lambda *_: False)]


@mutation(
    "a probe is due by a second look at the clock", law="though nothing was answered|calls 4 times", profile="passing"
)
def _() -> list[Patch]:
    looks = "case Probe(at=at) if at > (now := self._clock.monotonic()):"
    return [edit(feed.Feed, "_act", ("case Probe(at=at) if at > now:", looks))]


@mutation("a call starts without a look at the pace", law="starts .* calls in")
def _() -> list[Patch]:
    async def at_once(*_: Any) -> None:
        return None

    return [(local.LocalRateLimiter, "start", at_once)]
