# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from tests.docs.conftest import empty, s3

__all__ = ["empty", "s3"]
