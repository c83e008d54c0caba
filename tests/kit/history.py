# SPDX-License-Identifier: Apache-2.0
"""A sound history to break laws with: what it left in the store, and a journal of exactly what happened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from airflow_provider_aigen.adapters.state.codec import COMMIT
from airflow_provider_aigen.core.models import ApiResponse, CommitEntry, Outcome
from tests.kit.clock import FakeClock
from tests.kit.journal import Call, Journal, Reason, Spent, Truth
from tests.kit.laws import violations
from tests.kit.ocr import answer, png, refusal
from tests.kit.snapshot import Snapshot, snapshot_of
from tests.kit.world import SETTINGS, World

__all__ = ["DEAD", "FIRST", "HEALED", "LAST", "ROUTED", "STATE", "TEXT", "History"]

STATE = "s3://lake/books/_aigen"
DEAD = "s3://lake/dead"

# The commits, by what they hold.
FIRST = f"{STATE}/commits/00000001.json.gz"  # rows, a refusal, a page of two, rows
TEXT = f"{STATE}/commits/00000002.json.gz"  # a document that was refused before any call
ROUTED = f"{STATE}/commits/00000003.json.gz"  # two passing dead letters
HEALED = f"{STATE}/commits/00000005.json.gz"  # by another run: rows for one of them
LAST = f"{STATE}/commits/00000006.json.gz"  # the other one failed again


class Known(Journal):
    """A journal of exactly what happened; a test changes it."""

    def __init__(self, calls: list[Call], truths: dict[str, Truth]) -> None:
        self.calls = calls
        self.truths = truths
        self.allowed: list[Reason] = []
        self.known_spent: dict[Hashable, Spent] = {}
        self.budget = 20.0

    def repeats(self, process: Hashable) -> float:
        return self.budget

    def answered(self, writer: Hashable) -> int | None:
        return sum(call.well for call in self.calls)

    def spent(self, writer: Hashable) -> Spent | None:
        return self.known_spent.get(writer)

    def reasons(self, earlier: Sequence[Call], call: Call) -> Iterator[Sequence[Reason]]:
        yield from ([reason] for reason in self.allowed)


class History:
    """Two runs and six commits. A test damages what they left."""

    def __init__(self) -> None:
        world = World()
        images = world.scan(*(f"{number:04d}.png" for number in range(4)), "4-heals.png", "5-poison.png")
        world.store.write("s3://scans/in/9-text.png", b"text")
        world.ocr.answers[images[1]] = [refusal(400, "1001")]
        world.ocr.answers[images[2]] = [answer({"color": "red"}, {})]
        failed = ApiResponse(500, b"", 0.5)
        world.ocr.answers[images[4]] = [failed, failed, failed, answer({"color": "healed"})]
        world.ocr.answers[images[5]] = [failed]
        settings = replace(SETTINGS, record_schema=(("color", "text"),))
        world.go(world.run(settings=settings))
        world.go(world.clock.sleep(3600))
        world.scan("6-new.png")
        world.go(world.run("two", settings=settings))
        self.store = snapshot_of(world.store.buckets, "s3://scans/in/", "s3://lake/books/", f"{DEAD}/")
        self.objects = dict(self.store.objects)
        calls = [
            self._call(
                hashlib.sha256(call.image).hexdigest(),
                call.began_at,
                well=call.image != images[5] and (call.image != images[4] or call.began_at > 3600),
            )
            for call in world.ocr.calls
        ]
        self.journal = Known(calls, {one.etag: self._truth(body) for one, body in self.store.sources.items()})
        clock = FakeClock()
        began = [clock.now() + timedelta(seconds=call.started - clock.monotonic()) for call in calls]
        for number, own in enumerate(([at for at in began if at.hour < 9], [at for at in began if at.hour >= 9])):
            self.journal.known_spent[f"writer-{number}"] = Spent(own, (len(own), len(own)), ended=True)

    def _call(self, sha256: str, began_at: float, *, well: bool) -> Call:
        body = self.store.answers[sha256].kept.body if well else b""
        return Call(sha256, began_at, began_at + 1, body=body, paid=well, perhaps_paid=True, well=well, failed=not well)

    def _truth(self, content: bytes) -> Truth:
        values: dict[str, str | None] = {"color": hashlib.md5(content).hexdigest()}
        if content == b"text" or content in (png("0001.png"), png("5-poison.png")):
            return Truth(content, frozenset({Outcome.DEAD_LETTER}), {})
        if content == png("0002.png"):
            return Truth(content, frozenset({Outcome.PARTIAL, Outcome.EXTRACTED}), {"color": "red"})
        if content == png("4-heals.png"):
            values = {"color": "healed"}
        return Truth(content, frozenset({Outcome.EXTRACTED}), values)

    def violations(self) -> list[str]:
        store = self.store
        damaged = Snapshot(store.sources, self.objects, store.destination, store.dead_letter)
        return list(violations(damaged, self.journal))

    def uri(self, *parts: str) -> str:
        """The first object whose URI has all of these in it."""
        return min(uri for uri in self.objects if all(part in uri for part in parts))

    def entry(self, uri: str = TEXT) -> CommitEntry:
        return COMMIT.from_gzip(self.objects[uri])

    def rewrite(self, uri: str, **changes: Any) -> None:
        """Other facts in a commit."""
        self.objects[uri] = COMMIT.to_gzip(replace(self.entry(uri), **changes))

    def outcomes(self, uri: str = TEXT, **changes: Any) -> None:
        """Other facts in all outcomes of a commit."""
        self.rewrite(uri, outcomes=tuple(replace(one, **changes) for one in self.entry(uri).outcomes))

    def record(self, uri: str, **changes: Any) -> None:
        """Other facts in a dead letter's record."""
        self.objects[uri] = json.dumps(json.loads(self.objects[uri]) | changes).encode()
