# SPDX-License-Identifier: Apache-2.0
"""S3 over boto3."""
