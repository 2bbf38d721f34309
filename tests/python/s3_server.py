"""A real S3 server for tests (moto's, over HTTP on the loopback interface), with a proxy in front that can do harm."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from faulty_proxy import HOST, HttpProxy

# Nothing real: moto lets everybody in.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "a-secret-that-no-message-may-hold",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass
class S3Bucket:
    """One bucket of the server. What the code under test sends goes through `proxy`; `client` goes around it."""

    name: str
    client: Any
    proxy: HttpProxy

    def put(self, key: str, content: str | bytes) -> None:
        body = content.encode() if isinstance(content, str) else content
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix: str = "") -> list[str]:
        found: list[str] = []
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            found += [item["Key"] for item in page.get("Contents", ())]
        return found

    def head(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.head_object(Bucket=self.name, Key=key)
        return found

    def keep_versions(self) -> None:
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})


@dataclass(frozen=True)
class S3Server:
    """A running server, and a client that goes straight to it."""

    port: int
    client: Any


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server for the tests of this process."""
    import boto3  # noqa: PLC0415  (a second that most test processes do not need)
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  (likewise)

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    try:
        port = int(server.get_host_and_port()[1])
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=f"http://{HOST}:{port}",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  (moto lets everybody in)
            region_name="us-east-1",
        )
        yield S3Server(port, client)
    finally:
        server.stop()


@pytest.fixture
def s3_bucket(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Bucket]:
    """An empty bucket for one test. AWS's own variables lead to it, through a proxy."""
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "TILLHOUSE_S3_KMS_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no_aws_config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no_aws_credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", HOST)
    client = s3_server.client
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    with HttpProxy(HOST, s3_server.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        yield S3Bucket(bucket, client, proxy)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between tries, which are noted and not made."""
    made: list[float] = []
    monkeypatch.setattr("ingestion.retries.pause", made.append)
    return made
