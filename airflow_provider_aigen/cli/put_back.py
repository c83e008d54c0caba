# SPDX-License-Identifier: Apache-2.0
"""Put dead letters back under the source, as new objects that the next run takes (docs/how-to/dead-letters.md).

    python -m airflow_provider_aigen.cli.put_back DEAD_LETTER AGAIN STATE CODE…

What the endpoint said about these bytes is forgotten, so each document is called and paid once more. A letter is
deleted when its image lies under the source. Partial documents stay as they are: the rows of their good pages are in
the table. Run it only while no run works on this destination. It may be stopped and run again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import boto3
from botocore.exceptions import ClientError


def letters(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records under ``prefix`` with their keys."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", ()):
            if item["Key"].endswith(".json"):
                yield item["Key"], json.loads(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())


def exists(s3: Any, bucket: str, key: str) -> bool:
    """Whether the object is there."""
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        return False
    return True


def main() -> None:
    """Put the letters back, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dead_letter", help="the operator's dead_letter, s3://…")
    parser.add_argument("again", help="a prefix inside the operator's source, s3://…")
    parser.add_argument("state", help="the operator's state, s3://…: <destination>/_aigen unless it names another")
    parser.add_argument("error_code", nargs="+", help="as the dead-letter prefix names it")
    args = parser.parse_args()
    s3 = boto3.client("s3")
    bucket, root = _split(args.dead_letter.rstrip("/"))
    again_bucket, again = _split(args.again.rstrip("/"))
    state_bucket, state = _split(args.state.rstrip("/"))
    for code in args.error_code:
        for key, letter in letters(s3, bucket, f"{root}/error_code={code}/"):
            if letter["outcome"] != "dead_letter" or letter["image"] is None:
                print(letter["document_id"], "stays:", letter["outcome"], "" if letter["image"] else "without image")
                continue
            image = _split(letter["image"])
            new = f"{again}/{letter['document_id']}{PurePosixPath(image[1]).suffix}"
            # Where it is there, an earlier call came so far, and a run may have read it since: its answer stays.
            if not exists(s3, again_bucket, new):
                if sha256 := letter["content_sha256"]:
                    for folder in ("answers", "claims"):  # a claim makes the next run wait until it expires
                        name = f"{state}/{folder}/{letter['document_type']}/{sha256[:2]}/{sha256}.json.gz"
                        s3.delete_object(Bucket=state_bucket, Key=name)
                s3.copy_object(Bucket=again_bucket, Key=new, CopySource={"Bucket": image[0], "Key": image[1]})
            s3.delete_object(Bucket=bucket, Key=key)
            s3.delete_object(Bucket=image[0], Key=image[1])
            print(letter["document_id"], "put back as", f"s3://{again_bucket}/{new}")


def _split(uri: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


if __name__ == "__main__":
    main()
