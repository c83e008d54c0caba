# SPDX-License-Identifier: Apache-2.0
"""No line of a task's log shows an object's key, at whatever level Airflow logs."""

from __future__ import annotations

import logging

from tests.scans import scan


def test_no_line_at_debug_shows_an_objects_key(execute, lake, simulator, caplog):
    for number in range(2):
        lake.put(f"scans/in/plate-{number}.jpg", scan({"color": "แดง"}))
    lake.put("scans/in/plate-bad.jpg", scan(status=400, code="1001"))
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "botocore.endpoint")  # as [logging] namespace_levels would
    result = execute()
    assert (result["extracted"], result["dead_letter"]) == (2, 1)
    assert any(record.levelno == logging.DEBUG for record in caplog.records)
    shown = {(record.name, record.levelname) for record in caplog.records if "plate-" in record.getMessage()}
    assert shown == set()
    assert "plate-" not in caplog.text
