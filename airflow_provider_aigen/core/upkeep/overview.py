# SPDX-License-Identifier: Apache-2.0
"""Runs and dead letters → how a destination stands, and what its runs cost (design §3, Command line)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from airflow_provider_aigen.core.folding import FoldedLetter
from airflow_provider_aigen.core.letters import Letter, PassingLetters, due_at
from airflow_provider_aigen.core.models import Outcome
from airflow_provider_aigen.core.runs import RunRow, run_facts
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.core.spend_records import SpendRecord, run_spend
from airflow_provider_aigen.core.upkeep.redrive import FoundLetter

__all__ = ["CostRow", "LetterCounts", "LetterFacts", "Period", "RunFacts", "Waiting", "costs", "newest_of_each"]

Period = Literal["day", "month", "run"]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of one run: the columns of the same names of the table ``runs``. A count is 0 where nothing is
    known of it. ``at_work``: a process has worked on it within the last five minutes, and has not ended its try."""

    run_key: str
    dag_id: str
    task_id: str
    run_id: str
    map_index: int | None
    started_at: datetime
    ended_at: datetime | None
    planned: int = 0
    documents: int = 0
    extracted: int = 0
    partial: int = 0
    dead_letter: int = 0
    gone: int = 0
    passing: int = 0
    tries: int = 0
    calls: int = 0
    paid_calls: int = 0
    billed_retries: int = 0
    answers_reused: int = 0
    currency: str | None = None
    paid: float | None = None
    saved: float | None = None
    at_work: bool = False

    @classmethod
    def of_columns(cls, columns: Mapping[str, Any]) -> RunFacts:
        """From a row of ``runs``, which may lack columns that are newer than it."""
        known = {one.name: columns[one.name] for one in fields(cls) if columns.get(one.name) is not None}
        return cls(**{"map_index": None, "ended_at": None, **known})

    @classmethod
    def of_row(cls, row: RunRow, *, at_work: bool) -> RunFacts:
        """From a row that is not written."""
        return replace(cls.of_columns(run_facts(row)), at_work=at_work)

    @classmethod
    def of_spend(cls, records: Sequence[SpendRecord], *, at_work: bool) -> RunFacts:
        """From what its tries spent, and nothing else. ``records`` is not empty."""
        run, spend = records[0].run, run_spend(records)
        return cls(
            run_key=run.run_key,
            dag_id=run.dag_id,
            task_id=run.task_id,
            run_id=run.run_id,
            map_index=run.map_index if run.map_index >= 0 else None,
            started_at=min(one.began_at for one in records),
            ended_at=max(one.ended_at for one in records),
            tries=spend.tries,
            calls=spend.calls,
            paid_calls=spend.paid_calls,
            billed_retries=spend.billed_retries,
            answers_reused=spend.answers_reused,
            currency=spend.currency,
            paid=spend.paid,
            saved=spend.saved,
            at_work=at_work,
        )


def newest_of_each(written: Iterable[RunFacts], unwritten: Iterable[RunFacts]) -> list[RunFacts]:
    """All runs, the newest first. What is not written yet is newer than the written row of the same run."""
    by_key = {run.run_key: run for run in (*written, *unwritten)}
    return sorted(by_key.values(), key=lambda run: (run.started_at, run.run_key), reverse=True)


@dataclass(frozen=True, slots=True)
class CostRow:
    """What the runs of one period cost. ``period`` is a UTC day, a month or the id of a run. The money is None where a
    run that paid had no price."""

    period: str
    runs: int
    calls: int
    paid_calls: int
    billed_retries: int
    answers_reused: int
    currency: str | None
    paid: float | None
    saved: float | None


def costs(runs: Iterable[RunFacts], by: Period, price: Price | None = None) -> tuple[list[CostRow], list[CostRow]]:
    """What the runs cost per period, the oldest first, and in total, each with a row per currency. A run belongs to the
    day on which it was planned. ``price`` stands in for the one that a run did not have."""
    each: defaultdict[tuple[str, str, str | None], list[RunFacts]] = defaultdict(list)
    total: defaultdict[str | None, list[RunFacts]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.started_at, run.run_key)):
        currency = run.currency
        if run.paid is None and price is not None:
            currency = price.currency
        name, order = _period(run, by)
        each[order, name, currency].append(run)
        total[currency].append(run)
    rows = [_cost(name, currency, some, price) for (_, name, currency), some in each.items()]
    return rows, [_cost("total", currency, some, price) for currency, some in total.items()]


def _period(run: RunFacts, by: Period) -> tuple[str, str]:
    """Its name, and what tells it from others."""
    day = run.started_at.astimezone(UTC).date().isoformat()
    if by == "run":
        name = run.run_id if run.map_index is None or run.map_index < 0 else f"{run.run_id}[{run.map_index}]"
        return f"{run.dag_id}.{run.task_id} {name}", run.run_key
    return (day, day) if by == "day" else (day[:7], day[:7])


def _cost(period: str, currency: str | None, runs: Sequence[RunFacts], price: Price | None) -> CostRow:
    return CostRow(
        period,
        len(runs),
        sum(run.calls for run in runs),
        sum(run.paid_calls for run in runs),
        sum(run.billed_retries for run in runs),
        sum(run.answers_reused for run in runs),
        currency,
        _money([(run.paid, run.paid_calls) for run in runs], price),
        _money([(run.saved, run.answers_reused) for run in runs], price),
    )


def _money(amounts: Iterable[tuple[float | None, int]], price: Price | None) -> float | None:
    total = Decimal(0)
    for amount, count in amounts:
        if amount is not None:
            total += Decimal(repr(amount))
        elif price is not None:
            total += price.of(count)
        elif count:
            return None
    return float(total)


@dataclass(frozen=True, slots=True)
class LetterFacts:
    """One dead letter. ``due_at`` is from when on a run tries it again; None where it is final. ``rounds`` are the
    failed rounds that count."""

    document_id: str
    error_code: str
    outcome: str
    passing: bool
    since: datetime | None
    rounds: int
    due_at: datetime | None
    commit: int

    @classmethod
    def of(cls, letter: FoundLetter, after_s: float) -> LetterFacts:
        outcome = letter.outcome
        due = None
        if outcome.passing and outcome.last_called_at is not None:
            due = due_at(outcome.last_called_at, outcome.all_rounds, after_s)
        return cls(
            outcome.document.document_id,
            letter.error_code,
            outcome.outcome.value,
            outcome.passing,
            letter.since,
            outcome.rounds,
            due,
            letter.entry.number,
        )


@dataclass(frozen=True, slots=True)
class LetterCounts:
    """The dead letters with one code. ``next_due_at`` is when the next one of those that may pass is due."""

    error_code: str
    letters: int
    passing: int
    final: int
    partial: int
    oldest: datetime | None
    due_now: int
    next_due_at: datetime | None

    @classmethod
    def by_code(cls, letters: Iterable[LetterFacts], now: datetime) -> list[LetterCounts]:
        """Of each code, the one with most letters first."""
        by_code: defaultdict[str, list[LetterFacts]] = defaultdict(list)
        for letter in letters:
            by_code[letter.error_code].append(letter)
        rows = [cls._of(code, some, now) for code, some in by_code.items()]
        return sorted(rows, key=lambda row: (-row.letters, row.error_code))

    @classmethod
    def _of(cls, code: str, letters: Sequence[LetterFacts], now: datetime) -> LetterCounts:
        passing = sum(letter.passing for letter in letters)
        due = [letter.due_at for letter in letters if letter.due_at is not None]
        return cls(
            code,
            len(letters),
            passing,
            len(letters) - passing,
            sum(letter.outcome == Outcome.PARTIAL.value for letter in letters),
            min((letter.since for letter in letters if letter.since is not None), default=None),
            sum(at <= now for at in due),
            min(due, default=None),
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """The dead letters that later runs try again by themselves: how many, how many of them are due now, and when the
    next one is."""

    letters: int
    due_now: int
    next_due_at: datetime | None

    @classmethod
    def of(cls, passing: PassingLetters, after_s: float, now: datetime) -> Waiting:
        letters: list[Letter | FoldedLetter] = [*passing.letters.values(), *passing.folded.values()]
        due = [due_at(letter.last_called_at, letter.retake.all_rounds, after_s) for letter in letters]
        return cls(len(due), sum(at <= now for at in due), min(due, default=None))
