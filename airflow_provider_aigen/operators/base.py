# SPDX-License-Identifier: Apache-2.0
"""What all operators share (design §1). DAG files import this module.

A new operator lists its parameters, sets them in its constructor, and does its work in ``work``::

    class AigenCountOperator(AigenOperator):
        template_fields = (*AigenOperator.template_fields, "source")

        def __init__(self, *, source: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.source = source
            self.check()

        def work(self, task: Task) -> int:
            return task.count()
"""

from __future__ import annotations

import gc
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_aigen.core.defaults import DEFAULT_DOCUMENT_TYPE, DEFAULT_RETRY_PASSING_AFTER_S
from airflow_provider_aigen.core.errors import PermanentError, TransientError
from airflow_provider_aigen.links import AigenDeadLettersLink, AigenOutputLink
from airflow_provider_aigen.runtime.loop import LoopRunner
from airflow_provider_aigen.runtime.parameters import check_parameters, is_template
from airflow_provider_aigen.runtime.retry_policy import default_retry_policy

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from airflow_provider_aigen.runtime.task import Task

__all__ = ["AigenCallingOperator", "AigenOperator", "AigenPlanningOperator", "uncollected"]


class AigenOperator(BaseOperator):
    """An operator that works on one destination. It checks its parameters, translates errors and stops in order.

    :param destination: S3 prefix of the tables. (templated)
    :param aws_conn_id: the AWS connection, for S3. (templated)
    :param state: S3 prefix of plans, answers and commits; None for ``<destination>/_aigen``. (templated)
    :param expected_bucket_owner: AWS account id that must own every bucket. (templated)
    :param sse_kms_key_id: KMS key for all that is written; ``AES256`` for SSE-S3, ``aws:kms`` for the bucket's KMS key,
        where its policy demands that header. (templated)

    A wrong parameter raises ``ConfigurationError`` (a ``ValueError``) when the DAG is parsed. At run time an error that
    no retry can heal becomes an ``AirflowFailException``, and an error that a retry may heal rises as it is.
    """

    template_fields: Sequence[str] = (
        "destination",
        "aws_conn_id",
        "state",
        "expected_bucket_owner",
        "sse_kms_key_id",
    )
    # The parameters that take no template. All others are in `template_fields`.
    plain_fields: ClassVar[Sequence[str]] = ()
    # URIs and numbers: plain text, nothing to highlight.
    template_fields_renderers: ClassVar[dict[str, str]] = {}
    operator_extra_links: Sequence[BaseOperatorLink] = (AigenOutputLink(),)
    ui_color = "#e8f4ea"

    def __init__(
        self,
        *,
        destination: str,
        aws_conn_id: str | None = "aws_default",
        state: str | None = None,
        expected_bucket_owner: str | None = None,
        sse_kms_key_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if getattr(self, "retry_policy", None) is None and (policy := default_retry_policy()) is not None:
            self.retry_policy = policy
        self.destination = destination
        self.aws_conn_id = aws_conn_id
        self.state = state
        self.expected_bucket_owner = expected_bucket_owner
        self.sse_kms_key_id = sse_kms_key_id
        self._runner = LoopRunner()
        self._texts: dict[str, str] = {}

    def check(self) -> None:
        """Check every parameter that is not a template. The last line of each constructor calls this."""
        given = {name: getattr(self, name) for name in self.template_fields}
        self._texts = {
            name: value for name, value in given.items() if isinstance(value, str) and not is_template(value)
        }
        check_parameters(self._parameters(), templated=self.template_fields)

    def execute(self, context: Context) -> Any:
        """Check the rendered parameters and do the work."""
        with uncollected():
            from airflow_provider_aigen.runtime.task import Task, problem_text  # noqa: PLC0415 - parsing needs none of it

        # Both are raised from None: otherwise the log would go on, after the error's sentence, with what led to it.
        try:
            return self.work(Task(self, self.checked_parameters(), context, self._runner))
        except PermanentError as error:
            raise AirflowFailException(problem_text(error, getattr(self, "aigen_conn_id", None))) from None
        except TransientError as error:
            raise error from None

    @abstractmethod
    def work(self, task: Task) -> Any:
        """Do the operator's own work, and return the task's XCom."""

    def on_kill(self) -> None:
        """Stop in order: no new call begins, and answers that arrive within the grace time are kept (design §5)."""
        self._runner.stop()

    def checked_parameters(self) -> dict[str, Any]:
        """All parameters as the task uses them. Raises ``ConfigurationError`` naming the one that is wrong."""
        return check_parameters(self._parameters())

    def _parameters(self) -> dict[str, Any]:
        """All of them, as they are now. Where a DAG renders to native objects, a text that is no template was rendered
        too: ``"123456789012"`` to a number and ``""`` to None. Such a text counts as it was given."""
        now = {name: getattr(self, name) for name in (*self.template_fields, *self.plain_fields)}
        return (
            {name: value if isinstance(value, str) else self._texts.get(name, value) for name, value in now.items()}
            if self._is_native()
            else now
        )

    def _is_native(self) -> bool:
        own: bool | None = getattr(self, "render_template_as_native_obj", None)  # of Airflow 3.2 on
        return bool(getattr(self.get_dag(), "render_template_as_native_obj", False) if own is None else own)


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection in here. Modules that are imported stay, and they are so many objects that all of Airflow's
    were looked at for 0.2 s meanwhile."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class AigenPlanningOperator(AigenOperator):
    """An operator whose task decides which documents a run has, and what is written of them.

    :param source: S3 prefix or glob (``s3://scans/incoming/**/*.jpg``) of the images. (templated)
    :param document_type: ``<document>/<version>`` of the AIGEN endpoint. (templated)
    :param batch_size: how many documents one commit, and so one Parquet part, has.
    :param partition: Hive partition path such as ``region=north``; ``""`` for none; None for ``dt=`` and the UTC day of
        the run (data interval start, else logical date, else ``run_after``). Not every run has a ``ds``. (templated)
    :param max_documents: take at most so many documents in a run; None for all. (templated)
    :param min_confidence: fields under it, 0 to 1, are flagged ``needs_review``. (templated)
    :param retry_passing_after: how long a dead letter whose failure may pass waits until a run tries it again: a
        timedelta or seconds; twice as long from the second time on.
    :param copy_image: put the image beside its dead-letter record.
    :param fail_on_empty_source: a source without a single document fails the task; otherwise it is a warning.
    :param newest_first: the newest objects stand first in the plan, and are the ones that ``max_documents`` leaves.
    :param manifest: S3 URI of what is read instead of the listing of ``source``: the ``manifest.json`` of an S3
        Inventory (CSV or Parquet), or a list of URIs (``.csv``, ``.jsonl``). ``source`` says which of its objects are
        taken. (templated)
    :param record_schema: fields and types of the table ``records``, such as ``{"total": "decimal"}``; None for the
        built-in schema of the document type, if it has one; ``{}`` for no such table.
    """

    template_fields: Sequence[str] = (
        *AigenOperator.template_fields,
        "source",
        "manifest",
        "document_type",
        "partition",
        "max_documents",
        "min_confidence",
    )
    plain_fields: ClassVar[Sequence[str]] = (
        "batch_size",
        "copy_image",
        "retry_passing_after",
        "fail_on_empty_source",
        "newest_first",
        "record_schema",
    )

    def __init__(
        self,
        *,
        source: str | None = None,
        document_type: str = DEFAULT_DOCUMENT_TYPE,
        batch_size: int = 500,
        partition: str | None = None,
        max_documents: int | str | None = None,
        min_confidence: float | str | None = None,
        retry_passing_after: timedelta | float = DEFAULT_RETRY_PASSING_AFTER_S,
        copy_image: bool = True,
        fail_on_empty_source: bool = False,
        newest_first: bool = False,
        manifest: str | None = None,
        record_schema: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.document_type = document_type
        self.batch_size = batch_size
        self.partition = partition
        self.max_documents = max_documents
        self.min_confidence = min_confidence
        self.retry_passing_after = retry_passing_after
        self.copy_image = copy_image
        self.fail_on_empty_source = fail_on_empty_source
        self.newest_first = newest_first
        self.manifest = manifest
        self.record_schema = record_schema


class AigenCallingOperator(AigenOperator):
    """An operator whose task calls the endpoint.

    :param dead_letter: S3 prefix for what the API refuses. (templated)
    :param aigen_conn_id: the AIGEN connection. (templated)
    :param requests_per_second: how many calls may start in any second; None takes the connection's. (templated)
    :param limit_shared_by: how many tasks share that limit at once. Without Redis each of them takes an equal part of
        it; with Redis it does so only while Redis is lost. (templated)
    :param redis_conn_id: the Redis connection through which all tasks, of any DAG, whose AIGEN connections have the
        same host and API key share the limit; needs the extra ``redis``. (templated)
    :param max_in_flight: how many calls may wait for an answer at once.
    """

    template_fields: Sequence[str] = (
        *AigenOperator.template_fields,
        "dead_letter",
        "aigen_conn_id",
        "requests_per_second",
        "limit_shared_by",
        "redis_conn_id",
    )
    plain_fields: ClassVar[Sequence[str]] = ("max_in_flight",)
    operator_extra_links: Sequence[BaseOperatorLink] = (AigenDeadLettersLink(), AigenOutputLink())

    def __init__(
        self,
        *,
        dead_letter: str,
        aigen_conn_id: str = "aigen_default",
        requests_per_second: float | str | None = None,
        limit_shared_by: int | str = 1,
        redis_conn_id: str | None = None,
        max_in_flight: int = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dead_letter = dead_letter
        self.aigen_conn_id = aigen_conn_id
        self.requests_per_second = requests_per_second
        self.limit_shared_by = limit_shared_by
        self.redis_conn_id = redis_conn_id
        self.max_in_flight = max_in_flight
