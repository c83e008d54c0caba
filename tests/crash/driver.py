# SPDX-License-Identifier: Apache-2.0
"""Runs a trial: processes, signals, networks; then the same run again until it succeeds, the next run, and a clear."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.checker import Event, Facts, etags, everything, inspect
from tests.crash.proxy import Faults, Network, Proxy
from tests.crash.trial import Strike, Trial
from tests.crash.worker import BUG, DONE, KEY, NO_RETRY, RETRY, Try, work
from tests.kit.servers.process import simulator_process
from tests.kit.servers.s3 import S3Server

__all__ = ["Machine", "Result", "machine", "run_trial"]

# Of a call to the endpoint. One that is given up is paid again, which the journal can't explain: so only a dripping
# answer may reach it. On a machine with eight processes a core an honest call took over five seconds.
_TIMEOUT_S = 60.0
_TIMEOUT_OF_DRIPS_S = 5.0
_S3_TIMEOUT_S = 10.0
_GRACE_S = 5.0  # Airflow's, between SIGTERM and SIGKILL
_LIMIT_S = 90.0  # a try that takes longer hangs
_MOST_TRIES = 12
_NAMES = {DONE: "done", RETRY: "retry", NO_RETRY: "no retry", BUG: "bug"}

# Forked from one process that has imported everything, as Airflow forks its tasks.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.crash.campaign"])


@dataclass
class Machine:
    """What trials share that run one after the other: a store, an endpoint, a network."""

    s3: S3Server
    client: Any
    aigen_url: str
    network: Network
    logs: Path

    def ask(self, path: str, **changes: Any) -> Any:
        data = None if path in ("/stats", "/journal") else json.dumps(changes).encode()
        with urllib.request.urlopen(self.aigen_url + path, data, timeout=30) as answer:
            return json.load(answer)


@contextmanager
def machine(s3: S3Server, network: Network, logs: Path) -> Iterator[Machine]:
    """With a simulator in a process of its own."""
    # The errors in its log are senders that were killed in mid-call.
    with simulator_process(KEY, logs / "simulator.log", "--quiet") as url:
        yield Machine(s3, s3.client(max_pool_connections=16), url, network, logs)


@dataclass
class Result:
    """``kills`` are SIGKILLs, ``ends`` how the processes ended, ``faults`` the networks' (``s3 cut`` and so on)."""

    trial: Trial
    violations: list[str] = field(default_factory=list)
    calls: int = 0
    paid_again: int = 0
    bound: int = 0
    documents: int = 0
    service_errors: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0


@dataclass
class _Process:
    process: Any
    s3: Proxy
    ocr: Proxy
    struck: threading.Event = field(default_factory=threading.Event)

    def signal(self, number: int) -> bool:
        """Whether it was still there."""
        if not self.process.is_alive():
            return False
        os.kill(self.process.pid, number)
        return True

    def wait(self, limit_s: float = _LIMIT_S) -> int | None:
        """Exit code, None where it is still running."""
        self.process.join(limit_s)
        return self.process.exitcode


class _Driver:
    def __init__(self, trial: Trial, there: Machine, stack: ExitStack) -> None:
        self.trial = trial
        self.there = there
        self.result = Result(trial)
        self.events: list[Event] = []
        self.ocr_proxies: list[Proxy] = []
        self._stack = stack
        self._started = 0
        self._changes = list(trial.changes)
        self._random = random.Random(f"network {trial.seed}")

    def run(self) -> Result:
        getattr(self, "_" + self.trial.kind.replace("-", "_"))()
        self._finish("run")
        for change in self._changes:
            self._change(change)
        self._finish("next")
        facts = Facts(
            prefix=self.trial.prefix,
            max_in_flight=self.trial.max_in_flight,
            events=tuple(self.events),
            lost_answers=sum(proxy.done[kind] for proxy in self.ocr_proxies for kind in proxy.done if kind != "drop"),
            touched=frozenset(change.key for change in self.trial.changes),
            service_may_fail=bool(self.trial.ocr.most or self.trial.error_share),
        )
        self._clear()
        found = inspect(self.there.client, facts, self.there.ask("/journal"))
        result = self.result
        result.violations += found.violations
        result.calls, result.paid_again, result.bound = found.calls, found.paid_again, found.bound
        result.documents, result.service_errors = found.documents, found.service_errors
        return result

    # --- the kinds --------------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        for strike in self.trial.strikes:
            one = self._start("run", strike, lambda one: self._send(one, signal.SIGKILL))
            if self._ended(one, killed=True) == DONE:
                return

    def _term(self) -> None:
        for strike in self.trial.strikes:
            one = self._start("run", strike, lambda one: self._send(one, signal.SIGTERM))
            while not one.struck.wait(0.02) and one.process.is_alive():
                pass
            if one.struck.is_set() and one.wait(_GRACE_S) is None:
                self._send(one, signal.SIGKILL)
            if self._ended(one, killed=True) == DONE:
                return

    def _zombie(self) -> None:
        zombie = self._start("run", self.trial.strikes[0], lambda one: self._send(one, signal.SIGSTOP))
        while not zombie.struck.wait(0.02) and zombie.process.is_alive():
            pass
        self._finish("run")
        if self.trial.wake_after_next_run:
            self._finish("next")
        if zombie.struck.is_set():
            self._send(zombie, signal.SIGCONT)
        self._ended(zombie)

    def _overlap(self) -> None:
        first = self._start("run")
        first.wait(self.trial.second_after_s)  # drawn, as a strike's delay is
        second = self._start("other")
        self._ended(first)
        self._ended(second)
        self._finish("other")

    def _s3_network(self) -> None:
        self._finish("run", broken=3)

    def _ocr_network(self) -> None:
        self._finish("run", broken=3)

    def _storm(self) -> None:
        self._kill()
        self._finish("run", broken=2)

    # --- processes --------------------------------------------------------------------------------------------------

    def _start(
        self,
        run_id: str,
        strike: Strike | None = None,
        send: Callable[[_Process], None] | None = None,
        *,
        broken: bool = True,
    ) -> _Process:
        self._started += 1
        here: list[_Process] = []

        def seen(where: str) -> Callable[[int], None]:
            def look(number: int) -> None:
                if where == "ocr":
                    for change in [one for one in self._changes if one.at_call == number]:
                        self._changes.remove(change)
                        threading.Thread(target=self._change, args=(change,)).start()
                if strike is not None and send is not None and (strike.where, strike.request) == (where, number):
                    threading.Timer(strike.delay_s, lambda: send(here[0])).start()

            return look

        def proxy(target: str, where: str, share: float, most: int) -> Proxy:
            faults = Faults(share, most=most if broken else 0, random=random.Random(self._random.random()))
            return self._stack.enter_context(self.there.network.proxy(target, faults, seen(where)))

        trial = self.trial
        s3 = proxy(self.there.s3.endpoint_url, "s3", trial.s3.share, trial.s3.most)
        ocr = proxy(self.there.aigen_url, "ocr", trial.ocr.share, trial.ocr.most)
        task = Try(
            prefix=trial.prefix,
            run_id=run_id,
            s3=S3Server(s3.url, self.there.s3.access_key, self.there.s3.secret_key),
            aigen_url=ocr.url,
            log=self.there.logs / f"{trial.prefix}-{self._started}-{run_id}.log",
            max_in_flight=trial.max_in_flight,
            batch_size=trial.batch_size,
            requests_per_second=trial.requests_per_second,
            writer_lives_s=trial.writer_lives_s,
            timeout_s=_TIMEOUT_OF_DRIPS_S if trial.ocr.most and broken else _TIMEOUT_S,
            s3_timeout_s=_S3_TIMEOUT_S,
        )
        one = _Process(_PROCESSES.Process(target=work, args=(task,)), s3, ocr)
        here.append(one)
        self.ocr_proxies.append(ocr)
        one.process.start()
        self._stack.callback(one.signal, signal.SIGKILL)  # a zombie that slept when the trial broke off
        return one

    def _send(self, one: _Process, number: signal.Signals) -> None:
        if one.signal(number):
            self.events.append(Event(number.name, time.monotonic()))
            self.result.signals[number.name] += 1
        one.struck.set()

    def _ended(self, one: _Process, *, killed: bool = False) -> int | None:
        """Wait for its end, and judge it."""
        code = one.wait()
        if code is None:
            one.signal(signal.SIGKILL)
            self.events.append(Event("SIGKILL", time.monotonic()))
            self._violated(f"a process did not end within {_LIMIT_S:.0f} s")
            one.wait()
        self.result.ends[_NAMES.get(code or 0, "killed")] += 1
        self.events.append(Event("end", time.monotonic()))
        if code in (NO_RETRY, BUG) or (code is not None and code < 0 and not killed):
            self._violated(f"a process ended with {_NAMES.get(code, code)}")
        if code == RETRY and self.trial.s3.most:  # the store failed: answers at hand could not be kept
            self.events.append(Event("retry", time.monotonic()))
        for name, proxy in (("s3", one.s3), ("ocr", one.ocr)):
            self.result.faults.update({f"{name} {kind}": times for kind, times in proxy.done.items()})
        return code

    def _finish(self, run_id: str, *, broken: int = 0) -> None:
        """Try until it succeeds; the first ``broken`` tries on a broken network."""
        for number in range(_MOST_TRIES):
            if self._ended(self._start(run_id, broken=number < broken)) == DONE:
                return
        self._violated(f"{_MOST_TRIES} tries did not finish the run")

    def _violated(self, what: str) -> None:
        self.result.violations.append(what)

    # --- the bucket -------------------------------------------------------------------------------------------------

    def _change(self, change: Any) -> None:
        key = f"{self.trial.prefix}/{change.key}"
        if change.body is None:
            self.there.client.delete_object(Bucket="scans", Key=key)
        else:
            self.there.client.put_object(Bucket="scans", Key=key, Body=change.body)

    def _clear(self) -> None:
        """A clear calls nothing and leaves the same bytes, also where it has to write the tables again."""
        before, calls = etags(self.there.client, self.trial.prefix), self.there.ask("/stats")["calls"]
        if self.trial.rewrite:
            for key in everything(self.there.client, self.trial.prefix):
                if key.endswith((".applied", "/applied.json", ".parquet", ".row")) or (
                    key.startswith("dead/") and key.endswith(".json")
                ):
                    self.there.client.delete_object(Bucket="lake", Key=key)
        self._finish("run")
        after = etags(self.there.client, self.trial.prefix)
        if (again := self.there.ask("/stats")["calls"] - calls) != 0:
            self._violated(f"a cleared run made {again} calls")
        differing = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
        if differing:
            self._violated(f"a cleared run left {len(differing)} objects with other bytes, {min(differing)}")


def run_trial(trial: Trial, there: Machine) -> Result:
    began = time.monotonic()
    there.ask("/reset")
    there.ask(
        "/control", latency_ms=trial.latency_ms, latency_jitter=0.5, error_share=trial.error_share, seed=trial.seed
    )
    for key, body in trial.documents.items():
        there.client.put_object(Bucket="scans", Key=f"{trial.prefix}/{key}", Body=body)
    with ExitStack() as stack:
        driver = _Driver(trial, there, stack)
        try:
            result = driver.run()
        except Exception as error:  # noqa: BLE001 - the campaign goes on, and tells it
            result = driver.result
            result.violations.append(f"{type(error).__name__}: {error}")
    result.took_s = time.monotonic() - began
    return result
