# SPDX-License-Identifier: Apache-2.0
"""A seed → everything that a trial draws: documents, settings, faults and when they strike. The machine decides how the
processes interleave, so a seed draws the same trial again, not the same order of events."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.scans import scan

__all__ = ["KINDS", "Change", "NetworkFaults", "Strike", "Trial", "draw"]

# Where one died, its successor waits for so long. Where both run, or the store is slow, nobody is to seem dead.
_WRITER_LIVES_S = {"overlap": 30.0, "s3-network": 15.0, "ocr-network": 15.0, "storm": 9.0}
KINDS = ("kill", "term", "zombie", "overlap", "s3-network", "ocr-network", "storm")


@dataclass(frozen=True)
class Strike:
    """Strikes a process ``delay_s`` after its request number ``request`` to S3 or to the endpoint (``where``)."""

    where: str
    request: int
    delay_s: float


@dataclass(frozen=True)
class NetworkFaults:
    """For :class:`tests.crash.proxy.Faults`: in each process anew."""

    share: float = 0.0
    most: int = 0


@dataclass(frozen=True)
class Change:
    """Somebody deletes (``body`` None) or replaces an object at the first process's call number ``at_call``."""

    at_call: int
    key: str
    body: bytes | None = field(repr=False)


@dataclass(frozen=True)
class Trial:
    """``strikes``: one a try; the tries after them are left in peace. ``second_after_s``: when the second of two
    overlapping runs begins. ``wake_after_next_run``: the zombie sleeps through the next run, too. ``rewrite``: the
    tables are deleted before the clear, which has to write them again."""

    seed: int
    kind: str
    documents: dict[str, bytes] = field(repr=False)
    changes: tuple[Change, ...]
    max_in_flight: int
    batch_size: int
    latency_ms: float
    error_share: float
    requests_per_second: float
    writer_lives_s: float
    strikes: tuple[Strike, ...]
    s3: NetworkFaults
    ocr: NetworkFaults
    second_after_s: float
    wake_after_next_run: bool
    rewrite: bool
    repetition: int = 0

    @property
    def prefix(self) -> str:
        return f"t{self.seed:06d}-{self.repetition}"


def draw(seed: int, kind: str | None = None, repetition: int = 0) -> Trial:
    """``kind`` None: the seed's own."""
    chance = random.Random(f"crash {seed}")
    kind = kind or KINDS[seed % len(KINDS)]
    count = chance.randint(30, 60)
    documents = _documents(chance, seed, count)
    # Every second trial of overlapping runs is so slow that claims stand for long before their call.
    slow = kind == "overlap" and seed // len(KINDS) % 2 == 1
    return Trial(
        seed=seed,
        kind=kind,
        documents=documents,
        changes=_changes(chance, seed, documents) if chance.random() < 0.4 else (),
        max_in_flight=chance.choice((4, 8, 16)),
        batch_size=chance.choice((5, 10, 20, 100)),
        latency_ms=chance.uniform(50, 300),
        error_share=chance.choice((0.0, 0.0, 0.02)),
        requests_per_second=2.0 if slow else 300.0,
        writer_lives_s=_WRITER_LIVES_S.get(kind, 6.0),
        strikes=_strikes(chance, kind, count),
        s3=NetworkFaults(0.08, chance.randint(2, 6)) if kind in ("s3-network", "storm") else NetworkFaults(),
        ocr=NetworkFaults(0.15, chance.randint(1, 5)) if kind in ("ocr-network", "storm") else NetworkFaults(),
        second_after_s=chance.choice((0.0, 0.0, chance.uniform(0, 1.5))),
        wake_after_next_run=chance.random() < 0.5,
        rewrite=chance.random() < 0.5,
        repetition=repetition,
    )


def _documents(chance: random.Random, seed: int, count: int) -> dict[str, bytes]:
    """Mostly books; some are there twice, some are refused by the endpoint or before it, some fail in part."""
    documents: dict[str, bytes] = {}
    for number in range(count):
        luck = chance.random()
        name = f"{seed}-{number}"
        if luck < 0.04 and documents:
            body = chance.choice(list(documents.values()))
        elif luck < 0.08:
            body = scan(width=600 + number)  # no registration book
        elif luck < 0.11:
            body = scan({"model": name}, status=206, pages=2, failed_pages=(2,), code="internal_server_error")
        elif luck < 0.13:
            body = f"no image {name}".encode()
        else:
            body = scan({"registration_number_car": f"กข {name}", "province": "เชียงใหม่", "model": name})
        documents[f"{chance.randrange(10**6):06d}-{number}.jpg"] = body
    return documents


def _changes(chance: random.Random, seed: int, documents: dict[str, bytes]) -> tuple[Change, ...]:
    books = [key for key, body in documents.items() if b"registration_number_car" in body]
    deleted, replaced = chance.sample(books, 2)
    new = scan({"registration_number_car": f"new {seed}", "model": "new"})
    most = len(documents) // 2
    return (
        Change(chance.randint(1, most), deleted, None),
        Change(chance.randint(1, most), replaced, new),
    )


def _strikes(chance: random.Random, kind: str, documents: int) -> tuple[Strike, ...]:
    if kind not in ("kill", "term", "zombie", "storm"):
        return ()
    tries = {"kill": chance.randint(1, 4), "storm": chance.randint(1, 2), "term": chance.randint(1, 2)}.get(kind, 1)
    return tuple(_strike(chance, documents, in_calls=kind == "term") for _ in range(tries))


def _strike(chance: random.Random, documents: int, *, in_calls: bool) -> Strike:
    if in_calls or chance.random() < 0.5:
        return Strike("ocr", chance.randint(1, int(documents * 0.8)), chance.uniform(0, 0.3))
    # Some four requests a document, and a few for plan, commits and tables.
    return Strike("s3", chance.randint(1, 5 * documents), chance.choice((0.0, chance.uniform(0, 0.2))))
