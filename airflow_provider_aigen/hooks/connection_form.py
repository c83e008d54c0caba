# SPDX-License-Identifier: Apache-2.0
"""The connection's form for an Airflow that asks the hook for it, which is any before 3.2. It says the same as
``get_provider_info()``, where later ones look."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.core.defaults import DEFAULT_BASE_URL, DEFAULT_REQUESTS_PER_SECOND, DEFAULT_TIMEOUT_S

__all__ = ["field_behaviour", "widgets"]


def widgets() -> dict[str, Any]:
    """The extras' fields, in the form's order, by their names."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, StringField

    # Airflow takes no hook whose form has another class than these two, integers and passwords.
    def text(label: str, description: str) -> Any:
        return StringField(lazy_gettext(label), description=description, widget=BS3TextFieldWidget())

    return {
        "requests_per_second": text(
            "Requests per second", f"Calls that may start in any second; {DEFAULT_REQUESTS_PER_SECOND:g} if empty."
        ),
        "timeout_s": text("Timeout (s)", f"Seconds that one call may take; {DEFAULT_TIMEOUT_S:g} if empty."),
        "price_per_call": text("Price per call", "What one call costs: log and report then say what a run cost."),
        "currency": text("Currency", "Of the price, such as THB; only shown."),
        "allow_http": BooleanField(
            lazy_gettext("Allow http"),
            description="Take a base URL without TLS; for an endpoint on your own machine only.",
            default=False,
        ),
    }


def field_behaviour() -> dict[str, Any]:
    """Show base URL and API key, hide what AIGEN has not."""
    return {
        "hidden_fields": ["schema", "login", "port", "extra"],
        "relabeling": {"host": "Base URL", "password": "API key"},
        "placeholders": {"host": DEFAULT_BASE_URL},
    }
