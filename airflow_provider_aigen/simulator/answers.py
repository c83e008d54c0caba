# SPDX-License-Identifier: Apache-2.0
"""A scan and the truth in it → the vendor's answer, byte for byte the same for the same bytes and seed. No I/O."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.simulator.chance import chance
from airflow_provider_aigen.simulator.codes import (
    Answer,
    error_answer,
    error_object,
    general,
    not_found,
    page_error,
)
from airflow_provider_aigen.simulator.images import Page, Scan
from airflow_provider_aigen.simulator.truth import Degradation, Marker, TrueField

__all__ = ["answer", "marked_answer", "unreadable"]

MIN_SIDE_PX = 500
MAX_SIDE_PX = 10_000
MAX_BYTES = 10 * 1024 * 1024  # the contract says 10 MB and not which: the larger
# A field that is recognised worse than this comes back empty, as the vendor's do (contract, samples: `color`).
NULL_BELOW = 0.35
# Other documents of the vendor say so that a field's validation failed (contract, Answer).
VALIDATION_FAILED = -1.0
VALIDATION_FAILED_SHARE = 0.1


def unreadable(codes: str) -> Answer:
    """The bytes are not an image, or there are none."""
    if codes == "later":
        return error_answer(422, [error_object("20002")], [])
    return error_answer(400, [error_object("1003"), error_object("bad_request")], [{}])


def answer(scan: Scan, *, document: str, codes: str, seed: int, sha256: str, nth: int) -> Answer:
    """What the endpoint says about a file. ``nth`` counts the calls with these bytes, from 1, for pages that fail only
    once. A scan's sides are checked, the pages of a PDF are not: the contract has limits for images."""
    if not scan.pages:
        return unreadable(codes)
    if codes == "later" and scan.size_bytes > MAX_BYTES:
        return error_answer(413, [error_object("20000")], [])
    if not scan.is_pdf and (refused := _refused_size(scan.pages[0], codes)) is not None:
        return refused
    data: list[dict[str, Any]] = []
    errors: list[dict[str, str | None] | None] = []
    for number, page in enumerate(scan.pages, 1):
        error = _error_of(page, number, document=document, codes=codes, nth=nth)
        errors.append(error)
        data.append({} if error is not None else fields_of(page, seed=seed, sha256=sha256))
    return _whole(errors, data, codes)


def _refused_size(page: Page, codes: str) -> Answer | None:
    if min(page.width, page.height) < MIN_SIDE_PX:
        return error_answer(400, [error_object("1001"), error_object("bad_request")], [{}])
    if max(page.width, page.height) <= MAX_SIDE_PX:
        return None
    if codes == "later":
        return error_answer(413, [error_object("20000")], [])
    return error_answer(400, [error_object("1002"), error_object("bad_request")], [{}])


def _error_of(page: Page, number: int, *, document: str, codes: str, nth: int) -> dict[str, str | None] | None:
    truth = page.truth
    if truth is not None and truth.simulate is not None and truth.simulate.page_error and truth.simulate.applies(nth):
        return page_error(codes, number)
    if truth is None or truth.document != document or not truth.fields:
        return not_found(codes, document)
    return None


def _whole(errors: list[dict[str, str | None] | None], data: list[dict[str, Any]], codes: str) -> Answer:
    failed = [error for error in errors if error is not None]
    if not failed:
        # The samples have no entry for one page, and one a page for two.
        shown = [] if len(data) == 1 else errors
        return Answer.of_json(200, {"status": "success", "error": shown, "data": data})
    if len(failed) < len(data):
        if codes == "later":  # aligned with the pages, null for a good one
            return error_answer(206, [*errors, error_object("206")], data)
        return error_answer(206, [*failed, error_object("partial_content")], data)
    return error_answer(400, [*failed, *_after(failed)], data)


def _after(failed: list[dict[str, str | None]]) -> list[dict[str, str | None]]:
    broken = next((error for error in failed if error["code"] == "internal_server_error"), None)
    last = broken or general(failed[0]["code"])
    return [] if last is None else [last]


def fields_of(page: Page, *, seed: int, sha256: str) -> dict[str, Any]:
    """A page's entry in ``data``: the truth as the vendor would say it."""
    truth = page.truth
    if truth is None:
        return {}
    other = truth.document != "vehicle-registration-book"
    found = {}
    for name, field in truth.fields.items():
        confidence = confidence_of(truth.degradation, chance(seed, sha256, name))
        if other and chance(seed, sha256, name, "valid") < VALIDATION_FAILED_SHARE:
            confidence = VALIDATION_FAILED
        found[name] = _field(field, page, confidence)
    return found


def confidence_of(degradation: Degradation, luck: float) -> float:
    """From 0 to 1, falling with blur and noise; ``luck`` from 0 to 1 spreads the fields of a page.

    1 - 0.02 luck - (blur² / 12 + noise / 120 + |rotation| / 40) · (0.4 + 1.2 luck)
    """
    harm = degradation.blur**2 / 12 + degradation.noise / 120 + abs(degradation.rotation) / 40
    return round(max(0.0, 1 - 0.02 * luck - harm * (0.4 + 1.2 * luck)), 7)


def _field(field: TrueField, page: Page, confidence: float) -> dict[str, Any]:
    if 0 <= confidence < NULL_BELOW:
        return {"value": None, "bboxes": None, "bboxes_norm": None, "confidence": None}
    norm = [[[round(x / page.width, 4), round(y / page.height, 4)] for x, y in box] for box in field.boxes]
    return {
        "value": field.value,
        "bboxes": [[list(corner) for corner in box] for box in field.boxes],
        "bboxes_norm": norm,
        "confidence": confidence,
    }


def marked_answer(marker: Marker, scan: Scan, *, codes: str, seed: int, sha256: str) -> Answer:
    """The answer that a marker with a status asks for; good pages hold the truth of the file's first page."""
    status, headers = marker.status or 200, marker.headers
    if marker.body is not None:
        return Answer.of_json(status, marker.body, marker.code, headers)
    failed = range(1, marker.pages + 1) if status not in (200, 206) else marker.failed_pages
    fields = fields_of(scan.pages[0], seed=seed, sha256=sha256)
    data = [{} if number in failed else fields for number in range(1, marker.pages + 1)]
    if status == 200:
        errors: list[Any] = [] if len(data) <= 1 else [None] * len(data)
        return Answer.of_json(200, {"status": "success", "error": errors, "data": data}, None, headers)
    asked = [_asked_error(marker, number) for number in (failed or [1])]
    if status == 206:
        partial = error_object("206" if codes == "later" or marker.code == "400" else "partial_content")
        by_page = [asked[0] if number in failed else None for number in range(1, marker.pages + 1)]
        errors = [*(by_page if partial["code"] == "206" else asked), partial]
    elif status == 400:
        errors = [*asked, *_after(asked)]
    else:
        errors, data = asked[:1], []
    shown = error_answer(status, errors, data)
    return Answer(status, shown.body, shown.code, headers)


def _asked_error(marker: Marker, number: int) -> dict[str, str | None]:
    if marker.code == "internal_server_error" and marker.message is None:
        return page_error("v2", number)
    return error_object(marker.code, marker.message)
