# SPDX-License-Identifier: Apache-2.0
"""The request, and that it is sent at most once, whatever becomes of its connection."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path

import pytest

from airflow_provider_aigen import __version__
from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import FailureKind
from tests.adapters.endpoint.ocr_calls import (
    CLIENT,
    IMAGE,
    KEY,
    call,
    config,
    failure,
    over_httpx,
    run_client,
    trusted_authority,
)
from tests.kit.memory import most_held
from tests.kit.servers.hostile import (
    Exchange,
    HostileServer,
    answer,
    close_now,
    endless,
    gzip_bomb,
    raw,
    reset_now,
    silence,
)


@pytest.fixture
def authority(monkeypatch, tmp_path):
    return trusted_authority(monkeypatch, tmp_path)


@pytest.fixture(params=[False, True], ids=["direct", "as through a proxy"])
def either_way(request, monkeypatch):
    if request.param:
        over_httpx(monkeypatch)


@pytest.mark.usefixtures("either_way")
def test_the_request_is_the_contracts():
    server = HostileServer(answer(206, b'{"status": "success"}', Retry_After="7"))
    [result] = call(server)

    assert (result.status, result.body, result.retry_after) == (206, b'{"status": "success"}', "7")
    assert result.latency_s == round(result.latency_s, 3) >= 0
    [request] = server.requests
    assert request.target == "/aiscript/vehicle-registration-book/v2"
    assert json.loads(request.body) == {"image": base64.b64encode(IMAGE).decode()}
    assert request.headers == {
        "host": f"localhost:{server.port}",
        "x-aigen-key": KEY,
        "content-type": "application/json",
        "content-length": str(len(request.body)),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"airflow-provider-aigen/{__version__}",
    }


@pytest.mark.usefixtures("either_way")
def test_no_copy_of_an_image_is_made_to_send_it():
    """Nor is its base64 in memory as a whole."""
    image, received = bytes(8_000_000), 0

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        head = await reader.readuntil(b"\r\n\r\n")
        [length] = re.findall(rb"content-length: (\d+)", head.lower())
        while received < int(length):
            received += len(await reader.read(1 << 16))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    assert most_held(lambda: call(HostileServer(on_connect=swallow), image=image)) < len(image) / 2
    assert received > len(image)


def test_each_document_type_has_its_endpoint():
    server = HostileServer()
    call(server, document_type="idcard/v2")
    assert [request.target for request in server.requests] == ["/aiscript/idcard/v2"]


@pytest.mark.parametrize("prefix", ["/gateway/ocr", "/gateway/ocr/"])
def test_a_base_url_may_have_a_path(prefix):
    async def scenario():
        async with HostileServer() as server:
            async with HttpOcrClient(config(server.url + prefix), max_in_flight=1) as client:
                await client.call(b"")
            return server.requests

    [request] = asyncio.run(scenario())
    assert request.target == "/gateway/ocr/aiscript/vehicle-registration-book/v2"


def test_calls_beyond_max_in_flight_do_not_wait_and_connections_are_kept():
    async def scenario():
        together = asyncio.Barrier(5)

        async def wait_for_all(exchange: Exchange) -> None:
            await together.wait()
            await answer()(exchange)

        async with HostileServer(wait_for_all) as server:
            async with HttpOcrClient(config(server.url), max_in_flight=2) as client:
                results, connections = [], []
                for _ in range(2):
                    results += await asyncio.gather(*(client.call(b"") for _ in range(5)))
                    connections.append(server.connections)
            return results, connections

    results, connections = asyncio.run(scenario())
    assert [result.status for result in results] == [200] * 10
    assert connections == [5, 5]


@pytest.mark.parametrize("host", ["http://\u2028.example", f"http://{'ก' * 70}.example"])
def test_a_host_that_no_request_can_be_made_for_is_refused_when_the_client_is_made(host):
    with pytest.raises(ConfigurationError, match="host"):
        HttpOcrClient(config(host), max_in_flight=1)


# --- at most once ----------------------------------------------------------------------------------------------------


def test_a_kept_connection_that_the_server_closed_is_replaced_before_anything_is_sent():
    async def scenario():
        closed = asyncio.Event()

        async def answer_and_close(exchange: Exchange) -> None:
            await answer()(exchange)
            exchange.close()
            await exchange.writer.wait_closed()
            closed.set()

        server = HostileServer(answer_and_close, answer(201))
        async with server, HttpOcrClient(config(server.url), max_in_flight=1) as client:
            first = await client.call(IMAGE)
            await closed.wait()
            return first, await client.call(IMAGE), server

    first, second, server = asyncio.run(scenario())
    assert (first.status, second.status) == (200, 201)
    assert (len(server.requests), server.connections) == (2, 2)


@pytest.mark.parametrize("act", [close_now, reset_now], ids=["closed", "reset"])
def test_a_kept_connection_that_breaks_under_a_request_is_not_tried_again(act):
    server = HostileServer(answer(), act, answer(201))
    first, second, third = call(server, calls=3)
    assert first.status == 200
    assert failure(second) == (FailureKind.RESET, True)
    assert third.status == 201
    assert (len(server.requests), server.connections) == (3, 2)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True])
def test_an_answer_that_was_there_before_its_request_is_nobodys(authority, tls):
    both = raw(ANSWER + b"{}" + ANSWER + b"[]", then_close=False)
    server = HostileServer(both, answer(201), answer(202), tls=authority("localhost") if tls else None)
    first, second, third = call(server, calls=3)
    assert (first.body, second.status, third.status) == (b"{}", 201, 202)
    assert server.connections == 2


def test_an_answer_that_comes_while_a_request_waits_for_its_turn_is_nobodys():
    async def scenario():
        unasked, sent = asyncio.Event(), asyncio.Event()

        async def answer_twice(exchange: Exchange) -> None:
            await answer(body=b"{}")(exchange)
            await unasked.wait()
            await answer(body=b"[]")(exchange)
            sent.set()

        async def wait_for_it():
            unasked.set()
            await sent.wait()
            for _ in range(20):  # the loop turns, and reads what has come
                await asyncio.sleep(0)

        server = HostileServer(answer_twice, answer(201))
        async with server, HttpOcrClient(config(server.url), max_in_flight=1) as client:
            first = await client.call(IMAGE)
            return first, await client.call(IMAGE, before_send=wait_for_it), await client.call(IMAGE), server

    first, second, third, server = asyncio.run(scenario())
    assert (first.body, third.status) == (b"{}", 201)
    assert failure(second) == (FailureKind.PROTOCOL, True)
    assert len(server.requests) == 2


@pytest.mark.parametrize(("behind", "first"), [(b"\r\n", 200), (b" and more", FailureKind.PROTOCOL)])
def test_bytes_behind_an_answer_do_not_reach_the_next_one(behind, first):
    server = HostileServer(raw(ANSWER + b"{}" + behind, then_close=False), answer(201), answer(202))
    results = call(server, calls=3)
    assert [getattr(result, "status", None) or result.kind for result in results] == [first, 201, 202]


def test_a_cancelled_call_closes_its_connection_and_the_next_one_works():
    async def scenario():
        left = asyncio.Event()

        async def wait(exchange: Exchange) -> None:
            await exchange.client_left()
            left.set()

        server = HostileServer(wait, answer())
        async with server, HttpOcrClient(config(server.url), max_in_flight=1) as client:
            pending = asyncio.create_task(client.call(IMAGE))
            await server.arrived.wait()
            pending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pending
            await left.wait()
            return await client.call(IMAGE), server.connections

    result, connections = asyncio.run(scenario())
    assert result.status == 200
    assert connections == 2


def test_a_process_ends_without_a_word_of_what_was_left_open(authority):
    status, output, errors = run_client(
        HostileServer(answer(), silence, tls=authority("localhost")),
        CLIENT
        + """
async def main():
    connected = asyncio.Semaphore(0)

    async def begins():
        connected.release()

    async with HttpOcrClient(CONFIG, max_in_flight=2) as client:
        print((await client.call(b"")).status)
        pending = [asyncio.create_task(client.call(b"", before_send=begins)) for _ in range(3)]
        for _ in pending:
            await connected.acquire()  # asyncio says a word of a handshake that is cut
        await asyncio.wait(pending, timeout=0.2)
        pending[0].cancel()
        await asyncio.wait(pending, timeout=0.1)

asyncio.run(main())
""",
    )
    assert (status, output) == (0, "200\n"), errors
    quiet = [line for line in errors.splitlines() if not line.startswith("Executing <")]  # -X dev on slow steps
    assert quiet == []


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's peak memory from Linux's /proc")
@pytest.mark.parametrize(
    "act", [answer(body=gzip_bomb(500), Content_Encoding="gzip"), endless], ids=["bomb", "endless"]
)
def test_500_megabytes_cost_less_than_64(act):
    status, output, errors = run_client(
        HostileServer(answer(), act),
        CLIENT
        + """
async def main():
    async with HttpOcrClient(CONFIG, max_in_flight=1) as client:
        await client.call(b"")  # what the first call imports is not the question
        before = peak()
        print((await client.call(b"")).kind, peak() - before)

def peak():
    [line] = [line for line in open("/proc/self/status").readlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024

asyncio.run(main())
""",
        PYTHONWARNINGS="ignore::ResourceWarning",
    )
    assert status == 0, errors
    kind, grown = output.split()
    assert kind == "too_large"
    assert int(grown) < 64
