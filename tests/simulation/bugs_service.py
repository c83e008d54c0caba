# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs in what becomes of documents that fail."""

from __future__ import annotations

from airflow_provider_aigen.core.service import suspects
from tests.simulation.mutations import Patch, edit, mutation


@mutation("an outage is routed", law="an outage is not routed", profile="outage")
def _() -> list[Patch]:
    return [edit(suspects.Suspects, "next", ("Outage(ids) if is_outage else Route(ids)", "Route(ids)"))]
