# SPDX-License-Identifier: Apache-2.0
"""Documents that are erased for good (design §3, Erasure). DAG files import this module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_aigen.links import AigenDeadLettersLink, AigenOutputLink
from airflow_provider_aigen.operators.base import AigenOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink

    from airflow_provider_aigen.runtime.task import Task

__all__ = ["AigenEraseOperator"]


class AigenEraseOperator(AigenOperator):
    """An operator that erases documents: their rows, answers, dead letters and images, and their names in plans and
    commits, in every version of the objects. Only their ``document_id`` stays, in commits and ledger.

    It waits for processes that were at work when it began, and a retry goes on where the try before it stopped. An
    answer that another document shares, because it has the same bytes, stays.

    :param destination: S3 prefix of the tables. (templated)
    :param dead_letter: S3 prefix of the dead letters. (templated)
    :param source_uris: erase all documents that were read under these URIs. (templated)
    :param document_ids: erase these documents; give either this or ``source_uris``. (templated)
    :param delete_source: delete the source objects too, unless something else lies under their keys by now.
    :param kwargs: ``aws_conn_id``, ``state``, ``expected_bucket_owner``, ``sse_kms_key_id``, as with
        ``AigenOcrOperator``; and what every operator takes.

    It returns a receipt: how many documents, commits, plans, answers, dead letters and sources, and when.
    """

    template_fields: Sequence[str] = (*AigenOperator.template_fields, "dead_letter", "source_uris", "document_ids")
    plain_fields: ClassVar[Sequence[str]] = ("delete_source",)
    operator_extra_links: Sequence[BaseOperatorLink] = (AigenDeadLettersLink(), AigenOutputLink())

    def __init__(
        self,
        *,
        destination: str,
        dead_letter: str,
        source_uris: Sequence[str] | str | None = None,
        document_ids: Sequence[str] | str | None = None,
        delete_source: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(destination=destination, **kwargs)
        self.dead_letter = dead_letter
        self.source_uris = source_uris
        self.document_ids = document_ids
        self.delete_source = delete_source
        self.check()

    def work(self, task: Task) -> dict[str, Any]:
        """Erase them."""
        return task.erase()
