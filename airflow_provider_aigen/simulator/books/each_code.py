# SPDX-License-Identifier: Apache-2.0
"""One object for each row of the contract's codes and of design §5, asked for by a marker: small, quickly made.

OUT/images has those that a run gets through; each object in OUT/stops ends a run, so take them one at a time.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from airflow_provider_aigen.simulator.books.book import plain_book
from airflow_provider_aigen.simulator.books.manifest import Entry, Expected, said, write_manifest, write_object
from airflow_provider_aigen.simulator.codes import NOT_FOUND
from airflow_provider_aigen.simulator.faults import BROKEN
from airflow_provider_aigen.simulator.truth import Marker

__all__ = ["write_each_code"]

PAGE_ERROR = "Internal process error during extract image page: "


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """Name, marker, outcome, and the code it is recorded under, None for the answer's own."""

    name: str
    marker: Marker | None
    outcome: str = "dead_letter"
    error_code: str | None = None


def _partial(name: str, code: str, message: str | None = None) -> Case:
    return Case(name, Marker(status=206, code=code, message=message, pages=2, failed_pages=(2,)), "partial")


CASES = (
    Case("200", None, "extracted"),
    Case("200-two-pages", Marker(status=200, pages=2), "extracted"),
    Case("200-no-page", Marker(status=200, pages=0), error_code="no_content"),
    _partial("206-not-found", NOT_FOUND),
    _partial("206-internal_server_error", "internal_server_error"),
    _partial("206-not-found-later", "400"),
    _partial("206-page-error-later", "400", f"{PAGE_ERROR}2"),
    Case("400-1001", Marker(status=400, code="1001")),
    Case("400-1002", Marker(status=400, code="1002")),
    Case("400-1003", Marker(status=400, code="1003")),
    Case("400-not-found", Marker(status=400, code=NOT_FOUND)),
    Case("400-not-found-later", Marker(status=400, code="400")),
    Case("400-internal_server_error", Marker(status=400, code="internal_server_error")),
    Case("400-internal_server_error-passing", Marker(status=400, code="internal_server_error", times=1), "extracted"),
    Case("400-page-error-later", Marker(status=400, code="400", message=f"{PAGE_ERROR}1")),
    Case(
        "400-page-error-later-passing",
        Marker(status=400, code="400", message=f"{PAGE_ERROR}1", times=1),
        "extracted",
    ),
    Case("400-unknown-code", Marker(status=400, code="9999", message="Something new")),
    Case("413-20000", Marker(status=413, code="20000")),
    Case("422-20002", Marker(status=422, code="20002")),
    Case("429-retry-after-passing", Marker(status=429, headers={"Retry-After": "1"}, times=1), "extracted"),
    Case("500-2001-passing", Marker(status=500, code="2001", times=1), "extracted"),
    Case("500-40001-passing", Marker(status=500, code="40001", times=1), "extracted"),
    Case("500-40001", Marker(status=500, code="40001"), error_code="service_error"),
    Case("503-40000-passing", Marker(status=503, code="40000", times=1), "extracted"),
    Case("html", Marker(fault="html"), error_code="malformed_response"),
    Case("html-passing", Marker(fault="html", times=1), "extracted"),
    Case("truncated_json", Marker(fault="truncated_json"), error_code="malformed_response"),
    Case("reset-passing", Marker(fault="reset", times=1), "extracted"),
)
STOPS = (
    Case("401", Marker(status=401), "stop"),
    Case("403", Marker(status=403), "stop"),
    Case("404", Marker(status=404), "stop"),
    Case("405", Marker(status=405), "stop"),
    Case("429", Marker(status=429), "stop"),
    Case("302", Marker(status=302, headers={"Location": "/elsewhere"}), "stop"),
)


def write_each_code(out: Path, seed: int = 7) -> list[Entry]:
    """Writes OUT/images, OUT/stops and OUT/manifest.json; returns what that says. Both families of codes are in it,
    whichever the simulator was started with."""
    entries = []
    for number, (folder, case) in enumerate([("images", c) for c in CASES] + [("stops", c) for c in STOPS]):
        data = plain_book(number, seed, case.marker)
        entries.append(write_object(out, f"{folder}/{case.name}.jpg", data, _expected(case)))
    return write_manifest(out, entries)


def _expected(case: Case) -> Expected:
    marker = case.marker
    if marker is None:
        return Expected("each_code")
    status = marker.status or (marker.fault if marker.fault in BROKEN else 200) or 200
    passing = marker.times is not None
    return Expected("each_code", case.outcome, said(status, marker.code), case.error_code, passing=passing)
