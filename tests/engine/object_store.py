"""An S3-compatible store on this machine for tests: a bucket as a backend of the engine.

Owns: the server (moto's, in this process), a bucket per use, and the address and environment by which the engine and
`slipway.releases.backend.store` reach it. Does not own: what is kept there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
from typing import TYPE_CHECKING, Any

import boto3
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Bucket", "object_store"]

_REGION = "us-east-1"
_NUMBERS = itertools.count(1)
# The server takes any; nobody's own may be used by a test.
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",  # nothing is looked for on the network
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bucket:
    """An empty bucket at a running server."""

    url: str
    """As `PULUMI_BACKEND_URL` takes it."""
    environment: dict[str, str]
    """What the engine needs beside its own: the address as PULUMI_BACKEND_URL, and credentials."""
    client: Any
    """boto3's, for a test that looks at or spoils what is in it."""
    name: str

    def names(self, prefix: str = "") -> list[str]:
        """The objects below `prefix`, sorted."""
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix).get("Contents", [])
        return sorted(each["Key"] for each in found)


@contextlib.contextmanager
def object_store() -> Iterator[Bucket]:
    """A bucket of its own until the block ends; after it the server answers nothing."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line per request otherwise
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint, name = f"http://{host}:{port}", f"states-{next(_NUMBERS)}"
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=_REGION,
            aws_access_key_id=_CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )
        client.create_bucket(Bucket=name)
        url = f"s3://{name}?endpoint={endpoint}&s3ForcePathStyle=true&region={_REGION}"
        yield Bucket(url=url, environment={"PULUMI_BACKEND_URL": url, **_CREDENTIALS}, client=client, name=name)
    finally:
        server.stop()
