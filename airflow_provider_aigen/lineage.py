# SPDX-License-Identifier: Apache-2.0
"""Lineage of a run for Airflow's own collector: the source's prefix in, the two tables out.

Lineage names prefixes and never an object, because a key may hold a number plate. What OpenLineage gets is in
:mod:`~airflow_provider_aigen.openlineage`.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

from airflow_provider_aigen.assets import documents_uri, fields_uri
from airflow_provider_aigen.core.models import CommitEntry
from airflow_provider_aigen.core.uris import Source
from airflow_provider_aigen.ports import NoObserver

__all__ = ["WriteCounter", "collect_hook_lineage", "source_folder"]


class WriteCounter(NoObserver):
    """An observer that counts what this try's commits have written so far, for the statistics of the outputs.

    ``documents`` and ``rows`` are rows of the two tables, ``documents_parts`` and ``fields_parts`` their Parquet files.
    A cleared run writes nothing: its counts are 0, whatever its report says."""

    def __init__(self) -> None:
        self.documents = self.documents_parts = 0
        self.rows = self.fields_parts = 0

    def committed(self, entry: CommitEntry) -> None:
        rows = sum(outcome.field_count for outcome in entry.outcomes)
        self.documents += len(entry.outcomes)
        self.documents_parts += 1
        self.rows += rows
        self.fields_parts += rows > 0  # a commit without rows has no fields part


def collect_hook_lineage(hook: Any, source: str, destination: str) -> None:
    """Give the source's prefix and both tables to Airflow's collector of hook lineage, as ``hook``'s."""
    collector: Any = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
    bucket, folder = source_folder(source)
    collector.add_input_asset(hook, scheme="s3", asset_kwargs={"bucket": bucket, "key": folder})
    for uri in (fields_uri(destination), documents_uri(destination)):
        collector.add_output_asset(hook, uri=uri)


def source_folder(source: str) -> tuple[str, str]:
    """The bucket, and the folder that holds all of the source, without a slash at its end; ``""`` for the whole bucket.

    A source may also be one object, so a last part that looks like a file's name is left out. Raises
    ``ConfigurationError``."""
    listed = Source.parse(source)
    folder, _, last = listed.prefix.rpartition("/")
    if listed.pattern is None and last and "." not in last:
        folder = listed.prefix
    return listed.bucket, folder
