# SPDX-License-Identifier: Apache-2.0
"""The provider's own objects on S3: plans, claims, answers, commits, reports."""
