# SPDX-License-Identifier: Apache-2.0
"""Options are checked when they are made, from Python, from JSON and from the command line."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import sys

import pytest

from airflow_provider_aigen.simulator import Options
from airflow_provider_aigen.simulator.__main__ import main, options_of, parser
from tests.simulator.calls import CLIENT, post, scan


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keys", ()), ("keys", "text"), ("keys", (1,)), ("documents", ["a/b"]), ("codes", "v3"), ("latency_ms", -1),
        ("latency_ms", "10"), ("latency_ms", float("nan")), ("latency_jitter", 1.5), ("rate_limit", 0),
        ("rate_limit", 1.5), ("rate_limit", True), ("credit", -1), ("outage", 1), ("outage_seconds", ((1,),)),
        ("outage_calls", (("a", 2),)),
        ("outage_fault", "500 or so"), ("error_share", -0.1), ("seed", "x"), ("retry_after", 5), ("price_per_call", -1),
        ("port", "80"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        Options(**{name: value})


def test_shares_add_up_to_one_at_most():
    with pytest.raises(ValueError, match="together"):
        Options(error_share=0.5, reset_share=0.4, malformed_share=0.2)


def test_changes_come_as_json():
    changed = Options().changed({"outage_calls": [[1, 2]], "keys": ["a"], "rate_limit": None})
    assert (changed.outage_calls, changed.keys, changed.rate_limit) == (((1, 2),), ("a",), None)
    json.dumps(changed.shown())


def test_the_command_line_has_every_option_and_the_same_defaults():
    options = options_of(parser().parse_args([]))
    assert options == Options(port=8089)
    text = """
        --host 127.0.0.2 --port 1 --key a --key b --forbidden-key c --document x/v1 --codes later --latency-ms 5
        --latency-jitter 0.5 --rate-limit 3 --retry-after none --credit 9 --outage 1:2.5 --outage-calls 3:4
        --outage-fault reset --error-share 0.1 --reset-share 0.2 --malformed-share 0.3 --seed 4 --price-per-call 2
    """
    given = parser().parse_args(text.split())
    assert options_of(given) == Options(
        host="127.0.0.2", port=1, keys=("a", "b"), forbidden_keys=("c",), documents=("x/v1",), codes="later",
        latency_ms=5, latency_jitter=0.5, rate_limit=3, retry_after=None, credit=9, outage_seconds=((1, 2.5),),
        outage_calls=((3, 4),), outage_fault="reset", error_share=0.1, reset_share=0.2, malformed_share=0.3, seed=4,
        price_per_call=2,
    )  # fmt: skip
    missing = {field.name for field in dataclasses.fields(Options)} - set(vars(given)) - {"outage"}
    assert missing == set()


@pytest.mark.parametrize("arguments", [["--rate-limit", "0"], ["--outage", "soon"], ["--codes", "v3"], ["--nothing"]])
def test_a_wrong_command_line_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


def test_it_starts_says_where_serves_and_stops_on_a_signal():
    command = [sys.executable, "-m", "airflow_provider_aigen.simulator", "--port", "0", "--key", "a-key"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())[0]
            assert post(url, scan(), key="a-key").status_code == 200
            taken = [*command[:4], url.rpartition(":")[2]]
            second = subprocess.run(taken, capture_output=True, text=True, check=False)
            assert (second.returncode, "cannot listen" in second.stderr) == (1, True)
            assert CLIENT.get(f"{url}/stats").json()["calls"] == 1
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=20)
            assert process.returncode == 0
            assert "call 1 vehicle-registration-book/v2: 200" in log
        finally:
            process.kill()
