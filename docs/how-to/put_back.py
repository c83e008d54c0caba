# SPDX-License-Identifier: Apache-2.0
"""Put dead letters back under the source, as new objects that the next run takes (docs/how-to/dead-letters.md).

    python put_back.py s3://lake/dead_letter/books/ s3://scans/incoming/again/ s3://lake/books/_aigen/ CODE…

What the endpoint said of these bytes is forgotten, so each of them is a call that is paid again. A letter goes when its
image lies under the source. Partial documents stay as they are: the rows of their good pages are in the table. Run it
while no run works on this destination.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import boto3
from botocore.exceptions import ClientError


def split(uri: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


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
    """One letter after the other; it may be stopped and run again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dead_letter", help="the operator's")
    parser.add_argument("again", help="a prefix inside the operator's source")
    parser.add_argument("state", help="the operator's: <destination>/_aigen, if it names none")
    parser.add_argument("error_code", nargs="+", help="as it stands in the prefix")
    args = parser.parse_args()
    s3 = boto3.client("s3")
    bucket, root = split(args.dead_letter.rstrip("/"))
    again_bucket, again = split(args.again.rstrip("/"))
    state_bucket, state = split(args.state.rstrip("/"))
    for code in args.error_code:
        for key, letter in letters(s3, bucket, f"{root}/error_code={code}/"):
            if letter["outcome"] != "dead_letter" or letter["image"] is None:
                print(letter["document_id"], "stays:", letter["outcome"], "" if letter["image"] else "without image")
                continue
            image = split(letter["image"])
            new = f"{again}/{letter['document_id']}{PurePosixPath(image[1]).suffix}"
            if not exists(s3, again_bucket, new):  # else an earlier call came so far, and a run may have read it since
                if sha256 := letter["content_sha256"]:
                    for folder in ("answers", "claims"):  # a claim makes the next run wait until it expires
                        name = f"{state}/{folder}/{letter['document_type']}/{sha256[:2]}/{sha256}.json.gz"
                        s3.delete_object(Bucket=state_bucket, Key=name)
                s3.copy_object(Bucket=again_bucket, Key=new, CopySource={"Bucket": image[0], "Key": image[1]})
            s3.delete_object(Bucket=bucket, Key=key)
            s3.delete_object(Bucket=image[0], Key=image[1])
            print(letter["document_id"], "put back as", f"s3://{again_bucket}/{new}")


if __name__ == "__main__":
    main()
