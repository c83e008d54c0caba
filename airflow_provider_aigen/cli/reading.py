# SPDX-License-Identifier: Apache-2.0
"""The commands that only look: ``status``, ``letters``, ``cost``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, TypeVar

from airflow_provider_aigen.cli.output import as_lines, showing
from airflow_provider_aigen.cli.process import WrongArgument, command, in_loop, seconds, storage
from airflow_provider_aigen.core.defaults import DEFAULT_DOCUMENT_TYPE
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.core.upkeep.overview import LetterCounts, LetterFacts, RunFacts, costs
from airflow_provider_aigen.core.upkeep.redrive import RedriveRequest
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.pipeline.upkeep.overview import Standing, all_runs, standing
from airflow_provider_aigen.pipeline.upkeep.redrive import dead_letters
from airflow_provider_aigen.ports import Ports
from airflow_provider_aigen.runtime.assembly import open_ports
from airflow_provider_aigen.runtime.settings import port_settings

__all__ = ["cost", "letters", "status"]

T = TypeVar("T")


@command
def status(args: Namespace) -> Callable[[], None]:
    """Show how a destination stands: ``airflow aigen status``."""
    after_s = _positive_seconds(args)
    last_runs = _count(args.runs)
    given = storage(args)
    found = _read(
        given,
        lambda ports: standing(_destination(given), ports, last_runs=last_runs, retry_passing_after_s=after_s),
    )
    facts, runs = _standing(args.destination, found), [_run(run) for run in found.runs]
    return showing(
        args.output, {**facts, "runs": runs}, ("", as_lines(facts)), ("Last runs", [_short(run) for run in runs])
    )


@command
def letters(args: Namespace) -> Callable[[], None]:
    """Show dead letters: ``airflow aigen letters``."""
    after_s = _positive_seconds(args)
    older_than = seconds("older_than", args.older_than)
    given = storage(args, dead_letter=args.dead_letter, error_codes=args.error_code, older_than=older_than)
    request = RedriveRequest(
        RunIdentity("", "", ""),
        _destination(given),
        S3Prefix.parse("dead_letter", given["dead_letter"]).uri,
        DEFAULT_DOCUMENT_TYPE,
        given["error_codes"],
        given["older_than"],
    )

    async def read(ports: Ports) -> tuple[list[LetterFacts], datetime]:
        found = await dead_letters(request, ports)
        return [LetterFacts.of(letter, after_s) for letter in found], ports.clock.now()

    found, now = _read(given, read)
    of_code = LetterCounts.by_code(found, now)
    rows = [asdict(one) for one in (found if args.documents else of_code)]
    return showing(args.output, rows, ("", rows))


@command
def cost(args: Namespace) -> Callable[[], None]:
    """Show what runs spent: ``airflow aigen cost``."""
    given = storage(args)
    since, price = _day(args.since), _price(args)
    runs = _read(given, lambda ports: all_runs(_destination(given), ports, since))
    rows, total = ([asdict(one) for one in some] for some in costs(runs, args.by, price))
    return showing(args.output, {"by": args.by, "rows": rows, "total": total}, ("", [*rows, *total]))


def _read(given: dict[str, Any], main: Callable[[Ports], Coroutine[Any, Any, T]]) -> T:
    settings = port_settings(given)

    async def run(stop: Stop) -> T:
        async with open_ports(settings) as ports:
            return await stop.or_result(main(ports))

    return in_loop(run)


def _destination(given: dict[str, Any]) -> str:
    return S3Prefix.parse("destination", given["destination"]).uri


def _standing(destination: str, found: Standing) -> dict[str, Any]:
    letters = sum(found.letters.values())
    return {
        "destination": destination,
        "document_type": None if found.newest is None else found.newest.settings.document_type,
        "dead_letter": None if found.newest is None else found.newest.settings.dead_letter,
        "state_id": found.state_id,
        "commits": 0 if found.newest is None else found.newest.number,
        "last_commit_at": found.committed_at,
        "commits_not_applied": found.unapplied,
        "processes_at_work": found.processes,
        "dead_letters": letters,
        "dead_letters_by_code": dict(sorted(found.letters.items())),
        "passing": found.waiting.letters,
        "final": max(0, letters - found.waiting.letters),
        "due_now": found.waiting.due_now,
        "next_due_at": found.waiting.next_due_at,
    }


def _run(run: RunFacts) -> dict[str, Any]:
    return {**asdict(run), "state": "at work" if run.at_work else "ended"}


def _short(run: dict[str, Any]) -> dict[str, Any]:
    """What a table of runs has room for."""
    names = ("dag_id", "run_id", "state", "started_at", "planned", "documents", "extracted", "partial", "dead_letter")
    return {**{name: run[name] for name in (*names, "gone", "calls")}, "paid": _amount(run["paid"], run["currency"])}


def _amount(paid: float | None, currency: str | None) -> str | None:
    return None if paid is None else Price(0, currency or "").amount_text(paid)


def _positive_seconds(args: Namespace) -> float:
    after_s = seconds("retry_passing_after", args.retry_passing_after)
    if after_s is None or not after_s > 0:
        raise WrongArgument("--retry-passing-after: must be more than 0")
    return after_s


def _count(text: str) -> int:
    if not text.isdecimal():
        raise WrongArgument("--runs: must be a whole number from 0")
    return int(text)


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise WrongArgument("--since: must be a day such as 2026-11-01") from None


def _price(args: Namespace) -> Price | None:
    if args.price_per_call is None:
        return None
    try:
        return Price(float(args.price_per_call), args.currency)
    except (ValueError, ConfigurationError):
        raise WrongArgument("--price-per-call: must be a number from 0, and --currency a short word") from None
