# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in plan, claims, answers and commits."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from airflow_provider_aigen import pipeline
from airflow_provider_aigen.adapters.state import claims
from airflow_provider_aigen.adapters.state.claims import ClaimStore
from airflow_provider_aigen.adapters.state.codec import PLAN
from airflow_provider_aigen.adapters.state.objects import StateObjects
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.core import commits
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.pipeline import calls, commit, documents, effects, pool
from airflow_provider_aigen.pipeline import plan as planning
from tests.simulation import world
from tests.simulation.mutations import Patch, edit, mutation


@mutation("effects before the commit", law="is written before")
def _() -> list[Patch]:
    old = "created = await self._state.create_commit(entry)"
    return [edit(commit.Committer, "_commit", (old, f"await self._effects.apply(entry, {{}})\n        {old}"))]


@mutation("412 on a commit taken for success", law="is not where commit .* belongs|is another one's")
def _() -> list[Patch]:
    return [edit(commit.Committer, "_commit", ("entry if created else await self._read_taken(entry.number)", "entry"))]


@mutation("412 on a commit: next number, without reading the entry", law="rows come once and last")
def _() -> list[Patch]:
    taken = "there = entry if created else await self._read_taken(entry.number)"
    skip = "if not created:\n            self._head = entry.number\n            continue\n        there = entry"
    return [edit(commit.Committer, "_commit", (taken, skip))]


@mutation("commit numbers with a gap", law="follows commit")
def _() -> list[Patch]:
    return [edit(commit.Committer, "_commit", ("self._head + 1", "self._head + 1 + (batch.number > 0)"))]


@mutation("kept answers are not looked for", law="whose answer .* kept before")
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    return [(documents.DocumentLine, "_reuse", nothing)]


@mutation("a kept answer is overwritten", law="a kept answer is overwritten")
def _() -> list[Patch]:
    create = ("create_only=True", "create_only='answers' not in names")
    return [edit(StateObjects, "_create", create)]


@mutation("the slot is given free before the answer is kept", law="are in flight or not kept")
def _() -> list[Patch]:
    original = calls.Caller.call

    async def call(self: Any, request: Any, keep: Any, *rest: Any) -> Any:
        async def later(received: Any) -> Any:
            return received

        result = await original(self, request, later, *rest)
        return await keep(result) if isinstance(result, calls.Received) else result

    return [(calls.Caller, "call", call)]


@mutation("documents that newer commits took are not left out", law="rows come once and last")
def _() -> list[Patch]:
    return [edit(commits.Taken, "see", ("self.others.add(taken_ids(entry))", "pass"))]


@mutation("parts written with the finisher's settings, not the plan's", law="changes when it is written again")
def _() -> list[Patch]:
    original = effects.Effects.apply

    async def apply(self: Any, entry: Any, at_hand: Any = None) -> None:
        if at_hand is None:
            entry = replace(entry, settings=replace(entry.settings, min_confidence=0.99))
        await original(self, entry, at_hand)

    return [(effects.Effects, "apply", apply)]


@mutation("the plan is made anew at each try", law="plan .* is overwritten")
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    async def create_plan(self: Any, plan: Any) -> Any:
        key = self._prefix.join("plans", plan.run.run_key, "plan.json.gz")
        await self._store.put(self._prefix.bucket, key, PLAN.to_gzip(plan))
        return plan

    return [(S3StateStore, "read_plan", nothing), (S3StateStore, "create_plan", create_plan)]


@mutation("the try number is part of the run's identity", law="of a cleared run were")
def _() -> list[Patch]:
    tries = count()
    return [(world, "identity", lambda run: RunIdentity(run.dag, "ocr", f"{run.run_id}, try {next(tries)}"))]


@mutation("marked as applied before the parts are written", law="is marked as applied without")
def _() -> list[Patch]:
    mark = "await self._state.mark_applied(entry.number)"
    rows = "rows = [(outcome"
    return [edit(effects.Effects, "apply", (mark, "pass"), (rows, f"{mark}\n    {rows}"))]


@mutation("commits without their applied mark are never finished", law="every commit is applied")
def _() -> list[Patch]:
    async def nothing(*_: Any) -> int:
        return 0

    return [(pipeline, "finish_commits", nothing)]


@mutation("gone counts as taken", law="every source object is taken")
def _() -> list[Patch]:
    changed = edit(commits, "taken_ids", (" if outcome.outcome is not Outcome.GONE", ""))
    return [(module, "taken_ids", changed[2]) for module in (commits, planning)]


@mutation("claims are ignored", law="without a claim")
def _() -> list[Patch]:
    async def claim(self: Any, wanted: Any) -> Any:
        await original(self, wanted)
        return wanted, True

    original = ClaimStore.claim
    return [(ClaimStore, "claim", claim)]


@mutation("the claim of a living writer is taken", law="which lives")
def _() -> list[Patch]:
    return [edit(claims, "_is_held", ("now - beaten_at <= _WRITER_LIVES", "False"))]


@mutation("a claim is released whoever holds it by now", law="takes the claim of .* which lives")
def _() -> list[Patch]:
    release = ("standing.writer_id != claim.writer_id", "False"), ("if_match=stored.etag", "if_match=None")
    return [edit(ClaimStore, "release", *release)]


@mutation("a stop cancels the calls in flight", law="nothing is paid again without a reason")
def _() -> list[Patch]:
    in_flight = "[task for task in tasks if task in self._caller.in_flight]"
    return [edit(pool.Pool, "_drain", (in_flight, "[]"))]


@mutation("equal bytes under two keys are called at once", law="calls twice at once")
def _() -> list[Patch]:
    return [(documents.DocumentLine, "_only_one", lambda *_: documents.asyncio.Lock())]


@mutation("the source is read whatever it is by now", law="is taken for another")
def _() -> list[Patch]:
    return [edit(documents.DocumentLine, "_fetch", (", if_match=document.etag", ""))]
