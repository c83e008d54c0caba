# SPDX-License-Identifier: Apache-2.0
"""The events of a destination's tables that Airflow has stored. An event is stored together with its task's success, so
what is found here was sent, and nothing else is (docs/decisions/0012-announced.md)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset, AssetAlias
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_aigen.assets import documents_uri, fields_uri
from airflow_provider_aigen.runtime.outlets import is_known, is_too_long

if AIRFLOW_V_3_0_PLUS:
    from airflow.sdk.execution_time.context import InletEventsAccessors
else:
    from airflow.models.dataset import DatasetEvent, DatasetModel  # type: ignore[import-not-found]
    from airflow.utils.session import create_session
    from sqlalchemy import select

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["Extras", "sent_events"]

log = logging.getLogger(__name__)

Extras = Sequence[Mapping[str, object]]

# Each event says all that was not announced before it: a few of the newest are enough, however many tasks run at once.
_NEWEST = 200


def sent_events(context: Context, outlets: Sequence[Any], destination: str) -> Extras | None:
    """The extras of the newest events of the destination's tables; None where Airflow would store none: there is
    nobody to tell. Where Airflow does not answer, none is known: more is announced than need be.

    Never call this while the event loop runs (design §7)."""
    if context.get("outlet_events") is None or is_too_long(documents_uri(destination)):
        return None
    find = _on_airflow_3 if AIRFLOW_V_3_0_PLUS else _on_airflow_2
    try:
        return find(outlets, destination)
    except Exception as error:  # noqa: BLE001 - whatever the API server or the database answers
        log.warning(
            "Airflow's events could not be looked up (%s): what they announced may be announced once more",
            type(error).__name__,
        )
        return ()


def _on_airflow_3(outlets: Sequence[Any], destination: str) -> Extras:
    # Each announcement has an event for `documents`. Airflow stores a task's events all at once.
    uri = documents_uri(destination)
    asset = next((one for one in outlets if isinstance(one, Asset) and one.uri == uri), None) or Asset(uri)
    found: Any = InletEventsAccessors([asset])[asset]
    if hasattr(found, "limit"):  # from Airflow 3.2 on; before it, Airflow gives all of them
        found = found.ascending(False).limit(_NEWEST)
    return [event.extra or {} for event in found]


def _on_airflow_2(outlets: Sequence[Any], destination: str) -> Extras | None:
    """Airflow 2 stores no event of a dataset that no DAG names, unless it comes through an alias that it knows."""
    tables = [fields_uri(destination), documents_uri(destination)]
    with create_session() as session:
        known = session.scalars(select(DatasetModel.id).where(DatasetModel.uri.in_(tables))).all()
        if not known and not any(isinstance(one, AssetAlias) and is_known(one.name) for one in outlets):
            return None
        newest = select(DatasetEvent.extra).where(DatasetEvent.dataset_id.in_(known))
        extras = session.scalars(newest.order_by(DatasetEvent.timestamp.desc()).limit(_NEWEST)).all()
    return [extra or {} for extra in extras]
