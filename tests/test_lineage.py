# SPDX-License-Identifier: Apache-2.0
"""Lineage names folders and tables, never an object, and counts what this try wrote."""

from __future__ import annotations

import pytest

from airflow_provider_aigen.lineage import Written, source_folder
from tests.kit.metrics import RecordedMetrics


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("s3://scans", ""),
        ("s3://scans/", ""),
        ("s3://scans/in", "in"),
        ("s3://scans/in/", "in"),
        ("s3://scans/in/2026/", "in/2026"),
        ("s3://scans/in/**/*.jpg", "in"),
        ("s3://scans/in/2026-*/[ab]/*.jpg", "in"),
        ("s3://scans/*.jpg", ""),
        ("s3://scans/in/กข1234.jpg", "in"),
        ("s3://scans/กข1234.jpg", ""),
    ],
)
def test_the_folder_that_all_of_a_source_lies_in(source, folder):
    assert source_folder(source) == ("scans", folder)


def test_what_was_written_is_counted_and_handed_on():
    metrics = RecordedMetrics()
    written = Written(metrics)
    for rows, documents in ((20, 3), (0, 2)):
        written.incr("aigen.commits", tags={"document_type": "idcard/v2"})
        written.incr("aigen.rows", rows)
        written.incr("aigen.documents", documents - 1, tags={"outcome": "dead_letter"})
        written.incr("aigen.documents", tags={"outcome": "extracted"})
    written.timing("aigen.call_seconds", 0.5)
    written.gauge("aigen.documents_waiting", 7)
    assert (written.documents, written.documents_parts) == (5, 2)
    assert (written.rows, written.fields_parts) == (20, 1), "a commit without rows has no fields part"
