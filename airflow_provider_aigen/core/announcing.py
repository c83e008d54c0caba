# SPDX-License-Identifier: Apache-2.0
"""Which commits an event has announced, and what the next event says (docs/decisions/0012-announced.md).

A commit that no stored event names is announced by the next task that succeeds. So each is announced at least once,
whatever became of the task that made it; after a crash, or by tasks that run at once, perhaps twice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_provider_aigen.core.models import CommitEntry, Outcome

__all__ = [
    "Announced",
    "Announcement",
    "CommitNews",
    "News",
    "Ranges",
    "gaps",
    "of_numbers",
    "parse_ranges",
    "ranges_text",
    "sent_commits",
    "union",
]

Ranges = tuple[tuple[int, int], ...]
"""Numbers of commits: (first, last) each, in order, no two of them side by side."""

_RANGE = re.compile(r"([0-9]{1,15})(?:-([0-9]{1,15}))?", re.ASCII)


def union(*several: Iterable[tuple[int, int]]) -> Ranges:
    """The numbers that are in any of them."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(one for ranges in several for one in ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return tuple(merged)


def of_numbers(numbers: Iterable[int]) -> Ranges:
    """These numbers."""
    return union((number, number) for number in numbers)


def gaps(ranges: Ranges) -> list[int]:
    """The numbers from 1 on that are missing below the last one."""
    ends = [0, *(last for _, last in ranges[:-1])]
    return [number for end, (first, _) in zip(ends, ranges, strict=False) for number in range(end + 1, first)]


def _is_in(number: int, ranges: Ranges) -> bool:
    return any(first <= number <= last for first, last in ranges)


def ranges_text(ranges: Ranges) -> str:
    """``44,58-60``: Airflow 2.11 and 3.0 take only text and numbers as values of an event's extra."""
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def parse_ranges(text: str) -> Ranges:
    """What :func:`ranges_text` wrote. Parts that it did not write are left out: they announce nothing."""
    found = (_RANGE.fullmatch(part) for part in text.split(","))
    pairs = ((int(one[1]), int(one[2] or one[1])) for one in found if one is not None)
    return union(pair for pair in pairs if pair[0] <= pair[1])


def sent_commits(extras: Iterable[Mapping[str, object]], state_id: str) -> Ranges:
    """The commits of this state that events with these extras announced. A commit of another state may have the same
    number."""
    texts = (extra.get("commits") for extra in extras if extra.get("state_id") == state_id)
    return union(*(parse_ranges(text) for text in texts if isinstance(text, str)))


@dataclass(frozen=True, slots=True)
class Announced:
    """What ``announced.json`` says: the commits of each destination that need no event any more. Most of the time that
    is one range from 1 on."""

    state_id: str
    commits: Mapping[str, Ranges] = field(default_factory=dict)

    def plus(self, destination: str, ranges: Ranges) -> Announced:
        """The same, with these commits of one destination."""
        return Announced(self.state_id, {**self.commits, destination: union(self.of(destination), ranges)})

    def of(self, destination: str) -> Ranges:
        return self.commits.get(destination, ())


@dataclass(frozen=True, slots=True)
class CommitNews:
    """What one commit added to the tables."""

    number: int
    run_key: str
    partition: str
    rows: int
    outcomes: Mapping[Outcome, int]

    @classmethod
    def of(cls, entry: CommitEntry) -> CommitNews:
        return cls(
            entry.number,
            entry.run.run_key,
            entry.settings.partition,
            sum(outcome.field_count for outcome in entry.outcomes),
            Counter(outcome.outcome for outcome in entry.outcomes),
        )


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the events of one task say: ``commits`` is never empty, and all of them are in the tables."""

    run_key: str
    state_id: str
    commits: tuple[CommitNews, ...]

    @property
    def rows(self) -> int:
        return sum(commit.rows for commit in self.commits)

    def partitions(self, *, with_rows: bool) -> list[str]:
        """Where the rows lie, sorted: those of ``fields`` where ``with_rows``, else those of ``documents``."""
        return sorted({commit.partition for commit in self.commits if commit.rows or not with_rows})

    def extra(self, *, with_rows: bool) -> dict[str, str | int]:
        """The extra of the event for ``fields`` (``with_rows``) or for ``documents``: text and numbers only."""
        outcomes: Counter[Outcome] = Counter()
        for commit in self.commits:
            outcomes.update(commit.outcomes)
        return {
            "run_key": self.run_key,
            "state_id": self.state_id,
            "commits": ranges_text(of_numbers(commit.number for commit in self.commits)),
            "partitions": ",".join(self.partitions(with_rows=with_rows)),
            "rows": self.rows,
            "documents": outcomes.total(),
            **{outcome.value: outcomes[outcome] for outcome in Outcome if outcome is not Outcome.ERASED},
        }


@dataclass(frozen=True, slots=True)
class News:
    """What a task may announce when it succeeds: the commits of its own run, and all that were not known to be
    announced when it looked. All of them are in the tables."""

    run_key: str
    state_id: str
    commits: tuple[CommitNews, ...] = ()

    @classmethod
    def of(cls, run_key: str, state_id: str, commits: Iterable[CommitNews], known: Ranges) -> News:
        """Of these commits, those that are the run's own or not ``known``. A run's own commits are announced again: a
        cleared task has the same event as before."""
        chosen = [one for one in commits if one.run_key == run_key or not _is_in(one.number, known)]
        return cls(run_key, state_id, tuple(sorted(chosen, key=lambda one: one.number)))

    def announcement(self, extras: Iterable[Mapping[str, object]]) -> Announcement | None:
        """Without what events with these ``extras`` have announced meanwhile; None where nothing is left."""
        sent = sent_commits(extras, self.state_id)
        left = News.of(self.run_key, self.state_id, self.commits, sent).commits
        return Announcement(self.run_key, self.state_id, left) if left else None
