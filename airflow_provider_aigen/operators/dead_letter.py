# SPDX-License-Identifier: Apache-2.0
"""Dead letters that are tried again (design §3, Retake). DAG files import this module."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aigen.core.defaults import DEFAULT_DOCUMENT_TYPE
from airflow_provider_aigen.links import AigenDeadLettersLink, AigenOutputLink, AigenReportLink
from airflow_provider_aigen.operators.base import AigenCallingOperator
from airflow_provider_aigen.runtime import outlets

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink

    from airflow_provider_aigen.runtime.task import Task

__all__ = ["AigenDeadLetterRedriveOperator"]


class AigenDeadLetterRedriveOperator(AigenCallingOperator):
    """An operator that sends dead letters to the endpoint once more. Each of them is a call, and paid.

    It reads the source, or the image beside the letter where the source is gone. What succeeds gets its rows, in the
    partition of the letter, and leaves the dead letters; what fails stays. Of a partial document the whole file is
    sent, and only the pages that had failed are taken. Two redrives at once pay once.

    :param destination: S3 prefix of the tables. (templated)
    :param dead_letter: S3 prefix of the dead letters. (templated)
    :param error_codes: which letters, by their codes, as the dead-letter prefix names them; None for all. (templated)
    :param older_than: only letters that are older: a timedelta or seconds; None for all. (templated)
    :param max_documents: at most so many of them, the oldest first; None for all. (templated)
    :param max_spend: the most that the run may spend, as with ``AigenOcrOperator``. (templated)
    :param preview: call nothing; return how many letters there are, by code, and what they would cost.
    :param document_type: ``<document>/<version>`` of the letters. (templated)
    :param kwargs: ``aigen_conn_id``, ``aws_conn_id``, ``requests_per_second``, ``limit_shared_by``, ``redis_conn_id``,
        ``max_in_flight``, ``state``, ``expected_bucket_owner``, ``sse_kms_key_id``, as with ``AigenOcrOperator``; and
        what every operator takes.

    It returns what ``AigenOcrOperator`` returns, and with ``preview``
    ``{"documents": …, "error_codes": {…}, "cost": …, "currency": …}``.
    """

    template_fields: Sequence[str] = (
        *AigenCallingOperator.template_fields,
        "error_codes",
        "older_than",
        "max_documents",
        "max_spend",
        "document_type",
    )
    plain_fields: ClassVar[Sequence[str]] = (*AigenCallingOperator.plain_fields, "preview")
    operator_extra_links: Sequence[BaseOperatorLink] = (AigenReportLink(), AigenDeadLettersLink(), AigenOutputLink())

    def __init__(
        self,
        *,
        destination: str,
        dead_letter: str,
        error_codes: Sequence[str] | str | None = None,
        older_than: timedelta | float | str | None = None,
        max_documents: int | str | None = None,
        max_spend: float | str | None = None,
        preview: bool = False,
        document_type: str = DEFAULT_DOCUMENT_TYPE,
        **kwargs: Any,
    ) -> None:
        super().__init__(destination=destination, dead_letter=dead_letter, **kwargs)
        self.error_codes = error_codes
        self.older_than = older_than
        self.max_documents = max_documents
        self.max_spend = max_spend
        self.preview = preview
        self.document_type = document_type
        self.check()
        name = outlets.alias_name(self.dag_id, self.task_id)
        self.outlets = outlets.with_alias(self.outlets, name, destination)

    def work(self, task: Task) -> dict[str, Any]:
        """Try them again, or say what that would be."""
        return task.redrive()
