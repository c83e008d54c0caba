# SPDX-License-Identifier: Apache-2.0
"""Records every S3 call that goes through the amazon provider, which loads this by name (``conftest.py`` sets
``[aws] session_factory``): one JSON line a call in the file that the variable ``S3_CALLS`` names, none without it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import BaseSessionFactory


class RecordingSessions(BaseSessionFactory):
    def create_session(self, deferrable: bool = False) -> Any:
        session = super().create_session(deferrable)
        session.events.register("before-parameter-build.s3", _record)
        return session


def _record(params: dict[str, Any], model: Any, **_: Any) -> None:
    if "S3_CALLS" not in os.environ:
        return
    call = {"operation": model.name, **{name: value for name, value in params.items() if name != "Body"}}
    with Path(os.environ["S3_CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write(json.dumps(call, default=str) + "\n")
