# SPDX-License-Identifier: Apache-2.0
"""Airflow connections: the form, its test, and the clients that they open."""
