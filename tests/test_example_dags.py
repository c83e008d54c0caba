# SPDX-License-Identifier: Apache-2.0
"""Every file in ``dags/``: no import error, and what the scheduler reads is what the file says."""

from __future__ import annotations

from pathlib import Path

import airflow
import pytest

from tests.parsing import parse, round_trip

FOR_AIRFLOW_3 = {"aigen_on_arrival.py"}
FILES = [
    path
    for path in sorted((Path(__file__).resolve().parent.parent / "dags").glob("*.py"))
    if not (airflow.__version__.startswith("2.") and path.name in FOR_AIRFLOW_3)
]


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def parsed(request):
    return parse(request.param)


def test_there_is_an_example():
    assert FILES


def test_a_file_is_imported_without_error_and_holds_a_dag(parsed):
    assert parsed.import_errors == {}
    assert parsed.dags


def test_a_dag_survives_serialisation(parsed, airflow_db):
    for dag in parsed.dags.values():
        read = round_trip(dag)
        assert set(read.task_dict) == set(dag.task_dict)
        for task in dag.tasks:
            assert read.task_dict[task.task_id].task_type == task.task_type
            for name in task.template_fields if task.task_type.startswith("Aigen") else ():
                assert _value(read.task_dict[task.task_id], name) == _value(task, name), name


def _value(task, name):
    """A mapped operator has its parameters in a dictionary."""
    given = getattr(task, "partial_kwargs", None)
    return getattr(task, name) if given is None else given.get(name)


def test_a_dag_is_set_as_the_readme_advises(parsed):
    for dag in parsed.dags.values():
        assert dag.max_active_runs == 1
        assert dag.catchup is False
        for task in dag.tasks:
            assert task.retries >= 2
            assert task.execution_timeout
