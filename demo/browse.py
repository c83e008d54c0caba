# SPDX-License-Identifier: Apache-2.0
"""The demo's S3 in a web browser, on loopback and read only: where the buttons of a task lead to.

A prefix is a list, a report or a dead-letter record is a table with its JSON below, a Parquet part shows its first
rows, an image is itself.
"""

from __future__ import annotations

import gzip
import html
import io
import json
import mimetypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pyarrow.parquet as pq
from botocore.exceptions import ClientError

__all__ = ["browser"]

_ROWS = 100
# Of a report: what a person wants to know of a run.
_FIRST = ("documents", "extracted", "partial", "dead_letter", "gone", "error_codes", "rows", "api_calls", "cost")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;color-scheme:light dark}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #8884}"
    "td.number{text-align:right;font-variant-numeric:tabular-nums}pre{overflow-x:auto}h1{font-size:1.2rem}"
)


@contextmanager
def browser(client: Any, port_file: Path) -> Iterator[str]:
    """Serve what the boto3 ``client`` can read; gives the URL. The port is that of the time before, so that the buttons
    of earlier runs still lead here, unless something else has it by now."""

    class Handler(_Handler):
        s3 = client

    server = _bound(Handler, port_file)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _bound(handler: type[BaseHTTPRequestHandler], port_file: Path) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", int(port_file.read_text(encoding="ascii"))), handler)
    except (OSError, ValueError):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        port_file.write_text(str(server.server_port), encoding="ascii")
        return server


class _Handler(BaseHTTPRequestHandler):
    s3: Any

    def do_GET(self) -> None:
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        try:
            self._answer(bucket, key)
        except ClientError as error:
            self._send(404, _page("Not there", f"<p>{html.escape(str(error))}</p>"))

    def _answer(self, bucket: str, key: str) -> None:
        if not bucket:
            names = [found["Name"] for found in self.s3.list_buckets()["Buckets"]]
            self._send(200, _page("Buckets", _list([(f"/{quote(name)}/", name, "") for name in names])))
        elif not key or key.endswith("/"):
            self._send(200, _page(_path(bucket, key), _list(list(self._under(bucket, key)))))
        else:
            body = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            shown = _shown(key, body)
            if shown is None:
                self._send(200, body, mimetypes.guess_type(key)[0] or "application/octet-stream")
            else:
                self._send(200, _page(_path(bucket, key), shown))

    def _under(self, bucket: str, prefix: str) -> Iterator[tuple[str, str, str]]:
        """Address, name and size of what lies directly under it."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        for page in pages:
            for folder in page.get("CommonPrefixes", ()):
                name = folder["Prefix"]
                yield f"/{bucket}/{quote(name)}", name.removeprefix(prefix), ""
            for item in page.get("Contents", ()):
                name = item["Key"]
                yield f"/{bucket}/{quote(name)}", name.removeprefix(prefix), f"{item['Size']:,}"

    def _send(self, status: int, body: bytes, content_type: str = "text/html; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing: the demo's own output is in that terminal."""


def _page(title: str, content: str) -> bytes:
    head = f"<meta charset=utf-8><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html>{head}<h1>{html.escape(title)}</h1>{content}".encode()


def _path(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"


def _list(rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return "<p>Nothing lies here (yet).</p>"
    lines = "".join(
        f'<tr><td><a href="{html.escape(address)}">{html.escape(name)}</a><td class=number>{size}'
        for address, name, size in rows
    )
    return f"<table><tr><th>name<th>bytes{lines}</table>"


def _shown(key: str, body: bytes) -> str | None:
    """What a person sees of an object; None for one that a browser shows or saves by itself."""
    if key.endswith(".parquet"):
        return _parquet(body)
    if key.endswith((".json", ".json.gz")):
        return _json(json.loads(gzip.decompress(body) if key.endswith(".gz") else body))
    return None


def _json(value: Any) -> str:
    plain = {name: one for name, one in value.items() if not isinstance(one, (dict, list))}
    filled = {name: "; ".join(f"{key}: {one}" for key, one in sorted(many.items())) for name, many in _flat(value)}
    facts = {**plain, **filled}
    facts = {**{name: facts[name] for name in _FIRST if name in facts}, **facts}
    whole = html.escape(json.dumps(value, indent=2, ensure_ascii=False))
    return f"{_facts(facts)}<h1>All of it</h1><pre>{whole}</pre>"


def _flat(value: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, one in value.items():
        if isinstance(one, dict) and one and not any(isinstance(inner, (dict, list)) for inner in one.values()):
            yield name, one


def _facts(facts: dict[str, Any]) -> str:
    lines = "".join(
        f"<tr><th>{html.escape(name)}<td{' class=number' if isinstance(one, (int, float)) else ''}>{_cell(one)}"
        for name, one in facts.items()
        if one is not None
    )
    return f"<table>{lines}</table>"


def _parquet(body: bytes) -> str:
    table = pq.read_table(io.BytesIO(body))
    names = "".join(f"<th>{html.escape(name)}" for name in table.column_names)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[name])}" for name in table.column_names)
        for row in table.slice(0, _ROWS).to_pylist()
    )
    shown = f"{table.num_rows:,} rows, the first {min(_ROWS, table.num_rows)} of them:"
    return f"<p>{shown}</p><table><tr>{names}{rows}</table>"


def _cell(value: Any) -> str:
    return "" if value is None else html.escape(str(value))
