# SPDX-License-Identifier: Apache-2.0
"""The operators, and what assembles the pipeline for them."""
