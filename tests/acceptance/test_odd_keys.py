# SPDX-License-Identifier: Apache-2.0
"""Keys that SeaweedFS, which keeps them as paths, would change: on moto's server, which doesn't."""

from __future__ import annotations

from tests.acceptance.conftest import Lake
from tests.kit.servers.s3 import moto
from tests.scans import scan

KEYS = ["//", "//double.jpg", "a//b.jpg", "/lead.jpg", "trailing/", "back\\slash.jpg", "dot.", "100%25.jpg", "ก" * 330]


def test_a_key_that_no_file_could_have_is_a_key(execute, connections, simulator):
    with moto() as server:
        lake = Lake(server.client())
        connections.aws(server)
        for number, key in enumerate(KEYS):
            lake.put(f"scans/in/{key}", scan({"color": f"สี {number}"}))
        places = {
            "source": lake.uri("scans/in/"),
            "destination": lake.uri("lake/books/"),
            "dead_letter": lake.uri("lake/dead/"),
        }
        first = execute("one", **places)
        assert (first["documents"], first["extracted"]) == (len(KEYS), len(KEYS))
        assert execute("two", **places)["documents"] == 0
    assert simulator.stats()["calls"] == len(KEYS)
