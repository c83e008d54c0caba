# SPDX-License-Identifier: Apache-2.0
"""Another document type than the default one, from the operator's parameter to the endpoint and into both tables."""

from __future__ import annotations

import io

import pyarrow.parquet as pq

from tests.scans import scan

TYPE = "idcard/v2"


def test_the_endpoint_of_the_document_type_is_called_and_the_tables_say_so(execute, lake, simulator):
    lake.put("scans/in/1.jpg", scan({"first_name_th": "สมชาย"}, document="idcard"))
    execute(document_type=TYPE)
    assert [call["document_type"] for call in simulator.journal()] == [TYPE]
    for table in ("fields", "documents"):
        [part] = lake.keys(f"lake/books/{table}/")
        rows = pq.read_table(io.BytesIO(lake.read(f"lake/books/{table}/{part}")))
        assert set(rows["document_type"].to_pylist()) == {TYPE}
