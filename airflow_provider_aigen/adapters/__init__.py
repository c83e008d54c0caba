# SPDX-License-Identifier: Apache-2.0
"""One outside thing a file, each fulfilling a protocol of ``ports.py``. Nothing here knows Airflow."""
