# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.state.codec import ANSWER, BATCH, CLAIM, COMMIT, PLAN, SCHEMA, SPEND
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import (
    Claim,
    CommitEntry,
    DocumentOutcome,
    ErrorOrigin,
    FailureKind,
    KeptAnswer,
    Outcome,
    OutputSettings,
    PlanBatch,
    Retake,
    RunIdentity,
    SourceObject,
)
from airflow_provider_aigen.core.quality import EntryStatistics, FieldStatistics
from airflow_provider_aigen.core.spend_records import SpendRecord
from tests.adapters import samples

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
times = st.datetimes(timezones=st.just(UTC))
seconds = st.floats(0, 1e6)
counts = st.integers(0, 10**12)
documents = st.builds(SourceObject, texts, texts, texts, counts, times, st.none() | texts)
runs = st.builds(RunIdentity, texts, texts, texts, st.integers(-1, 1000), texts)
settings = st.builds(
    OutputSettings,
    texts,
    texts,
    texts,
    texts,
    st.none() | st.floats(0, 1),
    copy_image=st.booleans(),
    dead_letter_suffix=texts,
)
outcomes = st.builds(
    DocumentOutcome,
    documents,
    st.sampled_from(Outcome),
    content_sha256=st.none() | texts,
    error_codes=st.lists(texts, max_size=3).map(tuple),
    messages=st.lists(texts, max_size=3).map(tuple),
    error_origin=st.none() | st.sampled_from(ErrorOrigin),
    http_status=st.none() | st.integers(100, 599),
    pages=st.none() | counts,
    failed_pages=st.lists(counts, max_size=3).map(tuple),
    field_count=counts,
    attempts=counts,
    latency_s=st.none() | seconds,
    answer_reused=st.booleans(),
    extracted_at=st.none() | times,
    source_version_id=st.none() | texts,
    passing=st.booleans(),
    last_called_at=st.none() | times,
    rounds=counts,
    all_rounds=counts,
    retakes=st.none() | counts,
)
entries = st.builds(
    CommitEntry,
    counts,
    texts,
    runs,
    counts,
    settings,
    st.lists(outcomes, max_size=3).map(tuple),
    st.none() | texts,
    st.none() | times,
    st.none()
    | st.builds(
        EntryStatistics,
        counts,
        st.lists(st.builds(FieldStatistics, texts, counts, counts, seconds), max_size=3).map(tuple),
    ),
)
spend_records = st.builds(
    SpendRecord,
    runs,
    texts,
    counts,
    times,
    times,
    counts,
    counts,
    counts,
    counts,
    seconds,
    st.none() | seconds,
    texts,
    last=st.booleans(),
)
batches = st.builds(
    PlanBatch,
    runs,
    counts,
    counts,
    settings,
    st.lists(documents, max_size=3).map(tuple),
    st.lists(st.builds(Retake, texts, counts, counts, counts), max_size=3).map(tuple),
    st.none() | texts,
)
claims = st.builds(Claim, texts, texts, texts, times, st.booleans(), counts, st.none() | times)
answers = st.builds(
    KeptAnswer,
    texts,
    texts,
    st.none() | st.integers(100, 599),
    st.binary(max_size=60) | texts.map(str.encode),
    times,
    counts,
    seconds,
    st.none() | st.sampled_from(FailureKind),
)


@given(answers)
def test_an_answer_comes_back_as_it_was(answer):
    assert ANSWER.from_gzip(ANSWER.to_gzip(answer)) == answer


@given(claims)
def test_a_claim_comes_back_as_it_was(claim):
    assert CLAIM.from_gzip(CLAIM.to_gzip(claim)) == claim


@given(spend_records)
def test_a_spend_record_comes_back_as_it_was(record):
    assert SPEND.read_json(SPEND.to_json(record)) == record


@given(batches)
def test_a_batch_comes_back_as_it_was(batch):
    assert BATCH.from_gzip(BATCH.to_gzip(batch)) == batch


@given(entries)
def test_a_commit_comes_back_as_it_was(entry):
    read = COMMIT.from_gzip(COMMIT.to_gzip(entry))
    assert read == entry
    assert COMMIT.to_gzip(read) == COMMIT.to_gzip(entry)


def test_what_comes_back_has_the_models_types():
    read = COMMIT.from_gzip(COMMIT.to_gzip(samples.entry(samples.partial(), samples.refused(2))))
    outcome = read.outcomes[0]
    assert type(read.outcomes) is tuple
    assert type(outcome.failed_pages) is tuple
    assert outcome.outcome is Outcome.PARTIAL
    assert outcome.error_origin is ErrorOrigin.API
    assert outcome.document.last_modified == samples.SEEN
    assert outcome.document.last_modified.utcoffset() == samples.SEEN.utcoffset()


def test_a_person_can_read_it():
    shown = json.loads(gzip.decompress(ANSWER.to_gzip(samples.answer('{"value": "กข 1"}'.encode()))))
    assert shown["schema"] == SCHEMA
    assert list(shown) == sorted(shown)
    assert shown["body"] == '{"value": "กข 1"}'
    assert "body_base64" not in shown
    shown = json.loads(gzip.decompress(ANSWER.to_gzip(samples.answer(b"\xff\xfe"))))
    assert shown["body_base64"] == "//4="
    assert "body" not in shown
    text = gzip.decompress(COMMIT.to_gzip(samples.entry(samples.extracted()))).decode()
    assert "กข 1.jpg" in text
    assert samples.document().document_id in text
    (listed,) = json.loads(gzip.decompress(BATCH.to_gzip(samples.batch(documents=1))))["documents"]
    assert listed["document_id"] == samples.document(0).document_id


def test_equal_values_give_equal_bytes_in_any_process():
    program = (
        "import sys; from tests.adapters import samples;"
        "from airflow_provider_aigen.adapters.state.codec import COMMIT;"
        "sys.stdout.buffer.write(COMMIT.to_gzip(samples.entry(samples.partial(), samples.refused(2))))"
    )
    root = Path(__file__).resolve().parents[3]
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] == COMMIT.to_gzip(samples.entry(samples.partial(), samples.refused(2)))
    assert runs[0][4:8] == bytes(4)  # gzip's time


def stored(value: object) -> bytes:
    return gzip.compress(json.dumps(value).encode(), mtime=0)


def a_plan(**changes: object) -> dict[str, object]:
    return json.loads(PLAN.to_json(samples.plan())) | changes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not gzip",
        PLAN.to_gzip(samples.plan())[:-9],
        gzip.compress(b"{", mtime=0),
        gzip.compress(b"\xff", mtime=0),
        stored([]),
        stored(None),
        stored({}),
        stored(a_plan(schema=0)),
        stored(a_plan(schema="1")),
        stored(a_plan(schema=None)),
        stored(a_plan(documents="many กข 1234")),
        stored({key: value for key, value in a_plan().items() if key != "run"}),
    ],
)
def test_what_is_damaged_is_named_by_its_kind_alone(data):
    with pytest.raises(ConfigurationError, match=r"^state: a plan cannot be read") as raised:
        PLAN.from_gzip(data)
    assert "1234" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize("body", [{"body": 1}, {"body_base64": "*"}, {"body_base64": None}, {}])
def test_a_damaged_body(body):
    fields = json.loads(ANSWER.to_json(samples.answer()))
    del fields["body"]
    with pytest.raises(ConfigurationError, match="a kept answer cannot be read"):
        ANSWER.from_gzip(stored(fields | body))


def test_a_newer_schema_asks_for_an_upgrade():
    with pytest.raises(ConfigurationError, match=r"newer airflow-provider-aigen \(schema 3.*upgrade") as raised:
        PLAN.from_gzip(stored(a_plan(schema=3, documents="of another shape")))
    assert raised.value.parameter == "state"


def test_what_a_later_version_adds_is_ignored():
    assert PLAN.from_gzip(stored(a_plan(added="something"))) == samples.plan()


def test_what_version_0_1_wrote_is_read():
    """Schema 1: a claim ended at a time of its writer's clock, and nothing had the state's id."""
    added = {"letters", "state_id"}
    plan = {key: value for key, value in a_plan(schema=1).items() if key not in added}
    assert PLAN.from_gzip(stored(plan)) == samples.plan()
    claim = {
        "schema": 1,
        "content_sha256": "ab" * 32,
        "document_type": samples.TYPE,
        "writer_id": "old",
        "claimed_at": "2026-11-22T07:00:00Z",
        "expires_at": "2026-11-22T07:03:00Z",
        "suspect": True,
    }
    assert CLAIM.from_gzip(stored(claim)) == Claim(
        "ab" * 32, samples.TYPE, "old", datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
    )
