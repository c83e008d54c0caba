# SPDX-License-Identifier: Apache-2.0
"""A listing becomes batches in its own order: folders, foreign keys and what is taken are left out and counted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_aigen.core.models import Plan, RunIdentity, SourceObject
from airflow_provider_aigen.core.planning import BatchBuilder, PlanRequest, is_folder
from tests.core.planned import SETTINGS

RUN = RunIdentity("books", "ocr", "one")


def listed(key: str, size: int = 10) -> SourceObject:
    return SourceObject("scans", key, "etag", size, datetime(2026, 11, 22, tzinfo=UTC))


def builder(*, max_documents: int | None = None, **state: Any) -> BatchBuilder:
    request = PlanRequest(RUN, SETTINGS, "scans", "in/", lambda key: key.startswith("in/"), 2, max_documents)
    return BatchBuilder(request, **{"as_of": 7, **state})


def free(document_id: str) -> bool:
    return False


@pytest.mark.parametrize(("key", "size", "folder"), [("in/", 0, True), ("in/", 1, False), ("in/a", 0, False)])
def test_a_folder_is_empty_and_ends_with_a_slash(key, size, folder):
    assert is_folder(listed(key, size)) is folder


def test_batches_hold_the_listing_in_its_order():
    build = builder()
    objects = [listed(f"in/{name}") for name in "edcba"]
    batches = [build.offer(one, free) for one in objects] + [build.last()]
    full = [batch for batch in batches if batch]
    assert [batch.documents for batch in full] == [tuple(objects[:2]), tuple(objects[2:4]), tuple(objects[4:])]
    assert [(batch.run, batch.number, batch.as_of, batch.settings) for batch in full] == [
        (RUN, number, 7, SETTINGS) for number in range(3)
    ]
    assert build.last() is None
    assert build.plan() == Plan(RUN, batches=3, documents=5, as_of=7, already_done=0, folders=0, settings=SETTINGS)


def test_what_is_left_out_is_counted_by_its_reason():
    build = builder()
    taken = {listed("in/a").document_id, listed("in/b").document_id}.__contains__
    for key, size in [("in/a", 1), ("out/c", 1), ("in/x/", 0), ("in/y/", 0), ("in/z/", 0), ("in/b", 1), ("in/d", 1)]:
        assert build.offer(listed(key, size), taken) is None
    batch = build.last()
    assert batch is not None
    assert batch.documents == (listed("in/d", 1),)
    plan = build.plan()
    assert (plan.documents, plan.already_done, plan.folders) == (1, 2, 3)


def test_a_builder_goes_on_after_the_batches_of_an_earlier_try():
    build = builder(number=3, documents=6, left_out=-6, folders=2)
    assert build.offer(listed("in/a"), free) is None
    batch = build.last()
    assert batch is not None
    assert batch.number == 3
    plan = build.plan()
    assert (plan.batches, plan.documents, plan.already_done, plan.folders) == (4, 7, 0, 2)


def test_no_more_than_so_many_documents():
    build = builder(max_documents=3)
    full = []
    for name in "abcde":
        full.append(build.full())
        build.offer(listed(f"in/{name}"), free)
    assert full == [False, False, False, True, True]
    batch = build.last()
    assert batch is not None
    assert [document.key for document in batch.documents] == ["in/c"]
    assert build.full()
    assert build.plan().documents == 3


def test_without_a_maximum_it_is_never_full():
    assert not builder(documents=10**9).full()


def test_an_earlier_try_counts_towards_the_maximum():
    assert builder(max_documents=6, documents=6).full()
    assert not builder(max_documents=6, documents=5).full()
