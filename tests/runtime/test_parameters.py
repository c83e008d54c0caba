# SPDX-License-Identifier: Apache-2.0
"""Wrong parameters are refused by their names, as early as they are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.operators.dead_letter import AigenDeadLetterRedriveOperator
from airflow_provider_aigen.operators.erase import AigenEraseOperator
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
from airflow_provider_aigen.operators.tables import AigenRebuildTablesOperator
from airflow_provider_aigen.runtime.loop import LoopRunner
from airflow_provider_aigen.runtime.parameters import check_parameters
from airflow_provider_aigen.runtime.task import Task

GOOD: dict[str, Any] = {
    "source": "s3://scans/incoming/",
    "destination": "s3://lake/books/",
    "dead_letter": "s3://lake/dead/",
}
BANGKOK = timezone(timedelta(hours=7))

# One that is wrong for each way to be wrong; the parameter that the message names.
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("source", {"source": "/incoming"}),
    ("source", {"source": "gs://scans/incoming/"}),
    ("source", {"source": "s3://"}),
    ("source", {"source": "s3:///incoming/"}),
    ("source", {"source": "s3://Scans!/incoming/"}),
    ("source", {"source": "s3://sc*ns/incoming/"}),
    ("source", {"source": "s3://scans/[z-a].jpg"}),
    ("source", {"source": "s3://scans/../other/"}),
    ("source", {"source": ""}),
    ("source", {"source": None}),
    ("source", {"source": 7}),
    ("source", {"source": ["s3://scans/incoming/"]}),
    ("destination", {"destination": "lake/books"}),
    ("destination", {"destination": "s3://lake//books/"}),
    ("destination", {"destination": ""}),
    ("destination", {"destination": None}),
    ("dead_letter", {"dead_letter": "https://lake/dead/"}),
    ("dead_letter", {"dead_letter": "s3://lake/de\nad/"}),
    ("dead_letter", {"dead_letter": ""}),
    ("state", {"state": "lake/state"}),
    ("state", {"state": 1}),
    ("destination", {"destination": "s3://scans/incoming/out/"}),
    ("destination", {"source": "s3://scans/", "destination": "s3://scans/out/"}),
    ("source", {"source": "s3://lake/books/in/"}),
    ("source", {"source": "s3://lake/**/*.jpg"}),
    ("dead_letter", {"dead_letter": "s3://scans/incoming/dead/"}),
    ("dead_letter", {"dead_letter": "s3://lake/books/dead/"}),
    ("dead_letter", {"dead_letter": "s3://lake/books/"}),
    ("state", {"state": "s3://scans/incoming/state/"}),
    ("state", {"state": "s3://lake/books/fields/state/"}),
    ("requests_per_second", {"requests_per_second": 0}),
    ("requests_per_second", {"requests_per_second": -1}),
    ("requests_per_second", {"requests_per_second": float("nan")}),
    ("requests_per_second", {"requests_per_second": "fast"}),
    ("requests_per_second", {"requests_per_second": True}),
    ("requests_per_second", {"requests_per_second": [5]}),
    ("limit_shared_by", {"limit_shared_by": 0}),
    ("limit_shared_by", {"limit_shared_by": 1.5}),
    ("limit_shared_by", {"limit_shared_by": "many"}),
    ("limit_shared_by", {"limit_shared_by": ""}),
    ("limit_shared_by", {"limit_shared_by": None}),
    ("redis_conn_id", {"redis_conn_id": 7}),
    ("max_in_flight", {"max_in_flight": 0}),
    ("max_in_flight", {"max_in_flight": -16}),
    ("max_in_flight", {"max_in_flight": 1.5}),
    ("max_in_flight", {"max_in_flight": "16"}),
    ("max_in_flight", {"max_in_flight": "{{ 16 }}"}),
    ("max_in_flight", {"max_in_flight": None}),
    ("batch_size", {"batch_size": 0}),
    ("batch_size", {"batch_size": -1}),
    ("batch_size", {"batch_size": True}),
    ("batch_size", {"batch_size": "{{ 500 }}"}),
    ("max_documents", {"max_documents": 0}),
    ("max_documents", {"max_documents": -5}),
    ("max_documents", {"max_documents": 2.5}),
    ("max_documents", {"max_documents": "2.5"}),
    ("max_spend", {"max_spend": 0}),
    ("max_spend", {"max_spend": "30 THB"}),
    ("max_dead_letter_ratio", {"max_dead_letter_ratio": 1.01}),
    ("max_dead_letter_ratio", {"max_dead_letter_ratio": -0.1}),
    ("max_dead_letter_ratio", {"max_dead_letter_ratio": "half"}),
    ("min_confidence", {"min_confidence": 80}),
    ("min_confidence", {"min_confidence": float("nan")}),
    ("min_confidence", {"min_confidence": {}}),
    ("document_type", {"document_type": "idcard"}),
    ("document_type", {"document_type": "../../admin/v2"}),
    ("document_type", {"document_type": None}),
    ("document_type", {"document_type": 2}),
    ("partition", {"partition": "2026-11-22"}),
    ("partition", {"partition": "dt=2026-11-22/"}),
    ("partition", {"partition": "dt=/hour=1"}),
    ("partition", {"partition": "/dt=2026"}),
    ("partition", {"partition": "dt=a b"}),
    ("partition", {"partition": 20261122}),
    ("aigen_conn_id", {"aigen_conn_id": None}),
    ("aigen_conn_id", {"aigen_conn_id": ""}),
    ("aws_conn_id", {"aws_conn_id": 3}),
    ("copy_image", {"copy_image": "no"}),
    ("copy_image", {"copy_image": None}),
    ("fail_on_empty_source", {"fail_on_empty_source": "yes"}),
    ("newest_first", {"newest_first": "yes"}),
    ("manifest", {"manifest": "list.csv"}),
    ("manifest", {"manifest": "s3://scans"}),
    ("manifest", {"manifest": "s3://scans/inventory/"}),
    ("manifest", {"manifest": "s3://scans/list.txt"}),
    ("manifest", {"manifest": 3}),
    ("source", {"source": "s3://scans/" + 7 * "{a,b}"}),
    ("max_repeat_ratio", {"max_repeat_ratio": 2}),
    ("max_repeat_ratio", {"max_repeat_ratio": None}),
    ("retry_passing_after", {"retry_passing_after": timedelta(0)}),
    ("retry_passing_after", {"retry_passing_after": "soon"}),
    ("retry_passing_rounds", {"retry_passing_rounds": 0}),
    ("record_schema", {"record_schema": "date"}),
    ("record_schema", {"record_schema": [("total", "decimal")]}),
    ("record_schema", {"record_schema": {"": "text"}}),
    ("record_schema", {"record_schema": {"total": "money"}}),
    ("record_schema", {"record_schema": {"total": ["decimal"]}}),
    ("record_schema", {"record_schema": {"total": "text", "Total": "decimal"}}),
    ("record_schema", {"record_schema": {"owner.name": "text", "owner_name": "text"}}),
    ("record_schema", {"record_schema": {"born_in": "province", "born_in_code": "text"}}),
    ("record_schema", {"record_schema": {"Commit": "text"}}),
    ("record_schema", {"record_schema": {"ชื่อ": "text"}}),
    ("record_schema", {"record_schema": {"total sum": "text"}}),
    ("record_schema", {"record_schema": {"dt": "date"}}),
    ("record_schema", {"record_schema": {"Region": "text"}, "partition": "region=north"}),
    ("partition", {"partition": "unreadable=new"}),
    ("partition", {"partition": "outcome=new"}),
    ("partition", {"partition": "Document_ID=new"}),
    ("partition", {"partition": "dt=1/DT=2"}),
    ("expected_bucket_owner", {"expected_bucket_owner": "me"}),
    ("expected_bucket_owner", {"expected_bucket_owner": 1234567890123}),
    ("expected_bucket_owner", {"expected_bucket_owner": -1}),
    ("expected_bucket_owner", {"expected_bucket_owner": True}),
    ("sse_kms_key_id", {"sse_kms_key_id": ""}),
]
IDS = [f"{parameter}-{number}" for number, (parameter, _) in enumerate(WRONG)]


DESTINATION = {"destination": "s3://lake/books/"}
PLACES = {**DESTINATION, "dead_letter": "s3://lake/dead/"}
REBUILD = (AigenRebuildTablesOperator, DESTINATION)
REDRIVE = (AigenDeadLetterRedriveOperator, PLACES)
ERASE = (AigenEraseOperator, {**PLACES, "document_ids": ["0" * 32]})
WRONG_UPKEEP: list[tuple[Any, str, dict[str, Any]]] = [
    (REBUILD, "destination", {"destination": "lake/books"}),
    (REBUILD, "since", {"since": "last week"}),
    (REBUILD, "since", {"since": 7}),
    (REBUILD, "tables", {"tables": "fields"}),
    (REBUILD, "tables", {"tables": ["field"]}),
    (REBUILD, "tables", {"tables": []}),
    (REBUILD, "min_confidence", {"min_confidence": 80}),
    (REBUILD, "record_schema", {"record_schema": {"total": "money"}}),
    (REBUILD, "record_schema", {"record_schema": {"total": "text", "Total": "decimal"}}),
    (REBUILD, "compact", {"compact": "yes"}),
    (REDRIVE, "dead_letter", {"dead_letter": "s3://lake/books/dead/"}),
    (REDRIVE, "error_codes", {"error_codes": []}),
    (REDRIVE, "error_codes", {"error_codes": [1001]}),
    (REDRIVE, "older_than", {"older_than": "a week"}),
    (REDRIVE, "older_than", {"older_than": -1}),
    (REDRIVE, "max_documents", {"max_documents": 0}),
    (REDRIVE, "max_spend", {"max_spend": 0}),
    (REDRIVE, "preview", {"preview": "yes"}),
    (REDRIVE, "document_type", {"document_type": "idcard"}),
    (ERASE, "source_uris", {"source_uris": ["s3://scans/in/1.jpg"]}),
    (ERASE, "source_uris", {"document_ids": None}),
    (ERASE, "source_uris", {"source_uris": "in/1.jpg", "document_ids": None}),
    (ERASE, "document_ids", {"document_ids": ["1.jpg"]}),
    (ERASE, "document_ids", {"document_ids": 7}),
    (ERASE, "delete_source", {"delete_source": "yes"}),
]


@pytest.mark.parametrize(
    ("made", "parameter", "changes"),
    WRONG_UPKEEP,
    ids=[f"{one[1]}-{number}" for number, one in enumerate(WRONG_UPKEEP)],
)
def test_a_wrong_parameter_of_redrive_rebuild_or_erase_is_refused_when_the_dag_is_parsed(made, parameter, changes):
    kind, good = made
    kind(task_id="good", **good)
    with pytest.raises(ConfigurationError) as refused:
        kind(task_id="wrong", **{**good, **changes})
    assert parameter in str(refused.value)
    assert "\n" not in str(refused.value)


def operator(**changes: Any) -> AigenOcrOperator:
    return AigenOcrOperator(task_id="ocr", **GOOD | changes)


@pytest.mark.parametrize(("parameter", "changes"), WRONG, ids=IDS)
def test_a_wrong_parameter_is_refused_when_the_dag_is_parsed(parameter, changes):
    with pytest.raises(ConfigurationError) as refused:
        operator(**changes)
    assert parameter in str(refused.value)
    assert "\n" not in str(refused.value)


class _NoConnection(AigenOcrOperator):
    """Fails the test where it goes on to its work."""

    def work(self, task: Task) -> Any:
        raise AssertionError("the parameters were not refused")


CONTEXT: dict[str, Any] = {
    "logical_date": datetime(2026, 11, 22, tzinfo=UTC),
    "ti": SimpleNamespace(dag_id="books", task_id="ocr", run_id="manual", map_index=-1),
}
TEMPLATED = [case for case in WRONG if set(case[1]) <= set(AigenOcrOperator.template_fields)]


@pytest.mark.parametrize(("parameter", "changes"), TEMPLATED, ids=[str(number) for number in range(len(TEMPLATED))])
def test_a_template_passes_the_parser_and_is_refused_once_it_is_rendered(parameter, changes):
    made = _NoConnection(task_id="ocr", **GOOD | dict.fromkeys(changes, "{{ var.value.whatever }}"))
    for name, value in changes.items():
        setattr(made, name, value)  # what rendering does
    with pytest.raises(AirflowFailException, match=parameter):
        made.execute(CONTEXT)


def planned(made: AigenOcrOperator) -> PlanRequest:
    """What the operator's task would plan, had its parameters been rendered to what they are."""
    return Task(made, check_parameters(made._parameters()), CONTEXT, LoopRunner())._plan_request()


def test_another_source_or_setting_is_another_plan_of_the_same_run():
    keys = {
        planned(operator(**changes)).run.run_key
        for changes in ({}, {"source": "s3://scans/other/"}, {"max_documents": 5}, {"document_type": "idcard/v2"})
    }
    assert len(keys) == 4
    assert planned(operator()).run.run_key in keys


@pytest.mark.parametrize(("given", "seconds"), [(timedelta(minutes=5), 300.0), (90, 90.0), (0.5, 0.5)])
def test_when_a_passing_dead_letter_is_due_is_a_timedelta_or_seconds(given, seconds):
    assert planned(operator(retry_passing_after=given)).retry_passing_after_s == seconds


def test_a_template_that_was_not_rendered_is_no_location():
    made = _NoConnection(task_id="ocr", **GOOD | {"destination": "s3://{{ var.value.lake }}/books/"})
    with pytest.raises(AirflowFailException, match="destination"):
        made.execute(CONTEXT)


def test_what_the_parser_knows_is_checked_beside_templates():
    with pytest.raises(ConfigurationError, match="dead_letter"):
        operator(source="{{ source }}", dead_letter="s3://lake/books/dead/")


def test_another_tasks_output_is_known_at_run_time():
    from airflow.providers.common.compat.sdk import DAG, XComArg

    with DAG("upstream", schedule=None):
        listed = XComArg(AigenOcrOperator(task_id="first", **GOOD))
        made = AigenOcrOperator(
            task_id="second", **GOOD | {"source": listed["report"], "max_documents": listed["rows"]}
        )
    assert made.upstream_task_ids == {"first"}


@pytest.mark.parametrize("name", ["max_documents", "requests_per_second", "max_dead_letter_ratio", "min_confidence"])
@pytest.mark.parametrize("text", ["", " ", "None"])
def test_a_number_that_renders_to_nothing_is_none(name, text):
    made = operator(**{name: text})
    assert planned(made).max_documents is None


# Case 21.
@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"expected_bucket_owner": "001234567890"}, "001234567890"),
        ({"expected_bucket_owner": "123456789012"}, "123456789012"),
        ({"expected_bucket_owner": "000000000000"}, "000000000000"),
        ({"expected_bucket_owner": "{{ params.short }}"}, "001234567890"),
        ({"expected_bucket_owner": "{{ params.text }}"}, "001234567890"),
        ({"expected_bucket_owner": 1234567890}, "001234567890"),
        ({"expected_bucket_owner": None}, None),
        ({"expected_bucket_owner": "{{ none }}"}, None),
        ({"aws_conn_id": "1_000"}, "1_000"),
        ({"aigen_conn_id": "7"}, "7"),
        ({"partition": ""}, ""),
        ({"max_documents": "{{ 3 }}"}, 3),
        ({"source": "s3://scans/{jpg,png}/"}, "s3://scans/{jpg,png}/"),
    ],
)
def test_texts_are_texts_where_a_dag_renders_to_native_objects(given, taken):
    from airflow.providers.common.compat.sdk import DAG

    params = {"short": 1234567890, "text": "001234567890"}
    with DAG("native", schedule=None, render_template_as_native_obj=True) as dag:
        made = operator(**given)
    made.render_template_fields({"params": params, "none": None}, dag.get_template_env())
    assert check_parameters(made._parameters())[next(iter(given))] == taken


def test_rendered_numbers_count():
    made = operator(max_documents="12", min_confidence="0.8", requests_per_second="2.5")
    request = planned(made)
    assert (request.max_documents, request.settings.min_confidence) == (12, 0.8)


def test_defaults():
    made = operator()
    assert {name: value for name, value in made._parameters().items() if name not in GOOD} == {
        "document_type": "vehicle-registration-book/v2",
        "aigen_conn_id": "aigen_default",
        "aws_conn_id": "aws_default",
        "requests_per_second": None,
        "limit_shared_by": 1,
        "redis_conn_id": None,
        "max_in_flight": 16,
        "batch_size": 500,
        "partition": None,
        "max_documents": None,
        "max_spend": None,
        "max_dead_letter_ratio": None,
        "min_confidence": None,
        "max_repeat_ratio": 0.2,
        "retry_passing_after": 900.0,
        "retry_passing_rounds": 3,
        "copy_image": True,
        "fail_on_empty_source": False,
        "newest_first": False,
        "manifest": None,
        "record_schema": None,
        "state": None,
        "expected_bucket_owner": None,
        "sse_kms_key_id": None,
    }


def test_all_but_the_technical_parameters_are_templates():
    parameters = set(operator()._parameters())
    assert parameters - set(AigenOcrOperator.template_fields) == {
        "max_in_flight",
        "batch_size",
        "copy_image",
        "max_repeat_ratio",
        "retry_passing_after",
        "retry_passing_rounds",
        "fail_on_empty_source",
        "newest_first",
        "record_schema",
    }


def test_parameters_reach_the_plan():
    made = operator(
        source="s3://scans/in/**/*.jpg",
        destination="s3://lake/books",
        document_type="idcard/v2",
        partition="dt=2026-01-01/hour=07",
        batch_size=7,
        max_documents=3,
        min_confidence=0.9,
        copy_image=False,
        fail_on_empty_source=True,
        newest_first=True,
        manifest="s3://lake/lists/today.csv.gz",
        record_schema={"total": "decimal", "issued": "date"},
    )
    request = planned(made)
    assert (request.bucket, request.prefix, request.batch_size, request.max_documents) == ("scans", "in/", 7, 3)
    assert (request.newest_first, request.manifest) == (True, "s3://lake/lists/today.csv.gz")
    assert request.matches("in/a/b.jpg")
    assert not request.matches("in/a/b.png")
    settings = request.settings
    assert (settings.destination, settings.dead_letter) == ("s3://lake/books/", "s3://lake/dead/")
    assert (settings.document_type, settings.partition) == ("idcard/v2", "dt=2026-01-01/hour=07")
    assert (settings.min_confidence, settings.copy_image) == (0.9, False)
    assert settings.record_schema == (("total", "decimal"), ("issued", "date"))


@pytest.mark.parametrize("partition", ["", "region=north", "dt=2026-11-22/hour=07"])
def test_a_partition_of_ones_own(partition):
    assert planned(operator(partition=partition)).settings.partition == partition
