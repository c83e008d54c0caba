# SPDX-License-Identifier: Apache-2.0
"""An AIGEN endpoint for one's own machine and CI, and synthetic documents to send it.

The rule that holds here: nothing is imported from the rest of the package. The simulator is a reading of the contract
of its own, so that provider and simulator can't agree on the same mistake.

`python -m airflow_provider_aigen.simulator` starts it, `running_simulator()` runs it inside a test, and
`python -m airflow_provider_aigen.simulator.books OUT` draws documents. Needs the extra ``simulator``.
"""

from __future__ import annotations

try:
    from airflow_provider_aigen.simulator.images import add_truth, save_image
    from airflow_provider_aigen.simulator.options import DEFAULT_KEY, Options
    from airflow_provider_aigen.simulator.running import RunningSimulator, running_simulator
    from airflow_provider_aigen.simulator.server import Simulator
    from airflow_provider_aigen.simulator.truth import Degradation, Marker, TrueField, Truth
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is missing: pip install 'airflow-provider-aigen[simulator]'", name=error.name
    ) from error

__all__ = [
    "DEFAULT_KEY",
    "Degradation",
    "Marker",
    "Options",
    "RunningSimulator",
    "Simulator",
    "TrueField",
    "Truth",
    "add_truth",
    "running_simulator",
    "save_image",
]
