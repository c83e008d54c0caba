# SPDX-License-Identifier: Apache-2.0
"""Synthetic documents: invented people and vehicles on drawn pages, with the truth in the file's metadata.

`python -m airflow_provider_aigen.simulator.books OUT --count 60` writes a mixed prefix, with `--each-code` one object
for each code of the contract. For tests: `write_books`, `write_each_code`, `book_file`, and `plain_book`, made at once.
"""

from __future__ import annotations

from airflow_provider_aigen.simulator.books.book import book_file, book_page, plain_book, plain_card
from airflow_provider_aigen.simulator.books.each_code import write_each_code
from airflow_provider_aigen.simulator.books.manifest import MANIFEST, Entry, Expected, Said, read_manifest
from airflow_provider_aigen.simulator.books.mix import SMALLEST, write_books

__all__ = [
    "MANIFEST",
    "SMALLEST",
    "Entry",
    "Expected",
    "Said",
    "book_file",
    "book_page",
    "plain_book",
    "plain_card",
    "read_manifest",
    "write_books",
    "write_each_code",
]
