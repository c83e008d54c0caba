# SPDX-License-Identifier: Apache-2.0
"""Whose run it is, and the day that its rows belong to. What else reaches the plan: test_parameters.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.runtime.request import default_partition, run_identity

BANGKOK = timezone(timedelta(hours=7))
LATE = datetime(2026, 11, 22, 1, 30, tzinfo=BANGKOK)  # the day before, in UTC


@pytest.mark.parametrize(
    ("context", "day"),
    [
        ({"data_interval_start": LATE, "logical_date": datetime(2026, 12, 1, tzinfo=UTC)}, "dt=2026-11-21"),
        ({"data_interval_start": None, "logical_date": LATE}, "dt=2026-11-21"),
        ({"logical_date": None, "dag_run": SimpleNamespace(run_after=LATE)}, "dt=2026-11-21"),
        ({"dag_run": SimpleNamespace(run_after=LATE, partition_date=None)}, "dt=2026-11-21"),
        (
            {"dag_run": SimpleNamespace(run_after=datetime(2027, 1, 1, tzinfo=UTC), partition_date=LATE)},
            "dt=2026-11-21",
        ),
        (
            {"logical_date": LATE, "dag_run": SimpleNamespace(run_after=datetime(2027, 1, 1, tzinfo=UTC))},
            "dt=2026-11-21",
        ),
    ],
)
def test_the_default_partition_is_the_runs_day_in_utc(context, day):
    assert default_partition(context) == day


def test_a_run_without_a_date_needs_a_partition():
    with pytest.raises(ConfigurationError, match="partition"):
        default_partition({"dag_run": SimpleNamespace(run_after=None)})


# --- whose run it is ----------------------------------------------------------------------------------------------


def _instance(**changes: Any) -> dict[str, Any]:
    facts = {"dag_id": "books", "task_id": "ocr", "run_id": "scheduled__1", "map_index": -1, "try_number": 1}
    return {"ti": SimpleNamespace(**facts | changes)}


def test_a_run_is_the_same_whatever_its_try():
    assert run_identity(_instance(try_number=1)) == run_identity(_instance(try_number=9))


@pytest.mark.parametrize("change", [{"dag_id": "a"}, {"task_id": "a"}, {"run_id": "a"}, {"map_index": 0}])
def test_another_dag_task_run_or_map_index_is_another_run(change):
    assert run_identity(_instance(**change)).run_key != run_identity(_instance()).run_key


def test_a_task_that_is_not_mapped_has_one_key():
    assert run_identity(_instance(map_index=None)).run_key == run_identity(_instance(map_index=-1)).run_key
