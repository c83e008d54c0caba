# SPDX-License-Identifier: Apache-2.0
"""Airflow connections: the AIGEN form and its test, and what each connection is read into."""
