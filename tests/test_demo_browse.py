# SPDX-License-Identifier: Apache-2.0
"""Where the buttons of a task lead to in the demo: everything is readable, and nothing of it is taken for HTML."""

from __future__ import annotations

import gzip
import io
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from demo.browse import browser
from tests.kit.ocr import png

REPORT = {"documents": 60, "error_codes": {"1001": 2, "<b>": 1}, "settings": {"partition": "dt=2026-11-22"}}


def part() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"field_name": ["color"] * 150, "value": ["<script>แดง"] * 150}), buffer)
    return buffer.getvalue()


class Client:
    """Of boto3's, as far as the pages need it."""

    objects: ClassVar = {
        "books/_aigen/reports/5f0c.json": json.dumps(REPORT).encode(),
        "books/_aigen/commits/00000001.json.gz": gzip.compress(b'{"number": 1}'),
        "books/fields/dt=2026-11-22/c1.parquet": part(),
        "dead/error_code=1001/<x>.png": png("x"),
    }

    def list_buckets(self) -> Any:
        return {"Buckets": [{"Name": "lake"}]}

    def get_paginator(self, _: str) -> Client:
        return self

    def paginate(self, *, Bucket: str, Prefix: str, Delimiter: str) -> Any:  # noqa: N803 - boto3's names
        under = {key.removeprefix(Prefix): body for key, body in self.objects.items() if key.startswith(Prefix)}
        folders = sorted({name.split(Delimiter)[0] + Delimiter for name in under if Delimiter in name})
        yield {
            "CommonPrefixes": [{"Prefix": Prefix + folder} for folder in folders],
            "Contents": [
                {"Key": Prefix + name, "Size": len(body)} for name, body in under.items() if Delimiter not in name
            ],
        }

    def get_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory):
    with browser(Client(), tmp_path_factory.mktemp("demo") / "port") as found:
        yield found


def read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        body: bytes = answer.read()
        return (
            body.decode() if answer.headers["Content-Type"].startswith("text/html") else answer.headers["Content-Type"]
        )


def test_a_report_shows_its_counts_first(url):
    page = read(f"{url}/lake/books/_aigen/reports/5f0c.json")
    assert page.index("<th>documents<td class=number>60") < page.index("1001: 2; &lt;b&gt;: 1") < page.index("<pre>")
    assert "<b>" not in page
    assert "&quot;number&quot;: 1" in read(f"{url}/lake/books/_aigen/commits/00000001.json.gz")


def test_a_prefix_is_a_list_whose_lines_lead_on(url):
    assert 'href="/lake/"' in read(url)
    assert 'href="/lake/books/fields/"' in read(f"{url}/lake/books/")
    assert 'href="/lake/dead/error_code%3D1001/%3Cx%3E.png">&lt;x&gt;.png' in read(
        f"{url}/lake/dead/error_code%3D1001/"
    )
    assert "Nothing lies here" in read(f"{url}/lake/none/")


def test_a_part_shows_its_first_rows_and_an_image_is_itself(url):
    page = read(f"{url}/lake/books/fields/dt%3D2026-11-22/c1.parquet")
    assert "150 rows, the first 100 of them" in page
    assert page.count("&lt;script&gt;แดง") == 100
    assert read(f"{url}/lake/dead/error_code%3D1001/%3Cx%3E.png") == "image/png"


def test_what_is_not_there_is_said(url):
    with pytest.raises(urllib.error.HTTPError) as raised:
        read(f"{url}/lake/none")
    assert raised.value.code == 404


def test_the_port_stays_the_same_unless_it_is_taken(tmp_path: Path):
    file = tmp_path / "port"
    with browser(Client(), file) as first:
        with browser(Client(), tmp_path / "other") as other:
            assert other != first
        with browser(Client(), file) as taken:
            assert taken != first
            last = taken
    with browser(Client(), file) as again:
        assert again == last
