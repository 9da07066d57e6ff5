"""The objects of a self-managed backend: a folder, or a bucket of S3 (or a compatible store), Google or Azure.

Its address, with the parameters that the engine itself takes, becomes an object store of the library (obstore):
https://www.pulumi.com/docs/iac/concepts/state-and-backends/ and, for an S3 address, https://gocloud.dev/howto/blob/#s3.
Their names and forms are the engine's (github.com/pulumi/pulumi, pkg/backend/diy: store.go, state.go, lock.go; 3.256).
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore.store import ObjectStore

    from slipway.releases.engine import Engine

__all__ = ["backend_url", "is_cloud", "names", "open_store", "place_of", "read"]

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # RFC 1952, 2.3.1; RFC 8878, 3.1.1
_TRUE = ("true", "1", "t")
_KINDS = "file://FOLDER, s3://BUCKET, gs://BUCKET or azblob://CONTAINER"


def backend_url(engine: Engine) -> str:
    """The address of the engine's backend, in its own order of sources. Raises `SlipwayError` without a login."""
    if url := engine.environment.get("PULUMI_BACKEND_URL"):
        return url
    project = yaml.safe_load((engine.root / "Pulumi.yaml").read_text()) or {}
    if url := (project.get("backend") or {}).get("url"):
        return str(url)
    done = engine.run("whoami", "--json")
    if done.returncode == 0:
        return str(json.loads(done.stdout)["url"])
    raise SlipwayError(
        "the engine is not logged in to any backend",
        "it is not known where the state is; PULUMI_BACKEND_URL can say it, too",
        "pulumi login",
    )


def is_cloud(url: str) -> bool:
    """Whether `url` is Pulumi Cloud's (or of one hosted by oneself): a service, not objects."""
    return url.startswith(("http://", "https://"))


def place_of(url: str) -> str:
    """`url` as it may be shown: without parameters, user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def open_store(url: str, environment: Mapping[str, str] | None = None) -> ObjectStore:
    """The objects below `url`, an address as `pulumi login` takes it; nothing is asked of it yet.

    `environment` is where credentials are looked for; the process's own when None.
    """
    given = os.environ if environment is None else environment
    parts = urlsplit(url)
    parameters = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    prefix = parts.path.strip("/")
    match parts.scheme:
        case "file":
            # The engine takes file://~ for the home folder, and a relative path from where it runs.
            return LocalStore(Path(parts.netloc + unquote(parts.path)).expanduser().absolute(), mkdir=True)
        case "s3":
            return _s3(parts.netloc, prefix, parameters, given)
        case "gs":
            return GCSStore(parts.netloc, prefix=prefix or None)
        case "azblob":
            return _azure(parts.netloc, prefix, parameters, given)
    raise SlipwayError(
        f"{place_of(url)} is not an object store that Slipway can read",
        "what the engine keeps there cannot be reached",
        f"use one of: {_KINDS}",
    )


def _s3(bucket: str, prefix: str, parameters: Mapping[str, str], given: Mapping[str, str]) -> ObjectStore:
    def stated(*names: str) -> bool:
        return next((parameters[name] for name in names if name in parameters), "").lower() in _TRUE

    endpoint = parameters.get("endpoint") or given.get("AWS_ENDPOINT_URL_S3") or given.get("AWS_ENDPOINT_URL") or ""
    if endpoint and "://" not in endpoint:
        endpoint = f"{'http' if stated('disable_https', 'disableSSL') else 'https'}://{endpoint}"
    path_style = stated("use_path_style", "s3ForcePathStyle")
    region = parameters.get("region") or given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION") or "us-east-1"
    config: dict[str, Any] = {"region": region, "virtual_hosted_style_request": not path_style, "endpoint": endpoint}
    profile = parameters.get("profile") or given.get("AWS_PROFILE", "")
    provider: Any = None
    if given.get("AWS_ACCESS_KEY_ID") and not parameters.get("profile"):
        for name in ("access_key_id", "secret_access_key", "session_token"):
            config[name] = given.get(f"AWS_{name.upper()}", "")
    elif profile or Path(given.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials").is_file():
        provider = _profile(profile, bucket)
    options: Any = {"allow_http": True} if endpoint.startswith("http://") else {}
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={name: value for name, value in config.items() if value != ""},  # type: ignore[arg-type]  # a TypedDict
        client_options=options,
        credential_provider=provider,
    )


def _profile(profile: str, bucket: str) -> Any:  # noqa: ANN401  # a class of a package that may not be there
    """Credentials of a profile of Amazon's own files, by Amazon's own library."""
    try:
        import boto3  # type: ignore[import-untyped]  # noqa: PLC0415  # few keep them so
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415  # as above
    except ImportError:
        raise SlipwayError(
            f"s3://{bucket}: its credentials are in a profile, and boto3 is not installed",
            "what the engine keeps there cannot be read; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY would do as well",
            "uv add boto3",
        ) from None
    return Boto3CredentialProvider(boto3.Session(profile_name=profile or None))


def _azure(container: str, prefix: str, parameters: Mapping[str, str], given: Mapping[str, str]) -> ObjectStore:
    config = {
        "account_name": parameters.get("storage_account") or given.get("AZURE_STORAGE_ACCOUNT", ""),
        "account_key": given.get("AZURE_STORAGE_KEY", ""),
        "sas_key": given.get("AZURE_STORAGE_SAS_TOKEN", ""),
    }
    config = {name: value for name, value in config.items() if value}
    return AzureStore(container, prefix=prefix or None, config=config)  # type: ignore[arg-type]  # as for S3


def names(store: ObjectStore, prefix: str) -> list[str]:
    """The objects below `prefix`, sorted by name. Raises `SlipwayError` when the store does not answer."""
    try:
        return sorted(entry["path"] for page in store.list(prefix.rstrip("/"), chunk_size=1000) for entry in page)
    except FileNotFoundError:
        return []
    except Exception as error:  # noqa: BLE001  # the library has a family per store
        raise _unreadable(error) from None


def read(store: ObjectStore, name: str) -> bytes | None:
    """The content of an object, decompressed; None when there is none of that name, or it is cut short."""
    try:
        content = bytes(store.get(name).bytes())
    except FileNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001  # as above
        raise _unreadable(error) from None
    try:  # the engine, too, goes by the content, not by the name
        if content.startswith(_GZIP):
            return gzip.decompress(content)
        if content.startswith(_ZSTD):
            import zstandard  # noqa: PLC0415  # few backends compress, and fewer so

            return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    except Exception:  # noqa: BLE001  # each kind has errors of its own
        return None
    return content


def _unreadable(error: Exception) -> SlipwayError:
    return SlipwayError(
        f"the backend's objects cannot be read ({' '.join(str(error).split())[:300]})",
        "the stack's history is not known: its address or the credentials may be wrong",
        "pulumi whoami --verbose && pulumi stack ls",
    )
