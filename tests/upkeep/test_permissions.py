# SPDX-License-Identifier: Apache-2.0
"""What docs/reference/permissions.md allows a redrive, a rebuild and an erasure is what they call, and no more."""

from __future__ import annotations

import asyncio
import fnmatch
import json
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_aigen.adapters.s3 import obstore_client
from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.core.upkeep.erasure import EraseRequest
from airflow_provider_aigen.core.upkeep.redrive import RedriveRequest
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.pipeline.upkeep import erase as erasing
from airflow_provider_aigen.pipeline.upkeep.rebuild import RebuildRequest
from airflow_provider_aigen.runtime.assembly import PortSettings
from airflow_provider_aigen.runtime.upkeep import erase_documents, rebuild_tables, redrive
from airflow_provider_aigen.simulator import DEFAULT_KEY, Marker
from airflow_provider_aigen.simulator.books import plain_book
from tests.docs.markdown import blocks, plain, table
from tests.docs.test_manual import needed
from tests.docs.world import TYPE, World

PAGE = "docs/reference/permissions.md"
Grant = tuple[str, str]


@pytest.fixture
def calls(empty: World, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The S3 calls of what follows the first run, all of them through boto3."""
    monkeypatch.setattr(obstore_client, "_is_served", lambda *_: False)
    monkeypatch.setattr(erasing, "WRITER_LIVES", timedelta(0))  # the runs have ended
    monkeypatch.setattr(erasing, "_LOOK_S", 0.1)
    once = Marker(status=400, code="1001", times=1)
    always = Marker(status=400, code="can_not_find_vehicle_registration_on_image")
    for number, marker in enumerate((None, None, once, always)):
        empty.put(f"{'abcd'[number]}.jpg", plain_book(number, simulate=marker))
    empty.run("first")
    made: list[dict[str, Any]] = []

    def record(params: dict[str, Any], model: Any, **_: Any) -> None:
        made.append({"operation": model.name, **params})

    empty.client.meta.events.register("before-parameter-build.s3", record)
    return made


def port_settings(world: World, *, calling: bool = False) -> PortSettings:
    endpoint = EndpointConfig(world.served.url, DEFAULT_KEY, TYPE, allow_http=True) if calling else None
    state = f"{world.destination}_aigen/"
    return PortSettings(world.client, world.destination, state, world.dead_letter, None, None, endpoint, 50.0)


def asked(world: World, calls: list[dict[str, Any]]) -> set[Grant]:
    """What S3 asked for, in the words of the page's example."""
    found = set()
    for call in calls:
        for action, resource in needs(call):
            name = resource.replace(f"{world.bucket}-scans", "scans").replace(f":::{world.bucket}", ":::lake")
            name = name.replace("lake/books/", "lake/vehicle_registration/")
            found.add((action, name.replace("lake/dead/", "lake/dead_letter/vehicle_registration/")))
    calls.clear()
    return found


def needs(call: dict[str, Any]) -> set[Grant]:
    bucket = f"arn:aws:s3:::{call['Bucket']}"
    if call["operation"] == "ListObjectVersions":
        return {("s3:ListBucketVersions", bucket)}
    if call["operation"] == "DeleteObject":
        return {("s3:DeleteObjectVersion" if call.get("VersionId") else "s3:DeleteObject", f"{bucket}/{call['Key']}")}
    return needed(call)


def of_a_run() -> set[Grant]:
    [policy] = [json.loads(block.text) for block in blocks(PAGE) if "Statement" in block.text]
    return {
        (action, resource)
        for one in policy["Statement"]
        for action in _listed(one["Action"])
        for resource in _listed(one["Resource"])
    }


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def of(task: str) -> set[Grant]:
    """What the page's table allows it on top of that."""
    return {
        (plain(action), f"arn:aws:s3:::{plain(resource)}")
        for name, action, resource in table(PAGE, "Redrive, rebuild and erase")
        if name == task
    }


def check(found: set[Grant], more: set[Grant]) -> None:
    def used(grant: Grant) -> bool:
        return any(action == grant[0] and fnmatch.fnmatchcase(resource, grant[1]) for action, resource in found)

    allowed = of_a_run() | more
    refused = {
        (action, resource)
        for action, resource in found
        if not any(action == one and fnmatch.fnmatchcase(resource, pattern) for one, pattern in allowed)
    }
    assert refused == set()
    assert {grant for grant in more if not used(grant)} == set(), "what it never calls"


@pytest.mark.parametrize("empty", ["versioned"], indirect=True)
def test_each_task_calls_what_the_page_allows_it(empty: World, calls: list[dict[str, Any]]) -> None:
    world = empty
    identity = RunIdentity("books", "upkeep", "one")
    letters = RedriveRequest(identity, world.destination, world.dead_letter, TYPE, error_codes=("1001",))
    report, _, _ = asyncio.run(
        redrive(letters, port_settings(world, calling=True), PipelineConfig(max_in_flight=2), Stop(), None)
    )
    assert (report.documents, report.extracted) == (1, 1)
    check(asked(world, calls), of("redrive"))

    done = asyncio.run(rebuild_tables(RebuildRequest("0" * 32, world.destination), port_settings(world), Stop()))
    assert done["merged"] > 1
    check(asked(world, calls), of("rebuild that merges parts"))

    erased = (world.ids()["b.jpg"], world.ids()["d.jpg"])
    calls.clear()
    request = EraseRequest(identity, world.destination, world.dead_letter, document_ids=erased, delete_source=True)
    receipt = asyncio.run(erase_documents(request, port_settings(world), Stop()))
    assert (receipt["documents"], receipt["dead_letters"], receipt["sources"]) == (2, 1, 2)
    check(asked(world, calls), of("erase"))
