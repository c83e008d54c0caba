# SPDX-License-Identifier: Apache-2.0
"""``python -m airflow_provider_aigen.cli``: the same as ``airflow-aigen``."""

from airflow_provider_aigen.cli.entry import main

main()
