# SPDX-License-Identifier: Apache-2.0
"""The page on alerts: its DAG, as typed, tells a webhook why it failed."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from tests.docs.manual import as_typed_here
from tests.docs.markdown import blocks
from tests.parsing import parse


def test_the_alert_has_the_sentence(run_dag, tmp_path, monkeypatch):
    said: list[str] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws", "login": "a", "password": "b"}')
    monkeypatch.setenv("AIRFLOW_CONN_AIGEN_DEFAULT", '{"conn_type": "http", "password": "somebody-elses"}')
    [block] = [block for block in blocks("docs/how-to/alerts.md") if block.title]
    path = tmp_path / "books_with_alert.py"
    path.write_text(as_typed_here(block.text), encoding="utf-8")
    with HTTPServer(("127.0.0.1", 0), Webhook) as server:  # its end closes the socket
        monkeypatch.setenv("ALERT_WEBHOOK", f"http://127.0.0.1:{server.server_port}/")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            assert run_dag(parse(path).dags["books_with_alert"]).state == "failed"
        finally:
            server.shutdown()
    [text] = said
    assert text.startswith("books_with_alert.ocr failed in ")
    assert "aigen_conn_id: the connection that it names has another type than AIGEN OCR" in text
