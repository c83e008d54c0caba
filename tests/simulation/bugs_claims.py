# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in claims and signs of life."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

from airflow_provider_aigen import pipeline
from airflow_provider_aigen.adapters.state import claims
from airflow_provider_aigen.adapters.state.claims import ClaimStore
from airflow_provider_aigen.pipeline import calls, documents, heartbeat, pool
from airflow_provider_aigen.pipeline.claims import Claims
from tests.simulation.mutations import Patch, edit, mutation


@mutation("claims are ignored", law="without a claim")
def _() -> list[Patch]:
    async def claim(self: Any, wanted: Any) -> Any:
        await original(self, wanted)
        return wanted, True

    original = ClaimStore.claim
    return [(ClaimStore, "claim", claim)]


@mutation("no answer is looked for where the claim was there", law="whose answer .* kept before")
def _() -> list[Patch]:
    looks = "(reused := await self._reuse(work, content_sha256)) is None:"
    return [
        edit(
            documents.DocumentLine,
            "_answered_or_claimed",
            (f"if {looks}\n        claim", "if (reused := None) is None:\n        claim"),
            (f"if {looks}  # kept meanwhile", "if (reused := None) is None:"),
        )
    ]


@mutation("the claim of a living writer is taken", law="which lives", profile="overlap")
def _() -> list[Patch]:
    return [edit(claims, "_is_held", ("now - beaten_at <= WRITER_LIVES", "False"))]


@mutation("claims last by the writers' own clocks", law="which lives", profile="overlap")
def _() -> list[Patch]:
    held = "_is_held(standing, stored.last_modified, beats.get(wanted.writer_id), beats)"
    own = "abs(wanted.claimed_at - standing.claimed_at).total_seconds() <= 180"
    return [edit(ClaimStore, "claim", (held, own))]


@mutation("a claim is released whoever holds it by now", law="takes the claim of .* which lives", profile="zombie")
def _() -> list[Patch]:
    release = ("standing.writer_id != claim.writer_id", "False"), ("if_match=stored.etag", "if_match=None")
    return [edit(ClaimStore, "release", *release)]


@mutation("a claim is given back before its call", law="without a claim")
def _() -> list[Patch]:
    call = "called = await self._call(work, image, claim)"
    return [edit(documents.DocumentLine, "_extract", (call, f"await self.claims.release(claim)\n        {call}"))]


@mutation(
    "a writer that was frozen calls under its old id", law="after its newest beat|without a claim", profile="zombie"
)
def _() -> list[Patch]:
    return [(heartbeat.Heartbeat, "is_late", property(lambda _: False))]


@mutation("a writer that was frozen does not claim again", law="without a claim", profile="zombie")
def _() -> list[Patch]:
    again = "while claim.writer_id != await self._heartbeat.alive():"
    begins = "return claim.writer_id == self._heartbeat.writer_id and"
    changes = (again, "while not await self._heartbeat.alive():"), (begins, "return")
    return [edit(documents.DocumentLine, "_call", *changes)]


@mutation(
    "a writer that was frozen on its way to the wire calls",
    law="after its newest beat|without a claim",
    profile="zombie",
)
def _() -> list[Patch]:
    return [edit(calls.Caller, "_send", (" or not may_begin()", ""))]


@mutation("claims live three minutes", law="nothing waits longer than a claim", profile="crash")
def _() -> list[Patch]:
    return [(claims, "WRITER_LIVES", timedelta(seconds=180))]


@mutation("claims are not given back at a stop", law="claims are given back")
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    return [(Claims, "give_back", nothing)]


@mutation(
    "a claim whose acknowledgement did not come is not given back",
    law="claims are given back",
    profile="stop",
    first=300,
)
def _() -> list[Patch]:
    in_flight = " or task in self._line.claims.claiming"
    return [edit(pool.Pool, "_drain", (in_flight, ""))]


@mutation("a try waits before it begins", law="what can be started is started at once")
def _() -> list[Patch]:
    beat, process = "await committer.catch_up()", import_module("airflow_provider_aigen.pipeline.process")
    changed = [edit(process, "process", (beat, f"{beat}\n        await ports.clock.sleep(15.0)"))]
    return [*changed, (pipeline, "process", changed[0][2])]
