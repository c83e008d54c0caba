# SPDX-License-Identifier: Apache-2.0
"""Manifests that name a run's objects: S3 Inventory, and lists of URIs."""
