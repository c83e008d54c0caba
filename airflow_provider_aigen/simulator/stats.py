# SPDX-License-Identifier: Apache-2.0
"""What was called and what it would have cost. No key, no value, no image: an image is its SHA-256.

What a failed call costs, the contract does not know. So: an answer about the image (200, 206, 400, 413, 422) is billed;
a call that the service may have worked on (5xx, a broken connection, a malformed answer) is possibly billed; one that
it turned away (401, 403, 404, 405, 429) is not.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

from airflow_provider_aigen.simulator.faults import ImageState

__all__ = ["Call", "Stats"]

ABOUT_THE_IMAGE = frozenset((200, 206, 400, 413, 422))
JOURNAL_LENGTH = 200_000


@dataclasses.dataclass(slots=True)
class Call:
    """One line of the journal. ``started_at`` is monotonic, ``duration`` in seconds; ``status`` is a fault's name where
    none went out, ``code`` the most specific one of the answer."""

    n: int
    started_at: float
    document_type: str
    sha256: str | None = None
    status: int | str | None = None
    code: str | None = None
    duration: float | None = None
    billed: bool = False
    possibly_billed: bool = False


class Stats:
    """Counters and the journal. `reset` forgets all of it but the calls in flight."""

    def __init__(self) -> None:
        self.images: dict[str, ImageState] = {}
        self.in_flight = 0
        self.reset(0.0)

    def reset(self, now: float) -> None:
        """Starts again, and counts the calls per image from 1 again. ``now``: monotonic seconds."""
        self.since = now
        self.calls = self.billed = self.possibly_billed = self.busiest_second = 0
        self.max_in_flight = self.in_flight
        self.by_status: collections.Counter[str] = collections.Counter()
        self.by_code: collections.Counter[str] = collections.Counter()
        self.journal: collections.deque[Call] = collections.deque(maxlen=JOURNAL_LENGTH)
        self._last_second: collections.deque[float] = collections.deque()
        self.images.clear()

    def start(self, now: float, document_type: str) -> Call:
        """A call begins: its request line and headers are here."""
        self.calls += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self._last_second.append(now)
        while now - self._last_second[0] >= 1:
            self._last_second.popleft()
        self.busiest_second = max(self.busiest_second, len(self._last_second))
        return Call(self.calls, now, document_type)

    def image(self, call: Call, sha256: str) -> ImageState:
        """The call's image, counted once more."""
        call.sha256 = sha256
        state = self.images.setdefault(sha256, ImageState())
        state.calls += 1
        return state

    def judge(self, call: Call, status: int | str, code: str | None, *, answered: bool) -> None:
        """What the call gets is settled, and with it what it costs: its sender may be gone before the answer is.
        ``answered``: with an answer of the contract about the image."""
        call.status, call.code = status, code
        call.billed = answered and status in ABOUT_THE_IMAGE
        if call.billed:
            self.billed += 1
            if call.sha256 is not None:
                self.images.setdefault(call.sha256, ImageState()).billed += 1

    def may_be_billed(self, call: Call) -> None:
        """The service may have worked on it."""
        call.possibly_billed = True
        self.possibly_billed += 1

    def end(self, call: Call, now: float) -> None:
        """The answer went out, or could not."""
        self.in_flight -= 1
        call.duration = now - call.started_at
        self.by_status[str(call.status)] += 1
        if call.code is not None:
            self.by_code[call.code] += 1
        self.journal.append(call)

    def shown(self, now: float, price_per_call: float) -> dict[str, Any]:
        """As JSON. ``cost`` is that of the billed calls, ``cost_at_most`` with the possibly billed ones."""
        return {
            "calls": self.calls,
            "by_status": dict(sorted(self.by_status.items())),
            "by_code": dict(sorted(self.by_code.items())),
            "busiest_second": self.busiest_second,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "images": len(self.images),
            "images_billed_more_than_once": sum(state.billed > 1 for state in self.images.values()),
            "billed_calls": self.billed,
            "possibly_billed_calls": self.possibly_billed,
            "price_per_call": price_per_call,
            "cost": self.billed * price_per_call,
            "cost_at_most": (self.billed + self.possibly_billed) * price_per_call,
            "uptime_s": now - self.since,
        }
