# SPDX-License-Identifier: Apache-2.0
"""The operators, each in a module of its own, and their base."""
