# SPDX-License-Identifier: Apache-2.0
"""What a reader's DAG is scheduled on, and what it learns from the events that started it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.assets import (
    documents_asset,
    documents_uri,
    fields_asset,
    fields_uri,
    triggering_partitions,
)
from airflow_provider_aigen.core.errors import ConfigurationError

segments = st.text(
    st.characters(blacklist_characters="/", blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=12
).filter(lambda text: text == text.strip() and text not in (".", ".."))


@pytest.mark.parametrize("destination", ["s3://lake/books", "s3://lake/books/"])
def test_a_table_is_one_asset_however_its_destination_is_written(destination):
    assert fields_asset(destination) == fields_asset("s3://lake/books/")
    assert (fields_asset(destination).uri, documents_asset(destination).uri) == (
        "s3://lake/books/fields",
        "s3://lake/books/documents",
    )


def test_the_whole_bucket_is_a_destination_too():
    assert fields_asset("s3://lake").uri == "s3://lake/fields"


@given(st.lists(segments, min_size=1, max_size=4))
def test_airflow_changes_nothing_in_the_uri_and_it_is_the_tables_place(folders):
    prefix = "/".join(folders)
    uri = fields_uri(f"s3://lake/{prefix}/")
    asset = fields_asset(f"s3://lake/{prefix}/")
    assert asset.uri == uri == getattr(asset, "name", uri)
    assert uri.isascii()
    assert unquote(urlsplit(uri).path) == f"/{prefix}/fields"


@pytest.mark.parametrize("destination", ["lake/books", "{{ var.value.lake }}", "", "https://lake/books"])
@pytest.mark.parametrize("make", [fields_asset, documents_asset, fields_uri, documents_uri])
def test_what_is_no_s3_prefix_is_refused(make, destination):
    with pytest.raises(ConfigurationError, match="destination"):
        make(destination)


# --- which partitions ---------------------------------------------------------------------------------------------


def _event(**extra: Any) -> SimpleNamespace:
    return SimpleNamespace(extra=extra)


def test_partitions_of_all_events_sorted_and_once():
    days = [f"dt=2026-11-{day}" for day in range(10, 30)]
    events = [_event(partitions=",".join(reversed(days[7:]))), *(_event(partitions=day) for day in days[:9])]
    found = {"fields": events, "alias": events[:3]}
    assert triggering_partitions({"triggering_asset_events": found}) == days
    assert triggering_partitions({"triggering_dataset_events": found}) == days


def test_no_partition_is_one_as_well():
    assert triggering_partitions({"triggering_asset_events": {"fields": [_event(partitions="")]}}) == [""]


def test_events_of_version_0_1_name_one_partition():
    events = [_event(partition="dt=2026-11-22"), _event(partitions="dt=2026-11-23")]
    assert triggering_partitions({"triggering_asset_events": {"fields": events}}) == ["dt=2026-11-22", "dt=2026-11-23"]


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"triggering_asset_events": None},
        {"triggering_asset_events": {}},
        {"triggering_asset_events": {"fields": [SimpleNamespace(extra=None), _event(), _event(partitions=7)]}},
    ],
)
def test_a_run_that_no_event_of_the_operator_started_has_none(context):
    assert triggering_partitions(context) == []
