# SPDX-License-Identifier: Apache-2.0
"""What systems leave behind is no document. Whatever might be one is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.core.no_documents import is_no_document


def listed(key: str, size: int) -> SourceObject:
    return SourceObject("scans", key, "etag", size, datetime(2026, 11, 22, tzinfo=UTC))


@pytest.mark.parametrize("key", ["in/", "in/2026/11/", "in/x_$folder$", "in/_$folder$", "in/.keep", ".gitkeep"])
def test_what_marks_a_folder_is_a_document_only_with_something_in_it(key):
    assert is_no_document(listed(key, 0))
    assert not is_no_document(listed(key, 1))


@pytest.mark.parametrize(
    "key",
    [
        ".DS_Store",
        "in/.DS_Store",
        "in/._scan.jpg",
        "in/._",
        "in/._a\nb.jpg",
        "in/Thumbs.db",
        "in/THUMBS.DB",
        "in/desktop.ini",
        "in/Desktop.ini",
        "in/_SUCCESS",
        "in/_started_4711",
        "in/_committed_5274914286013518416",
        "in/_committed_vacuum5274914286013518416",
        "in/.scan.jpg.crc",
        "in/~$letter.docx",
        "in/.~lock.letter.odt#",
        "in/__MACOSX/scan.jpg",
        "in/@eaDir/scan.jpg/SYNOPHOTO_THUMB_M.jpg",
        "in/.@__thumb/scan.jpg",
        "in/.AppleDouble/scan.jpg",
        "in/Icon\r",
    ],
)
@pytest.mark.parametrize("size", [0, 6148])
def test_what_systems_leave_behind_is_none_whatever_is_in_it(key, size):
    assert is_no_document(listed(key, size))


@pytest.mark.parametrize(
    "key",
    [
        "in/scan.jpg",
        "in/.scan.jpg",
        "in/_scan.jpg",
        "in/scan._jpg",
        "in/x._/scan.jpg",
        "in/_started_by_me.jpg",
        "in/_committed_",
        "in/my_SUCCESS",
        "in/_SUCCESS.jpg",
        "in/_success",
        "in/Thumbs.db/scan.jpg",
        "in/Thumbs.db.jpg",
        "in/MACOSX/scan.jpg",
        "in/@eaDir",
        "in/x_$folder$.jpg",
        "in/x_$folder$/scan.jpg",
        "in/scan.crc",
        "in/~scan.jpg",
        "in/.gitkeep.jpg",
        "in/Icon",
        "$folder$",
    ],
)
@pytest.mark.parametrize("size", [0, 6148])
def test_what_may_be_a_document_is_one_even_if_it_is_empty(key, size):
    assert not is_no_document(listed(key, size))


@given(
    st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=1),
    st.sampled_from(["", ".jpg", ".pdf"]),
)
def test_plain_names_are_documents(names, extension):
    assert not is_no_document(listed("/".join(names) + extension, 0))
