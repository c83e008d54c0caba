# SPDX-License-Identifier: Apache-2.0
"""What the tests of the endpoint's client share."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import textwrap
from pathlib import Path

import trustme

from airflow_provider_aigen.adapters.endpoint import client
from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.adapters.endpoint.proxied import ProxiedTransport
from airflow_provider_aigen.core.config import EndpointConfig
from airflow_provider_aigen.core.models import CallFailure

__all__ = ["CLIENT", "IMAGE", "KEY", "call", "config", "failure", "over_httpx", "run_client", "trusted_authority"]

ROOT = Path(__file__).resolve().parents[2]
KEY = "key-that-nobody-may-see"
IMAGE = b"image" * 50_000  # more than a socket takes at once


def config(url, **changes):
    return EndpointConfig(**{"base_url": url, "api_key": KEY, "allow_http": True, "timeout_s": 10.0, **changes})


def call(server, *, calls=1, image=IMAGE, url=None, before_send=None, **changes):
    """The results of so many calls, one after the other, by one client."""

    async def scenario():
        async with (
            server,
            HttpOcrClient(config(url or server.url, **changes), max_in_flight=2) as ocr,
        ):
            return [await ocr.call(image, before_send=before_send) for _ in range(calls)]

    return asyncio.run(scenario())


def over_httpx(monkeypatch):
    """Requests go the way that they go through a proxy, but without one."""

    def transport(config, url, headers, max_in_flight):
        ssl_context = client._ssl_context(url)
        return ProxiedTransport(config, headers, ssl_context, None, max_idle=max_in_flight)

    monkeypatch.setattr(client, "_transport", transport)


def failure(result):
    assert isinstance(result, CallFailure), result
    return result.kind, result.sent


def trusted_authority(monkeypatch, tmp_path):
    """Makes server contexts whose certificates the client's authority, named by SSL_CERT_FILE, has signed."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    def context(name, signed_by=ca, **changes):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        signed_by.issue_cert(name, **changes).configure_cert(tls)
        return tls

    return context


# How a process of its own begins; it gets the server's URL and the key.
CLIENT = """
import asyncio, sys
from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.core.config import EndpointConfig
CONFIG = EndpointConfig(sys.argv[1], sys.argv[2], allow_http=True)
"""


def run_client(server, script, **environment):
    """Runs ``script``, which knows ``URL``, in a process of its own against the server; its output."""

    async def scenario():
        async with server:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(script), server.url, KEY,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ, **environment},
            )  # fmt: skip
            output, errors = await process.communicate()
            return process.returncode, output.decode(), errors.decode()

    return asyncio.run(scenario())
