# SPDX-License-Identifier: Apache-2.0
"""What a group makes of its parameters when a DAG file is parsed, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
from airflow_provider_aigen.operators.plan import AigenOcrPlanOperator
from airflow_provider_aigen.task_groups import AigenOcrTaskGroup
from tests.parsing import round_trip

GIVEN = {"source": "s3://scans/in/", "destination": "s3://lake/books/", "dead_letter": "s3://lake/dead/"}
# One value for each parameter of the operator that is not its default.
OF_THE_OPERATOR: dict[str, Any] = {
    **GIVEN,
    "document_type": "idcard/v1",
    "aigen_conn_id": "north",
    "aws_conn_id": "elsewhere",
    "requests_per_second": 7.0,
    "limit_shared_by": 9,
    "redis_conn_id": "redis",
    "max_in_flight": 3,
    "batch_size": 10,
    "partition": "region=north",
    "max_documents": 100,
    "max_dead_letter_ratio": 0.5,
    "min_confidence": 0.8,
    "max_repeat_ratio": 0.1,
    "retry_passing_after": 60.0,
    "retry_passing_rounds": 5,
    "copy_image": False,
    "fail_on_empty_source": True,
    "newest_first": True,
    "manifest": "s3://lake/lists/today.csv",
    "max_spend": 100.0,
    "record_schema": {"total": "decimal"},
    "state": "s3://lake/state/",
    "expected_bucket_owner": "123456789012",
    "sse_kms_key_id": "key",
}
OF_ONE = {
    "plan": {
        "batch_size",
        "partition",
        "max_documents",
        "min_confidence",
        "retry_passing_after",
        "copy_image",
        "fail_on_empty_source",
        "newest_first",
        "manifest",
        "record_schema",
    },
    "ocr": {
        "requests_per_second",
        "limit_shared_by",
        "redis_conn_id",
        "max_in_flight",
        "max_repeat_ratio",
        "retry_passing_rounds",
        "max_spend",
    },
    "report": {"max_dead_letter_ratio"},
}
OF_TWO = {"source": {"plan", "ocr"}, "document_type": {"plan", "ocr"}, "aigen_conn_id": {"ocr", "report"}}


def made(**parameters: Any) -> dict[str, Any]:
    """The tasks of a group in a DAG, by their names in the group."""
    with DAG("fleet", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AigenOcrTaskGroup("books", **GIVEN | parameters)
    return {task.task_id.removeprefix("books."): task for task in dag.tasks}


def value(task: Any, name: str) -> Any:
    return task.partial_kwargs.get(name) if hasattr(task, "partial_kwargs") else getattr(task, name)


def test_every_parameter_of_the_operator_reaches_the_tasks_that_it_is_for():
    # A new parameter of the operator needs a line in these lists.
    assert {*AigenOcrOperator.template_fields, *AigenOcrOperator.plain_fields} - {"plan"} == set(OF_THE_OPERATOR)
    tasks = made(**OF_THE_OPERATOR)
    for name, given in OF_THE_OPERATOR.items():
        takers = OF_TWO.get(name) or {task for task, names in OF_ONE.items() if name in names} or set(tasks)
        for task in takers:
            assert value(tasks[task], name) == given, (task, name)
        for task in set(tasks) - takers:
            assert name not in (*tasks[task].template_fields, *getattr(tasks[task], "plain_fields", ())) or (
                name not in tasks[task].partial_kwargs
            )


def test_tasks_are_wired_and_bounded():
    tasks = made(shards=20, max_parallel=3)
    assert tasks["plan"].downstream_task_ids == {"books.ocr", "books.report"}
    assert tasks["report"].upstream_task_ids == {"books.plan", "books.ocr"}
    assert tasks["plan"].shards == 20
    assert tasks["report"].trigger_rule == "all_done"
    ocr = tasks["ocr"]
    assert value(ocr, "max_active_tis_per_dagrun") == value(ocr, "limit_shared_by") == 3
    assert ocr.map_index_template == "{{ task.shard }}"


def test_what_every_operator_takes_is_for_all_three():
    tasks = made(retries=7, pool="aigen", execution_timeout=timedelta(hours=2), trigger_rule="none_failed", tooltip="x")
    assert {value(task, "retries") for task in tasks.values()} == {7}
    assert {value(task, "pool") for task in tasks.values()} == {"aigen"}
    assert {value(task, "execution_timeout") for task in tasks.values()} == {timedelta(hours=2)}
    assert (tasks["plan"].trigger_rule, tasks["report"].trigger_rule) == ("none_failed", "all_done")
    assert value(tasks["ocr"], "trigger_rule") == "all_success"


def test_only_the_report_emits_events():
    tasks = made()
    assert [outlet.name for outlet in tasks["report"].outlets] == ["fleet.books.report"]
    assert tasks["plan"].outlets == []
    assert tasks["ocr"].partial_kwargs["outlets"] == []


def test_default_args_of_the_dag_reach_plan_and_report():
    with DAG(
        "fleet",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        default_args={"min_confidence": 0.8, "max_dead_letter_ratio": 0.2, "retries": 4},
    ) as dag:
        AigenOcrTaskGroup("books", **GIVEN)
    tasks = {task.task_id.removeprefix("books."): task for task in dag.tasks}
    assert (tasks["plan"].min_confidence, tasks["report"].max_dead_letter_ratio) == (0.8, 0.2)
    assert {value(task, "retries") for task in tasks.values()} == {4}


def test_a_group_survives_serialisation(airflow_db):
    with DAG("fleet", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        AigenOcrTaskGroup("books", **GIVEN)
    read = round_trip(dag)
    assert set(read.task_dict) == {"books.plan", "books.ocr", "books.report"}
    assert read.task_group.children["books"].children.keys() == read.task_dict.keys()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"max_parallel": 0}, "max_parallel: must be a whole number over 0"),
        ({"max_parallel": "4"}, "max_parallel: must be a whole number over 0"),
        ({"shards": 0}, "shards: must be a whole number over 0"),
        ({"shards": 1025}, r"shards: must be 1024 at most, which is Airflow's \[core\] max_map_length"),
        ({"limit_shared_by": 3}, "limit_shared_by: must not be under max_parallel"),
        ({"max_in_flight": 0}, "max_in_flight: must be"),
        ({"requests_per_second": -1}, "requests_per_second: must be"),
        ({"max_dead_letter_ratio": 2}, "max_dead_letter_ratio: must be"),
        ({"source": "s3://lake/books/in/"}, "source: overlaps with destination"),
        ({"plan": "x"}, "plan: is not for a group: it is set from source"),
        (
            {"max_active_tis_per_dagrun": 2},
            "max_active_tis_per_dagrun: is not for a group: it is set from max_parallel",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_parameter_is_refused_when_the_dag_is_parsed(changes, sentence):
    with pytest.raises(ConfigurationError, match=f"^{sentence}"):
        made(**changes)


def test_a_parameter_that_nobody_takes_is_refused():
    with pytest.raises(Exception, match="max_paralel"):
        made(max_paralel=3)


def test_a_plan_takes_a_template_for_its_number_of_shards():
    assert AigenOcrPlanOperator(task_id="plan", shards="{{ params.shards }}", **GIVEN).shards == "{{ params.shards }}"


@pytest.mark.parametrize("plan", [["s3://"], 7])
def test_the_operator_works_on_one_shard(plan):
    with pytest.raises(ConfigurationError, match=r"^plan: must be one text of an AigenOcrPlanOperator"):
        AigenOcrOperator(task_id="ocr", plan=plan, destination="s3://lake/books/", dead_letter="s3://lake/dead/")


def test_the_operator_needs_a_source_or_a_plan():
    with pytest.raises(ConfigurationError, match=r"^source: is required"):
        AigenOcrOperator(task_id="ocr", destination="s3://lake/books/", dead_letter="s3://lake/dead/")
