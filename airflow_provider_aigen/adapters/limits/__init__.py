# SPDX-License-Identifier: Apache-2.0
"""The pace: in one process, or shared through Redis."""
