# SPDX-License-Identifier: Apache-2.0
"""Whole tasks on a store that is odd (tests/adapters/s3/test_odd_stores.py has each oddity by itself)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.kit.servers.hostile import Exchange
from tests.kit.servers.odd_s3 import Answer, OddS3, odd_s3
from tests.scans import scan


@pytest.fixture
def odd(s3_server, lake, connections) -> Iterator[OddS3]:
    for number in range(6):
        lake.put(f"scans/in/{number} & + ก.jpg", scan({"color": f"สี {number}"}))
    lake.put("scans/in/bad.jpg", scan(status=400, code="1001"))
    with odd_s3(s3_server) as server:
        connections.aws(server.s3)
        yield server


def test_a_task_on_a_store_of_many_oddities(odd, execute, lake, simulator):
    """Weak ETags, chunks, listings without IsTruncated, Size or a date, 304 for 412, no copies."""

    def no_copies(exchange: Exchange, headers: dict[str, str]) -> Answer | None:
        return Answer(501, {}, b"") if "x-amz-copy-source" in headers else None

    def change(exchange: Exchange, answer: Answer) -> Answer:
        if odd.is_listing(exchange):
            body = re.sub(rb"<(IsTruncated|Size|LastModified)>.*?</\1>", b"", answer.body)
            return replace(answer, body=body, chunked=True)
        if answer.status == 412:
            return replace(answer, status=304)
        if exchange.method == "GET" and "etag" in answer.headers:
            return replace(answer.having(etag=f"W/{answer.headers['etag']}"), chunked=True)
        return answer

    odd.change_request, odd.change_answer = no_copies, change
    first = execute("one")
    assert (first["documents"], first["extracted"], first["dead_letter"], first["gone"]) == (7, 6, 1, 0)
    again = execute("two")
    assert (again["documents"], simulator.stats()["calls"]) == (0, 7)
    assert sorted(key.rpartition(".")[2] for key in lake.keys("lake/dead/error_code=1001/")) == ["jpg", "json"]


def test_case_24_a_source_whose_listing_has_other_etags(odd, execute, lake, simulator):
    """The state lies elsewhere, so that the probe sees nothing of it."""

    def change(exchange: Exchange, answer: Answer) -> Answer:
        if odd.is_listing(exchange) and lake.bucket("scans") in exchange.target:
            return replace(answer, body=re.sub(rb"<ETag>(&[^;]+;|\")?", rb"<ETag>\1f00", answer.body))
        return answer

    odd.change_answer = change
    for run_id in ("one", "two"):
        with pytest.raises(AirflowFailException, match="refuses to read an object with the ETag that its listing"):
            execute(run_id)
    assert simulator.stats()["calls"] == 0
    assert lake.keys("lake/books/documents/") == [], "nothing is gone"
    odd.change_answer = lambda _, answer: answer
    assert execute("three")["extracted"] == 6
