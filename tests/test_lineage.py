# SPDX-License-Identifier: Apache-2.0
"""Lineage names folders and tables, never an object, and counts what this try wrote."""

from __future__ import annotations

import pytest

from airflow_provider_aigen.lineage import WriteCounter, source_folder
from tests.adapters import samples


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


def test_what_was_written_is_counted():
    written = WriteCounter()
    written.committed(samples.entry(samples.extracted(1, rows=12), samples.refused(2), samples.extracted(3, rows=8)))
    written.committed(samples.entry(samples.refused(4), samples.refused(5)))
    assert (written.documents, written.documents_parts) == (5, 2)
    assert (written.rows, written.fields_parts) == (20, 1), "a commit without rows has no fields part"
