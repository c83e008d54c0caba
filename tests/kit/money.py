# SPDX-License-Identifier: Apache-2.0
"""What must hold of the money: what was called is noted, and the table ``runs`` says what is noted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pydantic_core import to_json

from airflow_provider_aigen.adapters.tables.runs import run_place
from airflow_provider_aigen.core.runs import RunRow, RunSummary, run_facts
from tests.kit.journal import Journal
from tests.kit.snapshot import Snapshot

__all__ = ["a_runs_row_says_what_its_commits_and_records_say", "spend_is_what_was_called"]

# Two things happen at the same moment when their times differ by less than they are rounded.
_MOMENT = timedelta(microseconds=10)


def a_runs_row_says_what_its_commits_and_records_say(store: Snapshot, journal: Journal) -> Iterator[str]:
    """Each run that noted what it spent has one row in ``runs``, which follows from its commits and its records."""
    plans = {plan.run.run_key: plan for plan in store.plans}
    expected = {}
    for run_key, records in store.spend.items():
        summary = RunSummary(plans[run_key])
        for entry in store.commits:
            if entry.run.run_key == run_key:
                summary.see(entry)
        row = summary.row(records)
        expected["s3://{}/{}".format(*run_place(row.plan, row.day))] = row
    for uri in sorted(expected.keys() ^ store.run_rows.keys()):
        yield f"{uri} is {'missing' if uri in expected else 'there, but nobody noted what it spent'}"
    for uri, row in expected.items():
        if uri in store.run_rows and store.run_rows[uri] != _bytes(row, store.run_rows[uri]):
            yield f"{uri} says something else than the run's commits and records"


def _bytes(row: RunRow, like: bytes) -> bytes:
    if not like.startswith(b"PAR1"):
        return to_json([run_facts(row)])
    from airflow_provider_aigen.adapters.tables.part_bytes import run_part

    return run_part(row)


def spend_is_what_was_called(store: Snapshot, journal: Journal) -> Iterator[str]:
    """What a process noted are the calls that it had made by then, to the call. At its end, that is all of them; if it
    was killed, nothing older than the time between two records is missing."""
    for records in store.spend.values():
        for writer in sorted({one.writer_id for one in records}):
            own = [one for one in records if one.writer_id == writer]
            spent, until = journal.spent(writer), own[-1].ended_at
            if [one.number for one in own] != list(range(len(own))):
                yield f"the records of {writer} have the numbers {[one.number for one in own]}"
            if spent is None:
                continue
            noted, paid = sum(one.calls for one in own), sum(one.paid_calls for one in own)
            least = sum(at < until - _MOMENT for at in spent.calls)
            most = sum(at <= until + _MOMENT for at in spent.calls)
            if not least <= noted <= most:
                yield f"{writer} noted {noted} calls and had made {least}"
            is_all = own[-1].last and noted == len(spent.calls) and spent.paid[0] <= paid <= spent.paid[1]
            if spent.ended and not is_all:
                yield f"{writer} ended with {noted} calls noted, {paid} of them paid, of {len(spent.calls)}"
            if spent.killed_at is not None and not own[-1].last and spent.killed_at - until > journal.noted_every:
                yield f"{writer} was killed {spent.killed_at - until} after its newest record"
