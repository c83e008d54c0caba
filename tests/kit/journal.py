# SPDX-License-Identifier: Apache-2.0
"""What is known of a history besides what it left in the store: its calls, and what befell documents and processes.

A simulation knows nearly all of it, a trial with real processes less: what nobody knows has a value that asks nothing.
"""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from airflow_provider_aigen.core.models import Outcome

__all__ = ["Account", "Call", "Journal", "Reason", "Spent", "Stopped", "Truth"]


@dataclass(slots=True, eq=False)
class Call:
    """One call as the service saw it. ``paid``: it is on the bill, or counts as if it were. ``repeatable``: it may be
    on the bill, so that one more call for the same bytes comes out of the budget. As its sender saw it: ``failed`` by
    the service's fault, or answered, which shows that the service is ``well``."""

    sha256: str
    started: float
    ended: float | None = None
    process: Hashable = None
    body: bytes = b""
    paid: bool = False
    perhaps_paid: bool = False
    in_outage: bool = False
    failed: bool = False
    well: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    """What has to become of a document with this content; ``values`` are its rows' by field name, None where unknown.
    ``documents`` is how many documents ever had this content."""

    content: bytes
    outcomes: frozenset[Outcome]
    values: Mapping[str, str | None] | None = None
    documents: int = 1

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why calls are paid again; ``most`` of them may have this reason."""

    kind: str
    of: Hashable = None
    most: float = math.inf


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process was told to stop ``at`` that time, and had ended at ``ended``. ``late`` calls may begin meanwhile, as
    they were on their way."""

    at: float
    ended: float
    process: Hashable = None
    late: int = 0


@dataclass
class Account:
    """``again`` counts the calls that were paid again by their reason; ``unexplained`` are those without."""

    again: Counter[Reason] = field(default_factory=Counter)
    unexplained: list[tuple[Call, Call]] = field(default_factory=list)

    def count(self, *kinds: str) -> int:
        return sum(times for reason, times in self.again.items() if reason.kind in kinds)


@dataclass(frozen=True, slots=True)
class Spent:
    """What one process called. ``calls`` has the time at which each call began, by the process's own clock;
    ``paid`` is how many of them may be on the bill, at least and at most. ``ended``: it ended in order, so nothing may
    be missing. ``killed_at`` is when it was killed by the same clock, None where what it noted may be older."""

    calls: Sequence[datetime]
    paid: tuple[int, int]
    ended: bool
    killed_at: datetime | None = None


class Journal:
    """``truths`` are by ETag. ``touched`` are the keys of the source objects that somebody deleted or replaced,
    ``came_back`` those that were put back after that, ``denied`` those that S3 denied to be copied for a time. ``aged``
    has the contents that failed in many tries over a long time. ``service_may_fail``: some calls fail. ``rounds`` is
    how many failed rounds that count make a letter final. What a process spent
    is noted after ``noted_every`` at most."""

    calls: Sequence[Call]
    truths: Mapping[str, Truth]
    touched: frozenset[str] = frozenset()
    came_back: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    aged: Collection[str] = frozenset()
    stops: Sequence[Stopped] = ()
    service_may_fail: bool = True
    rounds: int = 3
    noted_every: timedelta = timedelta(seconds=61)

    def repeats(self, process: Hashable) -> float:
        """How many calls that may have been billed the process may repeat, where that is known."""
        return math.inf

    def answered(self, writer: Hashable) -> int | None:
        """How many calls of this writer the service answered, or None where nobody knows the writers."""
        return None

    def spent(self, writer: Hashable) -> Spent | None:
        """What this writer called, where somebody knows."""
        return None

    @abstractmethod
    def reasons(self, earlier: Sequence[Call], call: Call) -> Iterator[Sequence[Reason]]:
        """Why ``call`` may be paid for, though those ``earlier`` ones for the same bytes were: each item is one
        explanation, which needs all its reasons."""

    @cached_property
    def account(self) -> Account:
        """Each call that is paid again takes the first explanation that is not used up."""
        account, paid = Account(), defaultdict[str, list[Call]](list)
        for call in sorted((call for call in self.calls if call.paid), key=lambda call: call.started):
            earlier = paid[call.sha256]
            if earlier:
                self._explain(account, earlier, call)
            earlier.append(call)
        return account

    def _explain(self, account: Account, earlier: Sequence[Call], call: Call) -> None:
        for explanation in self.reasons(earlier, call):
            if all(account.again[reason] < reason.most for reason in explanation):
                account.again.update(explanation)
                return
        account.unexplained.append((earlier[-1], call))
