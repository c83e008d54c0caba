# SPDX-License-Identifier: Apache-2.0
"""A task leaves no socket and no client open behind it."""

from __future__ import annotations

import gc
import warnings

from tests.scans import scan


def test_what_a_task_opens_it_closes(run_ocr, lake, simulator):
    for number in range(4):
        lake.put(f"scans/in/{number}.jpg", scan({"color": f"{number}"}))
    gc.collect()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        assert run_ocr().state == "success"
        gc.collect()
    left = [str(one.message) for one in found if issubclass(one.category, ResourceWarning)]
    assert not left
    assert simulator.stats()["calls"]
