# SPDX-License-Identifier: Apache-2.0
"""Programs that a person runs by hand on a destination, each with ``python -m airflow_provider_aigen.cli.<name>``."""
