# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs, each the kind that somebody could really write; the simulation has to catch every one of them.

A mutation replaces a piece of a function's source, or the whole of it, in memory and for a while. Its ``law`` is what
the bug breaks: a pattern in the message of the ``Violation``. A bug that only ends a process with an error is not
caught: then the mutation does not fit the code any more, and shows nothing.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

from airflow_provider_aigen.adapters.state.codec import PLAN
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.core import commits
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.pipeline import calls, commit, documents, pool, undecided
from airflow_provider_aigen.pipeline import plan as planning
from tests.simulation import world

__all__ = ["LAWS", "MUTATIONS", "PROFILES", "mutated"]

Patch = tuple[Any, str, Any]
MUTATIONS: dict[str, Callable[[], list[Patch]]] = {}
LAWS: dict[str, str] = {}
# Which kind of schedules shows it, where most do not.
PROFILES = {
    "a failure of the service is the document's": "outage",
    "one failure of the service is enough where others are answered": "outage",
    "a claim is released whoever holds it by now": "mixed",
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The code with this bug."""
    patches = MUTATIONS[name]()
    before = [(owner, attribute, owner.__dict__[attribute]) for owner, attribute, _ in patches]
    try:
        for owner, attribute, value in patches:
            setattr(owner, attribute, value)
        yield
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)


def mutation(name: str, *, law: str) -> Callable[[Callable[[], list[Patch]]], None]:
    def register(make: Callable[[], list[Patch]]) -> None:
        MUTATIONS[name] = make
        LAWS[name] = law

    return register


def edit(owner: Any, attribute: str, *changes: tuple[str, str]) -> Patch:
    """The function with each ``old`` in its source made ``new``; fails where the source no longer has it."""
    function = owner.__dict__[attribute]
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        assert source.count(old) == 1, f"{attribute} no longer has {old!r} once: adapt the mutation"
        source = source.replace(old, new)
    namespace = dict(vars(sys.modules[function.__module__]))
    exec(compile("from __future__ import annotations\n" + source, f"<mutated {attribute}>", "exec"), namespace)
    return owner, attribute, namespace[attribute]


@mutation("effects before the commit", law="is written before")
def _() -> list[Patch]:
    old = "if not await self._state.create_commit(entry):"
    return [edit(commit.Committer, "_commit", (old, f"await self._effects.apply(entry, {{}})\n        {old}"))]


@mutation("412 on a commit taken for success", law="is not where commit .* belongs")
def _() -> list[Patch]:
    return [edit(commit.Committer, "_commit", ("entry = await self._read_taken(entry.number)", "pass"))]


@mutation("412 on a commit: next number, without reading the entry", law="no document is taken twice")
def _() -> list[Patch]:
    taken = "entry = await self._read_taken(entry.number)"
    return [edit(commit.Committer, "_commit", (taken, "self._head = entry.number; continue"))]


@mutation("commit numbers with a gap", law="follows commit")
def _() -> list[Patch]:
    return [edit(commit.Committer, "_commit", ("self._head + 1", "self._head + 1 + len(self.done)"))]


@mutation("the writer's own answer instead of the kept one", law="the fields table says what the answers say")
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


@mutation("a kept answer is overwritten", law="a kept answer is overwritten")
def _() -> list[Patch]:
    create = ("create_only=True", "create_only='/answers/' not in key")
    return [edit(S3StateStore, "_create", create)]


@mutation("the slot is given free before the answer is kept", law="are in flight or not kept")
def _() -> list[Patch]:
    original = calls.Caller.call

    async def call(self: Any, body: bytes, keep: Any, *rest: Any) -> Any:
        async def later(final: Any) -> Any:
            return final

        result = await original(self, body, later, *rest)
        return await keep(result) if isinstance(result, calls.FinalResult) else result

    return [(calls.Caller, "call", call)]


@mutation("documents that newer commits took are not left out", law="no document is taken twice")
def _() -> list[Patch]:
    return [edit(commit.Committer, "_see", ("self.foreign.add(taken_ids(entry))", "pass"))]


@mutation("parts written with the finisher's settings, not the plan's", law="changes when it is written again")
def _() -> list[Patch]:
    original = commit.Effects.apply

    async def apply(self: Any, entry: Any, answers: Any = None) -> None:
        if answers is None:
            entry = replace(entry, settings=replace(entry.settings, min_confidence=0.99))
        await original(self, entry, answers)

    return [(commit.Effects, "apply", apply)]


@mutation("the plan is made anew at each try", law="plan .* is overwritten")
def _() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        return None

    async def create_plan(self: Any, plan: Any) -> Any:
        key = self._prefix.join("plans", plan.run.run_key, "plan.json.gz")
        await self._store.put(self._prefix.bucket, key, PLAN.to_gzip(plan))
        return plan

    return [(S3StateStore, "read_plan", nothing), (S3StateStore, "create_plan", create_plan)]


@mutation("the try number is part of the run's identity", law="of a cleared run was")
def _() -> list[Patch]:
    tries = count()
    return [(world, "identity", lambda run: RunIdentity(run.dag, "ocr", f"{run.run_id}, try {next(tries)}"))]


@mutation("marked as applied before the parts are written", law="is marked as applied without")
def _() -> list[Patch]:
    mark = "await self._state.mark_applied(entry.number)"
    rows = "rows = [(outcome"
    return [edit(commit.Effects, "apply", (mark, "pass"), (rows, f"{mark}\n    {rows}"))]


@mutation("commits without their applied mark are never finished", law="every commit is applied")
def _() -> list[Patch]:
    async def nothing(*_: Any) -> int:
        return 0

    from airflow_provider_aigen import pipeline

    return [(pipeline, "finish_commits", nothing)]


@mutation("gone counts as taken", law="every source object is taken")
def _() -> list[Patch]:
    changed = edit(commits, "taken_ids", (" if outcome.outcome is not Outcome.GONE", ""))
    return [(module, "taken_ids", changed[2]) for module in (commits, commit, planning)]


@mutation("dead letters before the commit", law="the dead letter of .* is written before a commit")
def _() -> list[Patch]:
    original = commit.Committer.commit

    async def early(self: Any, batch: Any, outcomes: Any, answers: Any) -> None:
        entry = commit.CommitEntry(1, "early", batch.run, batch.number, batch.settings, ())
        for outcome in outcomes.values():
            if outcome.has_dead_letter:
                await self._effects._dead_letters.write(entry, outcome)
        await original(self, batch, outcomes, answers)

    return [(commit.Committer, "commit", early)]


@mutation("claims are ignored", law="without a claim")
def _() -> list[Patch]:
    async def claim(self: Any, wanted: Any) -> Any:
        await original(self, wanted)
        return wanted, True

    original = S3StateStore.claim
    return [(S3StateStore, "claim", claim)]


_RENEWAL = "while self._clock.now() >= claim.renew_at:"


@mutation("a claim that ran out before the call is not renewed", law=r"calls with -[\d.]+ of")
def _() -> list[Patch]:
    return [edit(documents.DocumentLine, "_call", (_RENEWAL, "while False:"))]


@mutation("a claim is renewed only when it has run out", law=r"calls with [\d.]+ of")
def _() -> list[Patch]:
    return [edit(documents.DocumentLine, "_call", (_RENEWAL, "while self._clock.now() >= claim.expires_at:"))]


@mutation("a claim is released whoever holds it by now", law="overwrites the claim of")
def _() -> list[Patch]:
    return [edit(S3StateStore, "release", ("if_match=stored.etag", "if_match=None"))]


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


@mutation("a failure of the service is the document's", law="is a dead letter for an outage")
def _() -> list[Patch]:
    def at_once(self: Any) -> None:
        for opened, one in self._held:
            self._batches.end(opened, undecided.FinishedDocument(one.outcome))
        self._held = []

    return [(undecided.UndecidedDocuments, "decide", at_once)]


@mutation(
    "one failure of the service is enough where others are answered",
    law="did not fail for it again when it was well",
)
def _() -> list[Patch]:
    return [edit(undecided.UndecidedDocuments, "decide", ("elif undecided.suspect:", "elif undecided:"))]
