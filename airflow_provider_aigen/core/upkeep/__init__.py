# SPDX-License-Identifier: Apache-2.0
"""Pure choices about data that is written already: which parts are written again, and as what."""
