# SPDX-License-Identifier: Apache-2.0
"""The connection's form in the two shapes that Airflow asks for: data in ``get_provider_info()`` from Airflow 3.2 on,
and the hook's widgets before that. Every start of Airflow imports this module, and so it imports little."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.core.defaults import DEFAULT_BASE_URL, DEFAULT_REQUESTS_PER_SECOND, DEFAULT_TIMEOUT_S

__all__ = ["conn_fields", "ui_field_behaviour", "widgets"]


def conn_fields() -> dict[str, dict[str, Any]]:
    """The fields of the extras: ``conn-fields`` of Airflow's ``provider_info``.

    They are in the form's order, and each has a ``label``, a ``description`` and a ``schema`` (JSON schema)."""
    return {
        "requests_per_second": {
            "label": "Requests per second",
            "description": f"Calls that may start in any second; {DEFAULT_REQUESTS_PER_SECOND:g} if empty.",
            "schema": {"type": ["number", "null"], "minimum": 0, "exclusiveMinimum": 0},
        },
        "timeout_s": {
            "label": "Timeout (s)",
            "description": f"Seconds that one call may take; {DEFAULT_TIMEOUT_S:g} if empty.",
            "schema": {"type": ["number", "null"], "minimum": 0, "exclusiveMinimum": 0},
        },
        "price_per_call": {
            "label": "Price per call",
            "description": "What one call costs: log and report then say what a run cost.",
            "schema": {"type": ["number", "null"], "minimum": 0},
        },
        "currency": {
            "label": "Currency",
            "description": "Of the price, such as THB; only shown.",
            "schema": {"type": ["string", "null"], "maxLength": 16},
        },
        "allow_http": {
            "label": "Allow http",
            "description": "Take a base URL without TLS; for an endpoint on your own machine only.",
            "schema": {"type": ["boolean", "null"], "default": False},
        },
    }


def ui_field_behaviour() -> dict[str, Any]:
    """``ui-field-behaviour`` of ``provider_info``: show base URL and API key, and hide the fields that AIGEN does not
    use."""
    return {
        "hidden-fields": ["schema", "login", "port", "extra"],
        "relabeling": {"host": "Base URL", "password": "API key"},
        "placeholders": {"host": DEFAULT_BASE_URL},
    }


def widgets() -> dict[str, Any]:
    """:func:`conn_fields` as fields of wtforms, which Airflow 2 brings."""
    return {name: _widget(**field) for name, field in conn_fields().items()}


def _widget(label: str, description: str, schema: dict[str, Any]) -> Any:
    """One field. Airflow accepts a hook's form only with these two classes, and those for integers and passwords.

    wtforms and the rest are imported here because Airflow 3.0 and newer do not bring them, and put stand-ins in their
    places for as long as they ask the hook."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # noqa: PLC0415 - see above
    from flask_babel import lazy_gettext  # noqa: PLC0415
    from wtforms import BooleanField, StringField  # noqa: PLC0415

    if "boolean" in schema["type"]:
        return BooleanField(lazy_gettext(label), description=description, default=schema["default"])
    return StringField(lazy_gettext(label), description=description, widget=BS3TextFieldWidget())
