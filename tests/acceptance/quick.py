# SPDX-License-Identifier: Apache-2.0
"""The operator with less patience, importable from a subprocess too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.core.config import RetryConfig
from airflow_provider_aigen.operators.ocr import AigenOcrOperator

if TYPE_CHECKING:
    from airflow_provider_aigen.runtime.task import Task

__all__ = ["QuickOcrOperator"]


class QuickOcrOperator(AigenOcrOperator):
    """Waits less than the real one."""

    def work(self, task: Task) -> dict[str, Any]:
        self._written = task.written
        retry = RetryConfig(backoff_base_s=0.02, pauses_s=(0.02, 0.08), breaker_cooldown_s=0.3)
        return task.ocr(replace(task.pipeline_config(), retry=retry))
