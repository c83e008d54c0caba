# SPDX-License-Identifier: Apache-2.0
"""What Airflow learns about this provider when it discovers it. Imports nothing: Airflow loads it at every start."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, in the shape of Airflow's ``provider_info`` schema."""
    return {
        "package-name": "airflow-provider-aigen",
        "name": "AIGEN OCR",
        "description": "OCR of the images under an S3 prefix with the AIGEN service, into Parquet tables on S3.",
        "integrations": [
            {"integration-name": "AIGEN OCR", "external-doc-url": "https://aigen.online", "tags": ["service"]}
        ],
        "operators": [
            {"integration-name": "AIGEN OCR", "python-modules": ["airflow_provider_aigen.operators.ocr"]},
        ],
        "hooks": [{"integration-name": "AIGEN OCR", "python-modules": ["airflow_provider_aigen.hooks.aigen"]}],
        "extra-links": [
            "airflow_provider_aigen.links.AigenDeadLettersLink",
            "airflow_provider_aigen.links.AigenOutputLink",
            "airflow_provider_aigen.links.AigenReportLink",
        ],
        "connection-types": [
            {
                "connection-type": "aigen",
                "hook-class-name": "airflow_provider_aigen.hooks.aigen.AigenHook",
                "hook-name": "AIGEN OCR",
                # The form from Airflow 3.2 on; before it, the same one from hooks/connection_form.py.
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "login", "port", "extra"],
                    "relabeling": {"host": "Base URL", "password": "API key"},
                    "placeholders": {"host": "https://apis.aigen.online"},
                },
                "conn-fields": {
                    "requests_per_second": {
                        "label": "Requests per second",
                        "description": "Calls that may start in any second; 5 if empty.",
                        "schema": {"type": ["number", "null"], "minimum": 0, "exclusiveMinimum": 0},
                    },
                    "timeout_s": {
                        "label": "Timeout (s)",
                        "description": "Seconds that one call may take; 60 if empty.",
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
                },
            }
        ],
    }
