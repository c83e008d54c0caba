# SPDX-License-Identifier: Apache-2.0
"""When Airflow tries a task again that the endpoint asked to wait."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_aigen.core.errors import ServiceUnavailableError, StoppedError
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
from airflow_provider_aigen.runtime.retry_policy import RetryAfterPolicy, default_retry_policy

has_policies = pytest.mark.skipif(not hasattr(BaseOperator, "retry_policy"), reason="Airflow 3.3 brings them")


def _wrapped(error: Exception) -> AirflowException:
    """As a task that calls the hook may raise it."""
    raised = AirflowException(str(error))
    raised.__cause__ = error
    return raised


def _decide(error: BaseException, retry_delay: Any = timedelta(minutes=5)) -> tuple[str, timedelta | None]:
    task = SimpleNamespace(retry_delay=retry_delay)
    context: Any = {"task": task} if retry_delay else None
    decision = RetryAfterPolicy().evaluate(error, 1, 3, context)
    return decision.action.value, decision.retry_delay


@has_policies
@pytest.mark.parametrize("as_it_is", [True, False])
def test_the_delay_is_what_the_endpoint_asked_for(as_it_is):
    asked = ServiceUnavailableError("patience", retry_after_s=1800)
    asked = asked if as_it_is else _wrapped(asked)
    assert _decide(asked) == ("retry", timedelta(minutes=30))
    assert _decide(asked, retry_delay=None) == ("retry", timedelta(minutes=30))


@has_policies
def test_a_task_that_waits_longer_by_itself_does():
    asked = ServiceUnavailableError("patience", retry_after_s=1800)
    assert _decide(asked, timedelta(hours=1)) == ("default", None)


@has_policies
@pytest.mark.parametrize(
    "error", [ServiceUnavailableError("down"), StoppedError("told to"), ValueError("another"), KeyError("x")]
)
def test_anything_else_is_as_without_a_policy(error):
    assert _decide(_wrapped(error)) == ("default", None)
    assert _decide(error) == ("default", None)


@has_policies
def test_the_reason_names_the_endpoint_and_the_time():
    decision = RetryAfterPolicy().evaluate(ServiceUnavailableError("x", retry_after_s=1800), 1, 3)
    assert decision.reason == "the AIGEN endpoint asks to be left alone for 1800 s"


@has_policies
def test_it_survives_serialization():
    assert isinstance(RetryAfterPolicy.deserialize(RetryAfterPolicy().serialize()), RetryAfterPolicy)


PLACES = {"source": "s3://scans/in/", "destination": "s3://lake/books/", "dead_letter": "s3://lake/dead/"}


@has_policies
def test_the_operator_has_it_unless_the_task_has_one_of_its_own():
    from airflow.providers.common.compat.sdk import ExceptionRetryPolicy

    own = ExceptionRetryPolicy(rules=[])
    assert isinstance(AigenOcrOperator(task_id="ocr", **PLACES).retry_policy, RetryAfterPolicy)
    assert AigenOcrOperator(task_id="ocr", retry_policy=own, **PLACES).retry_policy is own


@has_policies
def test_a_dag_with_it_can_be_serialized():
    from airflow.providers.common.compat.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("books", schedule=None) as dag:
        AigenOcrOperator(task_id="ocr", **PLACES)
    (task,) = DagSerialization.to_dict(dag)["dag"]["tasks"]
    assert task["__var"]["has_retry_policy"] is True


@pytest.mark.skipif(hasattr(BaseOperator, "retry_policy"), reason="Airflow before 3.3 only")
def test_before_there_are_policies_there_is_none():
    assert default_retry_policy() is None
    assert not hasattr(AigenOcrOperator(task_id="ocr", **PLACES), "retry_policy")
