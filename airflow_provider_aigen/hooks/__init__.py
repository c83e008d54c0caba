# SPDX-License-Identifier: Apache-2.0
"""The AIGEN connection, as Airflow's hooks go."""
