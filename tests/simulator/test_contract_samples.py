# SPDX-License-Identifier: Apache-2.0
"""Each sample of the contract, brought about at the endpoint: same status, same errors, same structure."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_aigen.simulator import Degradation, Marker, TrueField, Truth, running_simulator
from airflow_provider_aigen.simulator.pdf import pdf_of
from tests.simulator.calls import BOOK, FIELDS, SAMPLES, picture, post, sample, scan, truth

# Half readable: what a field gets is chance, decided by the bytes, so these give full and empty fields.
POOR = Truth(BOOK, {f"field_{n}": TrueField("ค่า", FIELDS["province"].boxes) for n in range(40)}, Degradation(2.5, 12))
BROKEN_PAGE = scan(truth(Marker(page_error=True)))
CASES: dict[str, tuple[dict[str, Any], bytes]] = {
    "200-success.json": ({}, scan(POOR)),
    "200-success-two-pages.json": ({}, pdf_of([scan(POOR), scan()])),
    "206-partial-later.json": ({"codes": "later"}, pdf_of([scan(), BROKEN_PAGE])),
    "206-partial-not-found.json": ({}, pdf_of([scan(), picture()])),
    "206-partial-page-error.json": ({}, pdf_of([scan(), BROKEN_PAGE])),
    "400-1001.json": ({}, scan(width=499)),
    "400-1002.json": ({}, scan(width=10_001, media_format="PNG")),
    "400-not-found-later.json": ({"codes": "later"}, picture()),
    "400-not-found.json": ({}, picture()),
    "400-page-error.json": ({}, BROKEN_PAGE),
    "413-later.json": ({"codes": "later"}, scan(width=10_001, media_format="PNG")),
    "422-later.json": ({"codes": "later"}, b"not an image"),
    "500-later.json": ({"codes": "later", "outage": True, "outage_fault": "500"}, scan()),
    "503-later.json": ({"codes": "later", "outage": True}, scan()),
}


def shape(value: Any) -> Any:
    """What a value is made of: an object's keys in order, a list's kinds of items, a scalar's type."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted({repr(shape(item)) for item in value})
    return type(value).__name__


def kinds_of_fields(answer: Any) -> set[str]:
    return {repr(shape(field)) for page in answer["data"] for field in page.values()}


def boxes_of(answer: Any, name: str) -> list[Any]:
    return [box for page in answer["data"] for field in page.values() for box in field[name] or []]


def test_every_sample_has_a_case():
    assert set(CASES) == {path.name for path in SAMPLES.glob("*.json")}


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_the_sample_in_everything_but_values(name):
    options, image = CASES[name]
    with running_simulator(**options) as simulator:
        response = post(simulator.url, image)
    answer, expected = response.json(), sample(name)
    assert response.status_code == int(name[:3])
    assert response.headers["content-type"].startswith("application/json")
    assert list(answer) == list(expected)
    assert answer["status"] == expected["status"]
    assert answer["error"] == expected["error"]
    assert [bool(page) for page in answer["data"]] == [bool(page) for page in expected["data"]]
    assert kinds_of_fields(answer) <= kinds_of_fields(expected)


@pytest.mark.parametrize("name", ["200-success.json", "200-success-two-pages.json"])
def test_both_kinds_of_field_of_the_samples_come_up_and_boxes_have_four_corners(name):
    options, image = CASES[name]
    with running_simulator(**options) as simulator:
        answer = post(simulator.url, image).json()
    assert kinds_of_fields(answer) == kinds_of_fields(sample(name))
    assert len(kinds_of_fields(answer)) == 2
    for boxes in (boxes_of(answer, "bboxes"), boxes_of(answer, "bboxes_norm")):
        assert {(len(box), *{len(corner) for corner in box}) for box in boxes} == {(4, 2)}
    assert all(0 <= number <= 1 for box in boxes_of(answer, "bboxes_norm") for corner in box for number in corner)
