# SPDX-License-Identifier: Apache-2.0
"""A new operator on the base: what it gets without a line of its own, run by a real Airflow."""

from __future__ import annotations

import asyncio
import itertools
import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_aigen.core.errors import (
    AuthenticationError,
    ConfigurationError,
    PermanentError,
    ServiceUnavailableError,
    StoppedError,
    StorageUnavailableError,
)
from airflow_provider_aigen.operators.base import AigenCallingOperator, AigenOperator
from airflow_provider_aigen.operators.dead_letter import AigenDeadLetterRedriveOperator
from airflow_provider_aigen.operators.erase import AigenEraseOperator
from airflow_provider_aigen.operators.ocr import AigenOcrOperator
from airflow_provider_aigen.operators.plan import AigenOcrPlanOperator
from airflow_provider_aigen.operators.report import AigenOcrReportOperator
from airflow_provider_aigen.operators.tables import AigenRebuildTablesOperator
from airflow_provider_aigen.pipeline import Stop

if TYPE_CHECKING:
    from airflow_provider_aigen.runtime.task import Task

SENTENCE = "nothing more can be done here"
_NUMBERS = itertools.count()


class CountOperator(AigenOperator):
    """A whole operator, with one parameter of its own; ``counting`` stands for its work."""

    template_fields = (*AigenOperator.template_fields, "max_documents")

    def __init__(self, *, max_documents: int | str | None = None, counting: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_documents = max_documents
        self.counting = counting
        self.check()

    def work(self, task: Task) -> Any:
        return self.counting(self, task)


@pytest.fixture
def ran(run_dag: Callable[..., Any]) -> Callable[..., Any]:
    """``ran(counting, **parameters)`` runs a DAG of one such operator; the task instance."""

    def run(counting: Any, **parameters: Any) -> Any:
        with DAG(f"counts_{next(_NUMBERS)}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            CountOperator(task_id="count", counting=counting, **{"destination": "s3://lake/books/"} | parameters)
        return run_dag(dag).get_task_instance("count")

    return run


def test_templates_are_rendered_and_read(ran):
    instance = ran(
        lambda operator, task: dict(task.parameters),
        destination="s3://lake/{{ ti.task_id }}/",
        max_documents="{{ 6 * 7 }}",
    )
    assert instance.state == "success"
    assert instance.xcom_pull(task_ids="count") == {
        "destination": "s3://lake/count/",
        "aws_conn_id": "aws_default",
        "state": None,
        "expected_bucket_owner": None,
        "sse_kms_key_id": None,
        "max_documents": 42,
    }


@pytest.mark.parametrize("wrong", [{"destination": "lake/books"}, {"max_documents": 0}, {"sse_kms_key_id": ""}])
def test_a_wrong_parameter_is_refused_when_the_dag_is_parsed(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        CountOperator(task_id="count", **{"destination": "s3://lake/books/"} | wrong)


def test_a_wrong_parameter_that_a_template_hid_fails_for_good(ran):
    began: list[Any] = []
    instance = ran(lambda *given: began.append(given), max_documents="{{ 0 }}", retries=3, retry_delay=timedelta(0))
    assert (instance.state, instance.try_number, began) == ("failed", 1, [])


# --- errors -------------------------------------------------------------------------------------------------------


def _raised(error: Exception, kind: type[AigenOperator] = CountOperator, **parameters: Any) -> BaseException:
    """What ``execute`` raises where the work fails with ``error``, itself the consequence of another one."""

    class FailingOperator(kind):
        def work(self, task: Task) -> Any:
            try:
                raise KeyError("what led to it")  # noqa: TRY301
            except KeyError as cause:
                raise error from cause

    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one it is, the caller asks
        FailingOperator(task_id="count", destination="s3://lake/books/", **parameters).execute({})
    return raised.value


def test_an_error_that_no_retry_heals_becomes_airflows_own_with_its_sentence():
    raised = _raised(PermanentError(SENTENCE))
    assert (type(raised), str(raised)) == (AirflowFailException, SENTENCE)


@pytest.mark.parametrize(
    "error", [ServiceUnavailableError(SENTENCE, retry_after_s=30), StorageUnavailableError(SENTENCE)]
)
def test_an_error_that_a_retry_may_heal_rises_as_it_is(error):
    assert _raised(error) is error


@pytest.mark.parametrize("error", [PermanentError(SENTENCE), StorageUnavailableError(SENTENCE)])
def test_the_sentence_is_the_last_line_and_nothing_is_chained_before_it(error):
    raised = _raised(error)
    lines = traceback.format_exception(raised)
    assert lines[-1].endswith(f"{SENTENCE}\n")
    assert "what led to it" not in "".join(lines)
    # Airflow 3 lists the chained ones after the error: there must be none.
    assert (raised.__cause__, raised.__suppress_context__) == (None, True)


def test_a_bug_is_neither_translated_nor_shortened():
    error = ZeroDivisionError()
    assert _raised(error) is error
    assert isinstance(error.__cause__, KeyError)


def test_an_operator_that_calls_names_its_connection():
    raised = _raised(
        AuthenticationError("HTTP 401"), AigenCallingOperator, dead_letter="s3://lake/dead/", aigen_conn_id="north"
    )
    assert str(raised) == "HTTP 401 (AIGEN connection north)"


def test_airflow_tries_again_after_an_error_that_a_retry_may_heal(ran):
    """On each Airflow: it is no AirflowException."""
    tries: list[int] = []

    def counting(operator: CountOperator, task: Task) -> int:
        tries.append(len(tries))
        if len(tries) == 1:
            raise ServiceUnavailableError(SENTENCE)
        return len(tries)

    instance = ran(counting, retries=3, retry_delay=timedelta(0))
    assert (instance.state, tries) == ("success", [0, 1])


def test_airflow_does_not_try_again_after_any_other(ran, caplog, capfd):
    caplog.set_level(logging.INFO)
    tries: list[int] = []

    def counting(operator: CountOperator, task: Task) -> None:
        tries.append(len(tries))
        raise PermanentError(SENTENCE)

    instance = ran(counting, retries=3, retry_delay=timedelta(0))
    assert (instance.state, tries) == ("failed", [0])
    assert SENTENCE in "".join(capfd.readouterr()) + caplog.text


# --- on_kill ------------------------------------------------------------------------------------------------------


def test_on_kill_stops_the_work_in_order(ran):
    drained: list[BaseException | None] = []

    def counting(operator: CountOperator, task: Task) -> None:
        async def main(stop: Stop) -> None:
            asyncio.get_running_loop().call_soon(operator.on_kill)
            await stop.wait()
            drained.append(stop.error)
            raise stop.error or AssertionError

        task.run(main)

    assert ran(counting).state == "failed"
    [error] = drained
    assert isinstance(error, StoppedError)


# --- what is declared ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        AigenCallingOperator,
        AigenOcrOperator,
        AigenOcrPlanOperator,
        AigenOcrReportOperator,
        AigenRebuildTablesOperator,
        AigenDeadLetterRedriveOperator,
        AigenEraseOperator,
    ],
)
def test_an_operator_keeps_the_fields_of_its_base(kind):
    for base in kind.__bases__:
        assert set(base.template_fields) <= set(kind.template_fields)
        assert set(base.plain_fields) <= set(kind.plain_fields)
        assert {type(link) for link in base.operator_extra_links} <= {type(link) for link in kind.operator_extra_links}
