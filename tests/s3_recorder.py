# SPDX-License-Identifier: Apache-2.0
"""Records every S3 call that goes through the amazon provider, which loads this by name (``conftest.py`` sets
``[aws] session_factory``): one JSON line per call in the file that the variable ``S3_CALLS`` names, none without it.
Where they are recorded, boto3 makes every call.
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
        if "S3_CALLS" in os.environ:
            from airflow_provider_aigen.adapters.s3 import obstore_client

            session.events.register("before-parameter-build.s3", _record)
            obstore_client._is_served = lambda *_: False
        return session


def _record(params: dict[str, Any], model: Any, **_: Any) -> None:
    call = {"operation": model.name, **{name: value for name, value in params.items() if name != "Body"}}
    with Path(os.environ["S3_CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write(json.dumps(call, default=str) + "\n")
