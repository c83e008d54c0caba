# SPDX-License-Identifier: Apache-2.0
"""Every row of the failure table, end to end: the real client, limiter, clock, state, tables and dead letters between
the simulator and an S3 in memory. What a document or an endpoint does, what that costs, and where it ends.

``tests/core/test_failure_table.py`` has the same rows decision by decision; the rows about S3's own failures are its
adapter's, and ``test_refused.py``'s; bad certificates, and answers that the simulator is too honest for, are in
``test_hostile_endpoint.py``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.adapters.ledger import DiskLedger
from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from airflow_provider_aigen.adapters.tables.parquet import ParquetTables
from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig, RetryConfig
from airflow_provider_aigen.core.errors import (
    AccountError,
    AuthenticationError,
    ConfigurationError,
    ContractError,
    PermanentError,
    ServiceUnavailableError,
    TransientError,
)
from airflow_provider_aigen.core.models import OutputSettings, RunIdentity, RunReport
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.pipeline import Stop, run
from airflow_provider_aigen.simulator import DEFAULT_KEY, RunningSimulator
from tests.kit.store import Buckets, MemoryStore
from tests.kit.world import ports_over
from tests.scans import scan
from tests.waiting import until

SETTINGS = OutputSettings("vehicle-registration-book/v2", "s3://lake/books/", "s3://lake/dead/", "")
HEALTHY = 5


class QuickClock(SystemClock):
    """Fifty seconds in one: an open breaker waits for half a minute and more."""

    def monotonic(self) -> float:
        return super().monotonic() * 50

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 50)


def quick_now() -> datetime:
    """The store's clock, as quick as the process's."""
    return datetime(2026, 11, 1, tzinfo=UTC) + timedelta(seconds=QuickClock().monotonic())


@dataclass
class Bench:
    """Some healthy documents, and whatever else a test puts beside them."""

    simulator: RunningSimulator
    store: MemoryStore
    key: str = DEFAULT_KEY
    document_type: str = SETTINGS.document_type
    timeout_s: float = 10.0
    max_response_bytes: int = 4096

    def scan(self, name: str, **marker: Any) -> bytes:
        image = scan({"color": f"สี {name}"}, **marker)
        self.store.write(f"s3://scans/in/{name}.jpg", image)
        return image

    def healthy(self) -> None:
        for number in range(HEALTHY):
            self.scan(f"healthy-{number}")

    def run(self) -> RunReport:
        return asyncio.run(self._run())

    async def _run(self) -> RunReport:
        endpoint = EndpointConfig(
            self.simulator.url,
            self.key,
            document_type=self.document_type,
            timeout_s=self.timeout_s,
            allow_http=True,
            max_response_bytes=self.max_response_bytes,
        )
        clock = QuickClock()
        limiter = LocalRateLimiter(10.0, clock)
        config = PipelineConfig(max_in_flight=2, retry=RetryConfig())
        with DiskLedger() as planned, DiskLedger() as own, DiskLedger() as others:
            ledgers = [others, own, planned]
            async with HttpOcrClient(endpoint, max_in_flight=2) as client:
                ports = ports_over(
                    self.store,
                    SETTINGS,
                    ocr=client,
                    limiter=limiter,
                    clock=clock,
                    tables=ParquetTables(self.store),
                    new_ledger=ledgers.pop,
                    writer_id="writer",
                )
                request = PlanRequest(
                    run=RunIdentity("books", "ocr", "one"),
                    settings=SETTINGS,
                    bucket="scans",
                    prefix="in/",
                    matches=lambda key: True,
                    batch_size=100,
                )
                report, _ = await run(request, ports, config=config, stop=Stop())
                return report

    def calls(self, image: bytes | None = None) -> int:
        """That the endpoint saw, of these bytes or of all. One that its sender gave up ends a moment later there."""
        until("every call has ended", lambda: not self.simulator.stats()["in_flight"], limit_s=60, pause_s=0.01)
        journal = self.simulator.journal()
        wanted = image and hashlib.sha256(image).hexdigest()
        return sum(call["sha256"] == wanted for call in journal) if image else len(journal)

    def letters(self) -> dict[str, dict[str, Any]]:
        """The dead letters' records by the folder they lie in; each has its image beside it."""
        keys = self.store.keys("s3://lake/dead/error_code=")
        records = [key for key in keys if key.endswith(".json")]
        assert sorted(key.removesuffix(".json") + ".jpg" for key in records) == [k for k in keys if k not in records]
        return {key.split("/")[4]: json.loads(self.store.read(key)) for key in records}


@pytest.fixture
def bench(simulator: RunningSimulator) -> Bench:
    return Bench(simulator, MemoryStore(Buckets(quick_now)))


def _http(status: int, body: Any = None, **more: Any) -> dict[str, Any]:
    """A marker for an answer of this status whose body is no answer of the vendor's."""
    return {"status": status, "body": {} if body is None else body, **more}


CREDIT = {"status": "error", "error": [{"object": "error", "code": "insufficient_credit", "message": None}]}
# As the endpoint itself refuses.
SPOKEN = {"status": "error", "error": [], "data": []}
NOTHING = {"status": "success", "error": [], "data": []}


# --- the document's own end ---------------------------------------------------------------------------------------

ENDS = [
    # what the endpoint says of the document, each time: its code, calls
    pytest.param({"status": 200, "body": NOTHING}, "no_content", 1, id="200 without a page"),
    pytest.param({"status": 206, "code": "partial_content", "failed_pages": (1,)}, "no_content", 1, id="206 without"),
    pytest.param({"status": 400, "code": "1001"}, "1001", 1, id="1001"),
    pytest.param({"status": 400, "code": "1002"}, "1002", 1, id="1002"),
    pytest.param({"status": 400, "code": "1003"}, "1003", 1, id="1003"),
    pytest.param(
        {"status": 400, "code": "can_not_find_vehicle_registration_on_image"},
        "can_not_find_vehicle_registration_on_image",
        1,
        id="not found",
    ),
    pytest.param({"status": 413, "code": "20000"}, "20000", 1, id="413"),
    pytest.param({"status": 422, "code": "20002"}, "20002", 1, id="422"),
    pytest.param({"page_error": True}, "internal_server_error", 3, id="internal_server_error"),
    pytest.param({"status": 400, "code": "brand_new"}, "brand_new", 1, id="unknown code"),
    pytest.param({"fault": "html"}, "malformed_response", 3, id="not JSON"),
    pytest.param({"fault": "empty"}, "malformed_response", 3, id="empty"),
    pytest.param({"fault": "truncated_json"}, "malformed_response", 3, id="JSON cut off"),
    pytest.param({"fault": "not_an_object"}, "malformed_response", 3, id="not an object"),
    pytest.param(_http(200, {"data": ["x" * 5000]}), "malformed_response", 3, id="too large"),
    pytest.param(_http(408), "service_error", 3, id="408"),
    pytest.param({"fault": "500"}, "service_error", 3, id="500"),
    pytest.param({"fault": "502"}, "service_error", 3, id="502"),
    pytest.param({"fault": "503"}, "service_error", 3, id="503"),
    pytest.param({"fault": "504"}, "service_error", 3, id="504"),
    pytest.param({"fault": "reset"}, "service_error", 3, id="reset"),
    pytest.param({"fault": "close"}, "service_error", 3, id="closed"),
    pytest.param({"fault": "cut"}, "service_error", 3, id="cut off"),
    pytest.param(_http(403, "<html>firewall</html>"), "access_refused", 3, id="403 of a firewall"),
    pytest.param(_http(401, "<html>proxy</html>"), "access_refused", 3, id="401 of a proxy"),
    pytest.param(_http(413, "<html>gateway</html>"), "http_413", 3, id="413 of a gateway"),
    pytest.param({"status": 400, "code": "no_id_card"}, "no_id_card", 1, id="no_… on a 400"),
]


@pytest.mark.parametrize(("marker", "code", "calls"), ENDS)
def test_a_document_alone_ends_in_a_dead_letter(bench, marker, code, calls):
    bench.healthy()
    image = bench.scan("fever", **marker)
    report = bench.run()
    assert (report.extracted, report.dead_letter, report.error_codes) == (HEALTHY, 1, {code: 1})
    assert bench.calls(image) == calls
    (record,) = bench.letters().values()
    assert list(bench.letters()) == [f"error_code={code}"]
    assert (record["error_code"], record["attempts"], record["passing"]) == (code, calls, calls > 1)
    assert report.passing == ({code: 1} if calls > 1 else {})
    unpaid = marker.get("fault") == "503" or marker.get("status") in (401, 403)
    assert report.billed_retries == (0 if unpaid else calls - 1)
    assert report.paid_calls == HEALTHY + (0 if unpaid else calls)


def test_a_read_that_takes_too_long_is_the_same(bench):
    bench.timeout_s = 2.0  # the healthy ones have to be quicker, on any machine
    bench.healthy()
    image = bench.scan("fever", fault="hang")
    report = bench.run()
    assert (report.extracted, report.error_codes, bench.calls(image)) == (HEALTHY, {"service_error": 1}, 3)


def test_the_later_form_of_a_broken_page(bench):
    bench.simulator.control(codes="later")
    bench.healthy()
    image = bench.scan("ill", page_error=True)
    report = bench.run()
    assert (report.error_codes, bench.calls(image)) == ({"400": 1}, 3)


def test_some_pages_become_rows_and_the_failed_ones_a_dead_letter_that_names_them(bench):
    bench.healthy()
    image = bench.scan("ill", status=206, code="1003", pages=3, failed_pages=(2,))
    report = bench.run()
    assert (report.extracted, report.partial, report.dead_letter) == (HEALTHY, 1, 0)
    assert report.rows == HEALTHY + 2
    assert bench.calls(image) == 1
    assert bench.letters()["error_code=1003"]["failed_pages"] == [2]


@pytest.mark.parametrize(
    ("marker", "calls"),
    [
        pytest.param({"fault": "500"}, 2, id="500"),
        pytest.param({"fault": "503"}, 2, id="503"),
        pytest.param({"fault": "reset"}, 2, id="reset"),
        pytest.param({"fault": "html"}, 2, id="not JSON"),
        pytest.param({"page_error": True}, 2, id="page error"),
        pytest.param(_http(429, headers={"Retry-After": "0"}), 2, id="429 with Retry-After"),
        pytest.param(_http(503, headers={"Retry-After": "0"}), 2, id="503 with Retry-After"),
        pytest.param(_http(429), 2, id="429 without"),
    ],
)
def test_what_passes_is_extracted(bench, marker, calls):
    bench.healthy()
    image = bench.scan("ill", times=1, **marker)
    report = bench.run()
    assert (report.extracted, report.error_codes) == (HEALTHY + 1, {})
    assert bench.calls(image) == calls
    assert bench.letters() == {}


# --- stop ---------------------------------------------------------------------------------------------------------


def _stopped(bench: Bench, kind: type[Exception]) -> Any:
    """The run's error; whatever stops it dead-letters nothing."""
    with pytest.raises(kind) as raised:
        bench.run()
    assert type(raised.value) is kind
    assert bench.letters() == {}
    assert not bench.store.keys("s3://lake/books/documents/")
    return raised.value


@pytest.mark.parametrize(
    "marker",
    [
        pytest.param(_http(401, SPOKEN), id="401"),
        pytest.param(_http(403, SPOKEN), id="403"),
        pytest.param(_http(404), id="404"),
        pytest.param(_http(405), id="405"),
        pytest.param(_http(302, headers={"Location": "http://127.0.0.1:9/"}), id="redirect"),
    ],
)
def test_what_no_retry_helps_stops_at_the_first_call(bench, marker):
    image = bench.scan("ill", **marker)
    error = _stopped(bench, AuthenticationError)
    assert isinstance(error, PermanentError)
    assert str(marker["status"]) in str(error)
    assert bench.calls(image) == 1


def test_429_without_retry_after_stops_after_two_pauses_and_names_both_reasons(bench):
    image = bench.scan("ill", **_http(429))
    error = _stopped(bench, AccountError)
    assert isinstance(error, PermanentError)
    assert "credit" in str(error)
    assert "requests_per_second" in str(error)
    assert bench.calls(image) == 3


@pytest.mark.parametrize("marker", [_http(402), _http(403, CREDIT), _http(429, CREDIT)], ids=["402", "403", "429"])
def test_an_account_without_credit_stops_at_the_first_call(bench, marker):
    image = bench.scan("ill", **marker)
    assert "credit" in str(_stopped(bench, AccountError))
    assert bench.calls(image) == 1


def test_access_that_is_refused_to_all_in_foreign_words_is_about_the_key(bench):
    for number in range(12):
        bench.scan(f"{number:02d}", **_http(403))
    assert isinstance(_stopped(bench, AuthenticationError), PermanentError)
    assert bench.calls() <= 12


def test_a_gateway_that_takes_no_large_image_stops_and_is_named_by_sizes(bench):
    bench.healthy()
    for number in range(6):
        bench.scan(f"large-{number}", **_http(413))
    with pytest.raises(ContractError, match=r"HTTP 413.*[0-9,]+ bytes"):
        bench.run()
    assert bench.letters() == {}


@pytest.mark.parametrize("status", [429, 503])
def test_more_patience_than_a_document_has_stops_and_says_how_much(bench, status):
    image = bench.scan("ill", **_http(status, headers={"Retry-After": "1800"}))
    error = _stopped(bench, ServiceUnavailableError)
    assert isinstance(error, TransientError)
    assert error.retry_after_s == 1800
    assert bench.calls(image) == 1


@pytest.mark.parametrize("fault", ["500", "503", "reset"])
def test_an_outage_stops_and_the_next_try_extracts_all(bench, fault):
    bench.simulator.control(outage=True, outage_fault=fault)
    for number in range(15):
        bench.scan(str(number))
    assert isinstance(_stopped(bench, ServiceUnavailableError), TransientError)
    assert bench.calls() < 15 * 6, "the breaker opened"
    bench.simulator.control(outage=False)
    report = bench.run()
    assert (report.extracted, report.dead_letter) == (15, 0)


def test_an_endpoint_that_cannot_be_reached_stops_without_a_call(bench):
    bench.healthy()
    bench.simulator.stop()
    try:
        assert isinstance(_stopped(bench, ServiceUnavailableError), TransientError)
    finally:
        bench.simulator.start()
    assert bench.calls() == 0


def test_twenty_unknown_codes_in_a_row_stop_and_are_kept(bench):
    for number in range(30):
        bench.scan(f"{number:02d}", status=400, code=f"new-{number}")
    with pytest.raises(ContractError) as raised:
        bench.run()
    assert isinstance(raised.value, PermanentError)
    assert "new-" not in str(raised.value)
    assert 20 <= bench.calls() <= 22, "those in flight finish"
    assert len(bench.store.keys("s3://lake/books/_aigen/answers/")) == bench.calls()


# --- S3 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replaced", [None, b"another"])
def test_a_source_that_is_gone_or_changed_is_gone(bench, replaced):
    bench.healthy()
    image = bench.scan("ill")

    async def meanwhile(operation: str, key: str) -> None:
        if operation == "put" and key.endswith("plan.json.gz"):
            bench.store.remove("s3://scans/in/ill.jpg")
            if replaced:
                bench.store.write("s3://scans/in/ill.jpg", replaced)

    bench.store.before = meanwhile
    report = bench.run()
    assert (report.extracted, report.gone, report.dead_letter) == (HEALTHY, 1, 0)
    assert bench.calls(image) == 0
    assert bench.letters() == {}


@pytest.mark.parametrize("where", ["in/", "books/_aigen/", "books/fields/", "dead/"])
def test_a_store_that_denies_stops_and_the_next_try_pays_nothing_again(bench, where):
    bench.healthy()
    bench.scan("ill", status=400, code="1001")

    async def deny(operation: str, key: str) -> None:
        if key.startswith(where) and not key.endswith("probe"):
            raise ConfigurationError("s3", "access denied")

    bench.store.before = deny
    with pytest.raises(ConfigurationError, match="denied"):
        bench.run()
    paid = bench.calls()
    bench.store.before = None
    report = bench.run()
    assert (report.extracted, report.dead_letter) == (HEALTHY, 1)
    assert bench.calls() == HEALTHY + 1
    assert report.api_calls == HEALTHY + 1 - paid
