# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in plans, answers, commits and their effects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from airflow_provider_aigen import pipeline
from airflow_provider_aigen.adapters.state.codec import PLAN
from airflow_provider_aigen.adapters.state.objects import StateObjects
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.core import commits
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.core.service.verdicts import Refused
from airflow_provider_aigen.pipeline import batches, calls, commit, documents, effects, history, pool, source
from airflow_provider_aigen.pipeline.request import Received
from tests.simulation import world
from tests.simulation.mutations import Patch, edit, mutation


@mutation("effects before the commit", law="is written before")
def _() -> list[Patch]:
    old = "created = await self._state.create_commit(entry)"
    return [edit(commit.Committer, "_commit", (old, f"await self._effects.apply(entry, {{}})\n        {old}"))]


@mutation("412 on a commit taken for success", law="is not where commit .* belongs")
def _() -> list[Patch]:
    return [edit(commit.Committer, "_commit", ("entry if created else await self._read_taken(entry.number)", "entry"))]


@mutation("412 on a commit: next number, without reading the entry", law="rows come once and last")
def _() -> list[Patch]:
    taken = "there = entry if created else await self._read_taken(entry.number)"
    skip = "if not created:\n            self._head = entry.number\n            continue\n        there = entry"
    return [edit(commit.Committer, "_commit", (taken, skip))]


@mutation(
    "412 on a commit: same batch means done", law="ha(s|ve) no outcome|has its rows", profile="zombie", first=7000
)
def _() -> list[Patch]:
    return [
        edit(commit.Committer, "_commit", ("there.writer_id == self._writer_id and ", "there.run == batch.run and "))
    ]


@mutation("commit numbers with a gap", law="follows commit")
def _() -> list[Patch]:
    return [edit(commit.Committer, "_commit", ("self._head + 1", "self._head + 1 + (batch.number > 0)"))]


@mutation("documents that newer commits took are not left out", law="rows come once and last")
def _() -> list[Patch]:
    return [edit(commits.Taken, "see", ("self.others.add(taken_ids(entry))", "pass"))]


@mutation("gone does not take its document within a run", law="a run commits what it planned once", profile="zombie")
def _() -> list[Patch]:
    own = "self.own.add([outcome.document.document_id for outcome in entry.outcomes])"
    return [edit(commits.Taken, "see", (own, "self.own.add(taken_ids(entry))"))]


@mutation("gone counts as taken", law="every source object is taken", profile="zombie")
def _() -> list[Patch]:
    changed = edit(commits, "taken_ids", (" if outcome.outcome is not Outcome.GONE", ""))
    return [(module, "taken_ids", changed[2]) for module in (commits, history)]


@mutation("what S3 denies is gone", law="only what somebody touched is gone", profile="denied")
def _() -> list[Patch]:
    denied = "except (ObjectNotFound, ObjectChanged):"
    return [edit(documents.DocumentLine, "process", (denied, "except (ObjectNotFound, ObjectChanged, ObjectDenied):"))]


@mutation(
    "the writer's own answer instead of the kept one",
    law="what the answers say|come out differently",
    profile="zombie",
    first=6850,
)
def _() -> list[Patch]:
    async def keep_answer(self: Any, answer: Any) -> Any:
        await original(self, answer)
        return answer

    original = S3StateStore.keep_answer
    return [(S3StateStore, "keep_answer", keep_answer)]


@mutation("kept answers are not looked for", law="whose answer .* kept before")
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    return [(documents.DocumentLine, "_reuse", nothing)]


@mutation("a kept answer is overwritten", law="a kept answer is overwritten", profile="zombie")
def _() -> list[Patch]:
    return [edit(StateObjects, "_create", ("create_only=True", "create_only='answers' not in names"))]


@mutation(
    "a batch that another process created is remembered as this one's",
    law="a run commits what it planned once",
    profile="zombie",
    first=2376,
)
def _() -> list[Patch]:
    refused = "return False"
    remembered = f"self._created.keep(names, StoredObject(body, ''))\n        {refused}"
    return [edit(StateObjects, "_create", (refused, remembered))]


@mutation("an answer is kept without its last byte", law="answers are as received")
def _() -> list[Patch]:
    original = documents.kept_answer

    def shorter(*args: Any) -> Any:
        kept = original(*args)
        return replace(kept, body=kept.body + b" ")

    return [(documents, "kept_answer", shorter)]


@mutation("a refusal is not kept", law="a refusal has its answer")
def _() -> list[Patch]:
    original = S3StateStore.keep_answer

    async def keep_answer(self: Any, answer: Any) -> Any:
        refused = isinstance(documents.read(answer).verdict, Refused)
        return answer if refused else await original(self, answer)

    return [(S3StateStore, "keep_answer", keep_answer)]


@mutation("the slot is given free before the answer is kept", law="are in flight or not kept")
def _() -> list[Patch]:
    original = calls.Caller.call

    async def call(self: Any, request: Any, keep: Any, *rest: Any) -> Any:
        async def later(received: Any) -> Any:
            return received

        result = await original(self, request, later, *rest)
        return await keep(result) if isinstance(result, Received) else result

    return [(calls.Caller, "call", call)]


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


def _with_another_run(another: Callable[[RunIdentity], RunIdentity]) -> list[Patch]:
    original = world.PlanRequest
    return [(world, "PlanRequest", lambda **facts: original(**facts | {"run": another(facts["run"])}))]


@mutation("the try number is part of the run's identity", law="of a cleared run were|cleared runs made")
def _() -> list[Patch]:
    tries = count()
    return _with_another_run(lambda run: replace(run, run_id=f"{run.run_id}, try {next(tries)}"))


@mutation(
    "the parameters are no part of the run's identity",
    law="a try that succeeds leaves nothing",
    profile="parameters",
)
def _() -> list[Patch]:
    return _with_another_run(lambda run: replace(run, parameters=""))


@mutation("marked as applied before the parts are written", law="is marked as applied without")
def _() -> list[Patch]:
    mark = "await self._state.mark_applied(entry.number)"
    rows = "await self._parts.write("
    return [edit(effects.Effects, "apply", (mark, "pass"), (rows, f"{mark}\n    {rows}"))]


@mutation("commits without their applied mark are never finished", law="every commit is applied")
def _() -> list[Patch]:
    async def nothing(*_: Any) -> int:
        return 0

    return [(pipeline, "finish_commits", nothing)]


@mutation("a stop cancels the calls in flight", law="nothing is paid again without a reason", profile="stop")
def _() -> list[Patch]:
    in_flight = "[task for task in tasks if task in self._caller.in_flight or task in self._line.claims.claiming]"
    return [edit(pool.Pool, "_drain", (in_flight, "[]"))]


@mutation("calls begin after a stop", law="no call begins after a stop", profile="stop")
def _() -> list[Patch]:
    async def drain(self: Any, tasks: Any) -> None:
        await pool.wait_up_to(self._clock, self._grace_s, tasks)
        for task in tasks:
            task.cancel()

    call = edit(calls.Caller, "raise_if_stopped", ("if self._stop.is_set:", "if False:"))
    send = edit(calls.Caller, "_send", ("self._stop.is_set or ", ""))
    work = edit(pool.Pool, "_work", ("if self._stop.is_set:", "if False:"))
    return [call, send, work, (pool.Pool, "_drain", drain)]


@mutation("what is on its way at a stop is sent", law="no call begins after a stop", profile="stop")
def _() -> list[Patch]:
    return [edit(calls.Caller, "_send", ("self._stop.is_set or ", ""))]


@mutation("what has an outcome at a stop is not committed", law="what a try answered has its rows", profile="stop")
def _() -> list[Patch]:
    return [(batches.OpenBatches, "flush", lambda _: None)]


@mutation("batches wait for documents that fail", law="wait for documents that fail", profile="passing")
def _() -> list[Patch]:
    return [
        edit(batches.OpenBatches, "_give", ("not opened.waiting and", "not opened.waiting and not opened.failing and"))
    ]


@mutation("equal bytes under two keys are called at once", law="calls twice at once")
def _() -> list[Patch]:
    return [(documents.DocumentLine, "_only_one", lambda *_: documents.asyncio.Lock())]


@mutation("the source is read whatever it is by now", law="is taken for another", profile="zombie")
def _() -> list[Patch]:
    return [edit(source.Source, "_get", (", if_match=document.etag or None", ""))]
