# SPDX-License-Identifier: Apache-2.0
"""What a run proves before its first paid call: that state, tables and dead letters can all be written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.adapters.tables.parquet import ParquetTables
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.pipeline import Ports, run
from tests.kit.world import SETTINGS, World

DESTINATION = S3Prefix.parse("destination", SETTINGS.destination)


def _ports(world: World, destination: S3Prefix | None) -> Ports:
    """State in another bucket than the tables."""
    return replace(
        world.ports(),
        state=S3StateStore(world.store, S3Prefix.parse("state", "s3://state/books/")),
        tables=ParquetTables(world.store, destination),
    )


@pytest.mark.parametrize("denied", ["books/_aigen_probe", "dead/_aigen_probe", "probe.json"])
def test_a_place_that_cannot_be_written_stops_the_run_before_any_call(denied):
    world = World()
    world.scans(4)

    async def deny(operation: str, key: str) -> None:
        if operation == "put" and key.endswith(denied):
            raise ConfigurationError("s3", "access denied")

    world.store.before = deny
    with pytest.raises(ConfigurationError, match="denied"):
        world.go(run(world.request(), _ports(world, DESTINATION), config=PipelineConfig(), stop=world.stop))
    assert world.ocr.calls == []


def test_the_probe_of_the_tables_lies_where_no_engine_reads():
    world = World()
    world.go(run(world.request(), _ports(world, DESTINATION), config=PipelineConfig(), stop=world.stop))
    probe, state, row = world.store.keys("s3://lake/books/")
    assert (probe, state) == ("s3://lake/books/_aigen_probe", "s3://lake/books/_aigen_state.json")
    assert row.startswith("s3://lake/books/runs/dt=")


def test_where_the_state_lies_inside_the_destination_one_probe_is_enough():
    world = World()
    world.go(run(world.request(), _ports(world, None), config=PipelineConfig(), stop=world.stop))
    assert "s3://lake/books/_aigen_probe" not in world.store.keys("s3://lake/books/")
