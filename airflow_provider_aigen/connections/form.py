# SPDX-License-Identifier: Apache-2.0
"""The connection's form, each text once, in the two shapes that Airflow asks for: data in ``get_provider_info()`` from
3.2 on, the hook's widgets before it. Imports nothing that costs: every start of Airflow pays for it."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.core.defaults import DEFAULT_BASE_URL, DEFAULT_REQUESTS_PER_SECOND, DEFAULT_TIMEOUT_S

__all__ = ["conn_fields", "ui_field_behaviour", "widgets"]


def conn_fields() -> dict[str, dict[str, Any]]:
    """The extras' fields by their names, in the form's order, each with ``label``, ``description`` and ``schema`` (JSON
    schema): ``conn-fields`` of Airflow's ``provider_info``."""
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
    """Show base URL and API key, hide what AIGEN has not: ``ui-field-behaviour`` of ``provider_info``."""
    return {
        "hidden-fields": ["schema", "login", "port", "extra"],
        "relabeling": {"host": "Base URL", "password": "API key"},
        "placeholders": {"host": DEFAULT_BASE_URL},
    }


def widgets() -> dict[str, Any]:
    """:func:`conn_fields` as wtforms' fields, which Airflow 2 brings."""
    return {name: _widget(**field) for name, field in conn_fields().items()}


def _widget(label: str, description: str, schema: dict[str, Any]) -> Any:
    """Airflow takes no hook whose form has another class than these two, integers and passwords."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, StringField

    if "boolean" in schema["type"]:
        return BooleanField(lazy_gettext(label), description=description, default=schema["default"])
    return StringField(lazy_gettext(label), description=description, widget=BS3TextFieldWidget())
