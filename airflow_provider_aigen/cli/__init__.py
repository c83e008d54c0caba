# SPDX-License-Identifier: Apache-2.0
"""The command line: ``airflow aigen …``, and ``airflow-aigen …`` where Airflow takes no commands from a provider."""
