# SPDX-License-Identifier: Apache-2.0
"""Put dead letters back under the source, as new objects that the next run takes (docs/how-to/dead-letters.md).

    python put_back.py s3://lake/dead_letter/books/ s3://scans/incoming/again/ s3://lake/books/_aigen/ CODE…

What the endpoint said of these bytes is forgotten, so each of them is a call that is paid again. A letter goes when its
image lies under the source. Partial documents stay as they are: the rows of their good pages are in the table.
"""

from __future__ import annotations

import argparse
import json
from pathlib import PurePosixPath

import boto3
from botocore.exceptions import ClientError


def split(uri: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def main() -> None:
    """One letter after the other; it may be stopped and run again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dead_letter", help="the operator's")
    parser.add_argument("again", help="a prefix inside the operator's source")
    parser.add_argument("state", help="the operator's: <destination>/_aigen, if it names none")
    parser.add_argument("error_code", nargs="+", help="as it stands in the prefix")
    args = parser.parse_args()
    s3 = boto3.client("s3")
    bucket, letters = split(args.dead_letter.rstrip("/"))
    again_bucket, again = split(args.again.rstrip("/"))
    state_bucket, state = split(args.state.rstrip("/"))

    def exists(bucket: str, key: str) -> bool:
        try:
            s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            return False
        return True

    for code in args.error_code:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{letters}/error_code={code}/")
        for item in (item for page in pages for item in page.get("Contents", ())):
            if not item["Key"].endswith(".json"):
                continue
            letter = json.loads(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
            if letter["outcome"] != "dead_letter" or letter["image"] is None:
                print(letter["document_id"], "stays:", letter["outcome"], "" if letter["image"] else "without image")
                continue
            image = split(letter["image"])
            new = f"{again}/{letter['document_id']}{PurePosixPath(image[1]).suffix}"
            if not exists(again_bucket, new):  # else an earlier call of this came so far, and a run may have read it
                if sha256 := letter["content_sha256"]:
                    answer = f"{state}/answers/{letter['document_type']}/{sha256[:2]}/{sha256}.json.gz"
                    s3.delete_object(Bucket=state_bucket, Key=answer)
                s3.copy_object(Bucket=again_bucket, Key=new, CopySource={"Bucket": image[0], "Key": image[1]})
            s3.delete_object(Bucket=bucket, Key=item["Key"])
            s3.delete_object(Bucket=image[0], Key=image[1])
            print(letter["document_id"], "put back as", f"s3://{again_bucket}/{new}")


if __name__ == "__main__":
    main()
