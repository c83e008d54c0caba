# SPDX-License-Identifier: Apache-2.0
"""The provider's metadata, which Airflow reads when it discovers the provider.

Airflow imports this module at every start, so it imports texts and nothing else."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.connections.form import conn_fields, ui_field_behaviour


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
            {
                "integration-name": "AIGEN OCR",
                "python-modules": [
                    "airflow_provider_aigen.operators.base",
                    "airflow_provider_aigen.operators.dead_letter",
                    "airflow_provider_aigen.operators.erase",
                    "airflow_provider_aigen.operators.ocr",
                    "airflow_provider_aigen.operators.plan",
                    "airflow_provider_aigen.operators.report",
                    "airflow_provider_aigen.operators.tables",
                ],
            },
        ],
        "hooks": [{"integration-name": "AIGEN OCR", "python-modules": ["airflow_provider_aigen.hooks.aigen"]}],
        # Airflow takes commands from a provider from 3.2 on. Before it there is the program `airflow-aigen`.
        "cli": ["airflow_provider_aigen.cli.definition.get_aigen_cli_commands"],
        "extra-links": [
            "airflow_provider_aigen.links.AigenDeadLettersLink",
            "airflow_provider_aigen.links.AigenOutputLink",
            "airflow_provider_aigen.links.AigenReportLink",
        ],
        "config": {
            "aigen": {
                "description": "Settings of the provider for AIGEN OCR.",
                "options": {
                    "s3_browser_url": {
                        "description": (
                            "Where a browser shows what is on S3: <bucket>/<key> is appended for the buttons of a "
                            "task. If it is empty, they lead to the AWS console, or to the S3 endpoint itself."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://minio.example.org:9001/browser",
                        "default": "",
                    }
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "aigen",
                "hook-class-name": "airflow_provider_aigen.hooks.aigen.AigenHook",
                "hook-name": "AIGEN OCR",
                # The form from Airflow 3.2 on. Before that version the hook gives the same one.
                "ui-field-behaviour": ui_field_behaviour(),
                "conn-fields": conn_fields(),
            }
        ],
    }
