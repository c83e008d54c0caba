# SPDX-License-Identifier: Apache-2.0
"""One outside thing a file, each fulfilling a protocol of :mod:`~airflow_provider_aigen.ports`. Nothing here knows Airflow."""
