# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from tests.docs.conftest import empty

__all__ = ["empty"]
