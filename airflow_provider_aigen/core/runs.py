# SPDX-License-Identifier: Apache-2.0
"""A run's commits and spend records → its row of the table ``runs`` (design §4). It is a pure function of both, so it
does not matter which process writes it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import accumulate
from typing import Any

from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, Plan
from airflow_provider_aigen.core.path_segments import path_segment
from airflow_provider_aigen.core.quality import EntryStatistics, FieldSums
from airflow_provider_aigen.core.report import MOST_CODES, most_frequent
from airflow_provider_aigen.core.spend import RunSpend
from airflow_provider_aigen.core.spend_records import SpendRecord, run_spend

__all__ = ["Latencies", "RunRow", "RunSummary", "run_day", "run_facts"]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds of the last calls of a run's documents, without reused answers; None where there was no call."""

    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None

    @classmethod
    def of(cls, calls: Mapping[float, int]) -> Latencies:
        """By nearest rank, so each is one that was measured. ``calls`` has the number of calls that took so long."""
        ordered = sorted(calls)
        if not ordered:
            return cls()
        up_to = list(accumulate(calls[seconds] for seconds in ordered))

        def rank(percent: int) -> float:
            return ordered[bisect_left(up_to, -(-up_to[-1] * percent // 100))]

        return cls(rank(50), rank(90), rank(99), ordered[-1])


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. ``documents`` counts those that its own commits took, of those that it planned: others may have been
    taken by a run beside it, or have no outcome yet. ``started_at`` is when it was planned, ``ended_at`` when it last
    committed, or when the last try that called ended. ``error_codes`` is as in a report. ``calls_per_second`` is over
    the time in which it called. ``statistics`` is None where a commit of an older version has none."""

    plan: Plan
    day: date
    started_at: datetime
    ended_at: datetime
    outcomes: Mapping[Outcome, int]
    passing: int
    healed: int
    final: int
    rows: int
    commits: int
    error_codes: Mapping[str, int]
    spend: RunSpend
    calls_per_second: float | None
    latencies: Latencies
    statistics: EntryStatistics | None

    @property
    def documents(self) -> int:
        return sum(self.outcomes.values())


def run_day(plan: Plan, records: Sequence[SpendRecord]) -> date:
    """The day in whose partition the run's row lies: it never changes. ``records`` is not empty."""
    return (plan.planned_at or min(one.began_at for one in records)).date()


@dataclass(slots=True)
class RunSummary:
    """Of one run's commits: see each of them, in order."""

    plan: Plan
    commits: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    passing: int = 0
    healed: int = 0
    final: int = 0
    rows: int = 0
    _committed_at: datetime | None = None
    _codes: Counter[str] = field(default_factory=Counter)
    # Seconds are rounded to milliseconds, so many calls take equally long.
    _latencies: Counter[float] = field(default_factory=Counter)
    _fields: FieldSums | None = field(default_factory=FieldSums)

    def see(self, entry: CommitEntry) -> None:
        """The next commit of the run."""
        self.commits += 1
        if entry.committed_at is not None:
            self._committed_at = max(entry.committed_at, self._committed_at or entry.committed_at)
        for outcome in entry.outcomes:
            self._see(outcome)
        if entry.statistics is None:
            self._fields = None
        elif self._fields is not None:
            self._fields.add(entry.statistics)

    def _see(self, outcome: DocumentOutcome) -> None:
        self.outcomes[outcome.outcome] += 1
        self.rows += outcome.field_count
        self.passing += outcome.passing
        retaken = outcome.retakes is not None
        self.healed += retaken and outcome.adds_rows
        self.final += retaken and outcome.outcome is Outcome.DEAD_LETTER and not outcome.passing
        if outcome.error_code is not None:
            self._codes[path_segment(outcome.error_code)] += 1
        if outcome.latency_s is not None and not outcome.answer_reused:
            self._latencies[outcome.latency_s] += 1

    def row(self, records: Sequence[SpendRecord]) -> RunRow:
        """The run's row, with what it spent. ``records`` is not empty."""
        started_at = self.plan.planned_at or min(one.began_at for one in records)
        # A clear that finds nothing to do is no part of the run's time.
        busy = {one.writer_id for one in records if not one.is_idle}
        ends = [one.ended_at for one in records if one.writer_id in busy]
        spend, seconds = run_spend(records), _covered_s(one for one in records if one.calls)
        return RunRow(
            plan=self.plan,
            day=run_day(self.plan, records),
            started_at=started_at,
            ended_at=max([started_at, *ends, *([self._committed_at] if self._committed_at else [])]),
            outcomes={outcome: self.outcomes[outcome] for outcome in Outcome if outcome is not Outcome.ERASED},
            passing=self.passing,
            healed=self.healed,
            final=self.final,
            rows=self.rows,
            commits=self.commits,
            error_codes=dict(sorted(most_frequent(self._codes, MOST_CODES).items())),
            spend=spend,
            calls_per_second=round(spend.calls / seconds, 3) if seconds else None,
            latencies=Latencies.of(self._latencies),
            statistics=None if self._fields is None else self._fields.statistics(),
        )


def _covered_s(records: Iterable[SpendRecord]) -> float:
    """How many seconds the records cover together; several tasks may work on one run at the same time."""
    covered_s, until = 0.0, None
    for began_at, ended_at in sorted((one.began_at, one.ended_at) for one in records):
        begins = began_at if until is None else max(began_at, until)
        covered_s += max(0.0, (ended_at - begins).total_seconds())
        until = ended_at if until is None else max(until, ended_at)
    return covered_s


def run_facts(row: RunRow) -> dict[str, Any]:
    """The columns of ``runs`` by name, in order."""
    run, spend, latencies = row.plan.run, row.spend, row.latencies
    return {
        "run_key": run.run_key,
        "dag_id": run.dag_id,
        "task_id": run.task_id,
        "run_id": run.run_id,
        "map_index": run.map_index if run.map_index >= 0 else None,
        "document_type": row.plan.settings.document_type,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "tries": spend.tries,
        "planned": row.plan.documents,
        "documents": row.documents,
        "extracted": row.outcomes[Outcome.EXTRACTED],
        "partial": row.outcomes[Outcome.PARTIAL],
        "dead_letter": row.outcomes[Outcome.DEAD_LETTER],
        "gone": row.outcomes[Outcome.GONE],
        "passing": row.passing,
        "healed": row.healed,
        "final": row.final,
        "rows": row.rows,
        "commits": row.commits,
        "error_codes": [{"error_code": code, "documents": count} for code, count in row.error_codes.items()],
        "calls": spend.calls,
        "paid_calls": spend.paid_calls,
        "billed_retries": spend.billed_retries,
        "answers_reused": spend.answers_reused,
        "waited_s": spend.waited_s,
        "currency": spend.currency,
        "paid": spend.paid,
        "saved": spend.saved,
        "paid_twice_at_most": spend.paid_twice_at_most,
        "calls_per_second": row.calls_per_second,
        "latency_p50_s": latencies.p50_s,
        "latency_p90_s": latencies.p90_s,
        "latency_p99_s": latencies.p99_s,
        "latency_max_s": latencies.max_s,
        "pages": row.statistics.pages if row.statistics is not None else None,
        "fields": _fields(row.statistics) if row.statistics is not None else None,
    }


def _fields(statistics: EntryStatistics) -> list[dict[str, Any]]:
    return [
        {
            "field_name": field.field_name,
            "filled": field.filled,
            "fill_rate": round(field.filled / statistics.pages, 6),
            "confidences": field.confidences,
            "mean_confidence": round(field.confidence_sum / field.confidences, 6) if field.confidences else None,
        }
        for field in statistics.fields
    ]
