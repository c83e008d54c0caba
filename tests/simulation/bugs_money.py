# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in what is noted of the spend, and in the rows of ``runs``."""

from __future__ import annotations

import sys
from typing import Any

from airflow_provider_aigen import pipeline
from airflow_provider_aigen.pipeline import calls, spending
from tests.simulation.mutations import Patch, edit, mutation

runs = sys.modules["airflow_provider_aigen.pipeline.runs"]


@mutation("spend is noted at the end only", law="was killed .* after its newest record", profile="crash")
def _() -> list[Patch]:
    async def never(self: Any) -> None:
        """Nothing meanwhile."""

    return [(spending.Spending, "run", never)]


@mutation("a record that the store did not take is forgotten", law="the records of .* have the numbers")
def _() -> list[Patch]:
    return [edit(spending.Spending, "_note", ("self._unsure or self._next(last=last)", "self._next(last=last)"))]


@mutation("each record has all calls so far", law="noted .* calls and had made")
def _() -> list[Patch]:
    return [edit(spending.Spending, "_next", ("counts.calls - self._noted.calls", "counts.calls"))]


@mutation("calls are counted when they are answered", law="noted .* calls and had made", profile="stop")
def _() -> list[Patch]:
    return [
        edit(
            calls.Caller,
            "_send",
            ("        sent = True\n        self._count(repeats=repeats)\n", "        sent = True\n"),
            ("if not sent:  # no connection could be made", "if True:"),
        )
    ]


@mutation("nobody writes the rows that killed tries left", law="parquet is missing", profile="crash")
def _() -> list[Patch]:
    async def none(*_: Any) -> None:
        """No row."""

    return [(pipeline, "write_rows_left", none)]


@mutation("a row counts the commits of every run", law="says something else than the run's commits and records")
def _() -> list[Patch]:
    return [edit(runs, "_show_commits", ("by_run.get(entry.run.run_key)", "next(iter(by_run.values()))"))]
