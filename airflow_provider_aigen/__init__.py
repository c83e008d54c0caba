# SPDX-License-Identifier: Apache-2.0
"""Apache Airflow provider for AIGEN OCR: images on S3 to Parquet tables, each document once.

Where to start reading: `core/models.py` (everything that flows), `pipeline/__init__.py` (the straight line along which
it does), `core/errors.py` (what can go wrong, by what to do about it). Nothing is imported here: parsing a DAG must
stay cheap.
"""

__version__ = "0.1.0"
