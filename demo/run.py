# SPDX-License-Identifier: Apache-2.0
"""The whole thing on one machine: a real S3 server, the simulator in place of the paid endpoint, 60 synthetic books,
and a real Airflow that runs ``dags/aigen_vehicle_registration.py``.

``make demo`` runs it and shows what it left; again, it shows that nothing is paid twice. ``make up`` (``--keep``)
leaves the services and Airflow's UI running until Ctrl-C. Everything is kept in ``.demo``; ``make clean`` removes it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from demo import show
from demo.browse import browser
from demo.lake import SOURCE, Lake
from demo.stack import API_KEY, HOME, Failed, airflow, airflow_environment, airflow_ui, only_one
from tests.kit.servers.process import ServerFailed, environment, shown, simulator_process
from tests.kit.servers.s3 import S3Server, seaweedfs

DAG, TASK = "aigen_vehicle_registration", "ocr"
FIRST_DATE = datetime(2026, 1, 1, tzinfo=UTC)
BOOKS, COUNT = HOME / "books", 60
LOG = HOME / "logs" / "airflow.log"


@dataclass(frozen=True)
class Services:
    """What runs while the demo does."""

    s3: S3Server
    aigen_url: str
    lake: Lake
    env: Mapping[str, str]

    def calls_served(self) -> int:
        with urllib.request.urlopen(f"{self.aigen_url}/stats", timeout=10) as answer:  # noqa: S310 - loopback
            return int(json.load(answer)["calls"])


def start(stack: ExitStack) -> Services:
    """S3, endpoint, Airflow's database, images. ``stack`` stops what runs."""
    began = time.monotonic()

    def told(label: str, words: str) -> None:
        nonlocal began
        now = time.monotonic()
        show.line(label, f"{words:<78} {now - began:4.1f} s")
        began = now

    drawing = stack.enter_context(drawn_books())
    s3 = stack.enter_context(seaweedfs(HOME / "s3"))
    told("S3", f"SeaweedFS, a real S3 server, at {s3.endpoint_url}")
    aigen_url = stack.enter_context(simulator_process(API_KEY, HOME / "logs" / "simulator.log"))
    told("AIGEN", f"the simulator in place of the paid endpoint, at {aigen_url}")
    env = airflow_environment(s3, aigen_url)
    migrated = HOME / "airflow" / f"migrated-to-{version('apache-airflow')}"
    if not migrated.exists():
        airflow(["db", "migrate"], env, LOG)
        migrated.touch()
    told("Airflow", f"{version('apache-airflow')}, its home is {shown(HOME / 'airflow')}")
    new = drawing()
    lake = Lake(s3.client(), HOME / "lake")
    lake.create_buckets()
    images = lake.upload(BOOKS / "images")
    told("images", f"{images} {'drawn' if new else 'kept from before'}, in s3://{'/'.join(SOURCE)}")
    return Services(s3, aigen_url, lake, env)


@contextmanager
def drawn_books() -> Iterator[Callable[[], bool]]:
    """Draw the books, unless they are there, while other things start. Gives a function that waits for them, and tells
    whether they are new."""
    if BOOKS.exists():
        yield lambda: False
        return
    unfinished = HOME / "books.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    command = [sys.executable, "-m", "airflow_provider_aigen.simulator.books", str(unfinished), "--count", str(COUNT)]
    drawing = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def wait() -> bool:
        _, errors = drawing.communicate()
        if drawing.returncode:
            raise Failed(f"the books could not be drawn:\n\n{errors}")
        unfinished.rename(BOOKS)
        return True

    try:
        yield wait
    finally:
        drawing.kill()
        drawing.wait()


def run(services: Services) -> None:
    """Run the DAG, show what that did, and what lies in the lake after it."""
    earlier = services.lake.reports()
    if earlier:
        show.heading("The next hour's run of the DAG: nothing is new, so nothing is called")
    else:
        show.heading("The DAG, run by Airflow")
    date = FIRST_DATE + timedelta(hours=len(earlier))
    run_task(services, ["dags", "test", DAG, f"{date:%Y-%m-%dT%H:%M}"])
    tables = services.lake.tables()
    if earlier:
        show.heading("The first run's task once more, as a clear in the UI would: its plan and its commits are there")
        first = tables.execute("SELECT run_id FROM documents ORDER BY commit LIMIT 1").fetchall()[0][0]
        run_task(services, ["tasks", "test", DAG, TASK, first])
    show.heading("What became of the images, over all runs")
    show.outcomes(tables, json.loads((BOOKS / "manifest.json").read_text(encoding="utf-8")))
    show.heading("Dead letters by code")
    show.dead_letters(tables, services.lake)
    show.heading("The table `records`: one typed row per page, ten of them")
    if tables.execute("SELECT 1 FROM duckdb_views() WHERE view_name = 'records'").fetchall():
        show.query(tables, show.BOOKS)
    else:
        show.text("An older version read these books, and wrote no such table. Delete the folder .demo to begin anew.")
    show.heading("Where everything lies")
    show.places(services.s3, running=False)


def run_task(services: Services, arguments: list[str]) -> None:
    """One airflow command that runs the task, then the report that the task wrote."""
    show.code(f"$ airflow {' '.join(arguments)}")
    before, began = services.calls_served(), time.monotonic()
    airflow(arguments, services.env, LOG)
    show.report(services.lake.newest_report(), services.calls_served() - before, time.monotonic() - began)


def serve(stack: ExitStack, services: Services) -> None:
    """Airflow's UI and scheduler, until Ctrl-C or SIGTERM."""
    pages = stack.enter_context(browser(services.s3.client(), HOME / "browser-port"))
    ui, env = stack.enter_context(airflow_ui({**services.env, "AIRFLOW__AIGEN__S3_BROWSER_URL": pages}))
    settings = HOME / "airflow.env"
    settings.write_text(as_exports(env), encoding="utf-8")
    stack.callback(settings.unlink)
    show.heading("Running until Ctrl-C, on this machine only")
    show.line("Airflow UI", f"{ui}/dags/{DAG}   no login")
    show.line("files on S3", f"{pages}   the buttons of a task lead there: run report, dead letters, output")
    show.line("airflow CLI", f". {shown(settings)}   sets it up in a shell")
    show.line("simulator", f"{services.aigen_url}/stats   what was called, what it would have cost")
    show.heading("Where everything lies")
    show.places(services.s3, running=True)
    show.heading("Try")
    show.text(
        f"The schedule starts a run by itself; start more with the Trigger button or `airflow dags trigger {DAG}`. "
        f"What is put under s3://{'/'.join(SOURCE)}, the next run takes; an image that the simulator didn't draw is no "
        "registration book to it."
    )
    signal.pause()


def as_exports(env: Mapping[str, str]) -> str:
    """Shell lines for what is Airflow's in ``env``."""
    ours = {name: value for name, value in env.items() if name.startswith("AIRFLOW") or name == "PATH"}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in ours.items())


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave everything running, with Airflow's UI, until Ctrl-C")
    keep = parser.parse_args().keep
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            stack.enter_context(only_one())
            show.heading("AIGEN OCR: scanned vehicle registration books on S3 → Parquet, all of it on this machine")
            services = start(stack)
            if keep:
                serve(stack, services)
            else:
                run(services)
                took_s = time.monotonic() - began
                show.heading(f"{took_s:.0f} s in all. Once more: `make demo`. With Airflow's UI: `make up`.")
    except (Failed, ServerFailed) as failure:
        show.error(str(failure))
        return 1
    except KeyboardInterrupt:
        print("\nAll stopped." if keep else "\nInterrupted; all stopped.")
        return 0 if keep else 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
