# SPDX-License-Identifier: Apache-2.0
"""A plan is cut into equal parts that have each document once, and a part survives its way through XCom unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import Plan, PlanBatch, Retake, RunIdentity
from airflow_provider_aigen.core.shards import PlanAddress, Shard, Span, cut, parse_shard, shard_text, whole
from airflow_provider_aigen.core.uris import S3Prefix
from tests.core.planned import SETTINGS, document

RUN = RunIdentity("books", "plan", "one")
ADDRESS = PlanAddress(S3Prefix.parse("state", "s3://lake/vehicle_registration/_aigen/"), RUN.run_key)
TEXT = shard_text(ADDRESS, Shard((Span(0, 12, 3), Span(50, 50, 0, 10)), 6507))


def plan(sizes: list[int], retaken: list[int]) -> Plan:
    return Plan(RUN, len(sizes), sum(sizes), 0, 0, SETTINGS, sizes=tuple(sizes), retaken=tuple(retaken))


def batch(number: int, size: int, retaken: bool = False) -> PlanBatch:
    documents = tuple(document(f"{number}-{place}") for place in range(size))
    retakes = tuple(Retake(one.document_id, 1) for one in documents) if retaken else ()
    return PlanBatch(RUN, number, 0, SETTINGS, documents, retakes)


sizes_strategy = st.lists(st.integers(1, 7), max_size=12)


@given(sizes_strategy, st.data(), st.integers(1, 9), st.integers(1, 7))
def test_shards_have_each_document_once_and_equally_many(sizes, data, shards, batch_size):
    retaken = data.draw(st.lists(st.sampled_from(range(len(sizes))), unique=True) if sizes else st.just([]))
    whole_plan = plan(sizes, retaken)
    parts = cut(whole_plan, sizes, shards, batch_size)
    batches = [batch(number, size) for number, size in enumerate(sizes)]
    found = [[(n, span.of(batches[n])) for span, n in part.batches] for part in parts]
    keys = [one.key for part in found for _, documents in part for one in documents]
    assert sorted(keys) == sorted(one.key for each in batches for one in each.documents)
    assert [part.documents for part in parts] == [sum(len(each) for _, each in part) for part in found]
    counts = [part.documents for part in parts] or [0]
    assert max(counts) - min(counts) <= 1
    assert len(parts) <= shards
    assert len(parts) == 1 or min(counts) >= min(batch_size, max(counts)) or len(parts) == -(-sum(sizes) // batch_size)
    # Letters are divided equally, too; no batch is opened twice by one task.
    letters = [sum(len(each) for n, each in part if n in retaken) for part in found] or [0]
    assert max(letters) - min(letters) <= 1
    assert all(len({n for n, _ in part}) == len(part) for part in found)
    assert all(documents for part in found for _, documents in part)


def test_many_documents_make_as_many_shards_as_are_wanted_and_few_make_few():
    sizes = [500] * 400 + [137]
    assert [part.documents for part in cut(plan(sizes, []), sizes, 8, 500)] == [25018] + [25017] * 7
    assert len(cut(plan([60], []), [60], 8, 500)) == 1
    assert len(cut(plan([500, 1], []), [500, 1], 8, 500)) == 2
    assert cut(plan([], []), [], 8, 500) == []


def test_whole_batches_are_named_by_their_numbers_alone():
    sizes = [500] * 16
    texts = [str(span) for part in cut(plan(sizes, []), sizes, 8, 500) for span in part.spans]
    assert texts == [f"{2 * number}-{2 * number + 1}" for number in range(8)]


def test_one_task_has_the_whole_plan():
    assert whole(plan([4, 4, 1], [])) == Shard((Span(0, 2),), 9)
    assert whole(plan([], [])) == Shard((), 0)


spans = st.builds(
    Span, st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 999), st.none() | st.integers(1, 999)
)
shards_strategy = st.builds(Shard, st.lists(spans, min_size=1, max_size=3).map(tuple), st.integers(1, 10**7))


@given(shards_strategy)
def test_a_shard_comes_back_from_its_text(shard):
    assert parse_shard(shard_text(ADDRESS, shard)) == (ADDRESS, shard)


def test_eight_shards_are_under_a_kilobyte():
    sizes = [500] * 401
    texts = [shard_text(ADDRESS, part) for part in cut(plan(sizes, []), sizes, 8, 500)]
    assert len(repr(texts)) < 1024


@given(st.integers(0, len(TEXT) - 1), st.sampled_from("0123456789abcdef.,-:#/ sz"))
def test_a_shard_that_was_edited_is_refused(place, character):
    edited = TEXT[:place] + character + TEXT[place + 1 :]
    if edited != TEXT:
        with pytest.raises(ConfigurationError, match=r"^plan: "):
            parse_shard(edited)


@pytest.mark.parametrize(
    "text", ["", "s3://lake/books/", ADDRESS.uri, TEXT + "0", TEXT[:-1], TEXT.replace("#1:", "#:")]
)
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ConfigurationError, match=r"^plan: is no shard as AigenOcrPlanOperator returned it"):
        parse_shard(text)


def test_a_shard_of_another_version_is_refused_as_such():
    with pytest.raises(
        ConfigurationError, match="is a shard of format 2, and this airflow-provider-aigen reads format 1"
    ):
        parse_shard(TEXT.replace("#1:", "#2:"))


def test_a_plans_address_comes_back_from_its_uri():
    assert PlanAddress.parse(ADDRESS.uri) == ADDRESS


@pytest.mark.parametrize("uri", ["", "s3://lake/books/", TEXT, "s3://lake/plans/..", f"gs://lake/plans/{RUN.run_key}/"])
def test_what_is_no_plan_is_refused(uri):
    with pytest.raises(ConfigurationError, match=r"^plan: "):
        PlanAddress.parse(uri)


@pytest.mark.parametrize(
    ("shard", "label"),
    [
        (Shard((Span(0, 12, 3),), 6507), "batches 0-12: 6507 documents"),
        (Shard((Span(4, 4, 0, 1),), 1), "batch 4: 1 document"),
        (Shard((Span(0, 1), Span(9, 9)), 12), "batches 0-1, 9: 12 documents"),
    ],
)
def test_a_shard_has_a_name_for_a_person(shard, label):
    assert shard.label == label
