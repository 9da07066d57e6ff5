"""The certificate and key that a stack brings along, and one for hosts that have none. No message repeats a key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from slipway.contract.problems import Problem
from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509

    from slipway.settings.model import Settings

__all__ = ["certificate_problems", "covers", "self_signed"]

_YEARS = 20
_CANNOT = "no browser would be served over TLS"


def certificate_problems(settings: Settings) -> Iterator[Problem]:
    """What keeps `certificate`, `certificateKey` and `acmeCa` from being used."""
    if settings.acme_ca and not _certificates(settings.acme_ca):
        yield Problem.about(
            "acmeCa",
            "this is not a certificate in PEM form",
            "the certificate authority's server could not be trusted",
            config_set(settings.stack, "acmeCa", "< CA.pem"),
        )
    certificate, key = settings.certificate, settings.certificate_key.get_secret_value()
    fix = f"{config_set(settings.stack, 'certificate', '< CHAIN.pem')} && "
    fix += config_set(settings.stack, "certificateKey", "< KEY.pem", secret=True)
    if bool(certificate) != bool(key):
        empty, present = ("certificateKey", "certificate") if certificate else ("certificate", "certificateKey")
        yield Problem.about(empty, f"empty, though {present} is set", _CANNOT, fix)
    elif certificate and not _certificates(certificate):
        yield Problem.about("certificate", "this is not a certificate in PEM form", _CANNOT, fix)
    elif certificate:
        yield from _pair(settings.stack, _certificates(certificate)[0], key, fix)


def _pair(stack: str, certificate: x509.Certificate, key: str, fix: str) -> Iterator[Problem]:
    """What is wrong with a certificate and the key beside it; `fix` sets both again."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # 0.1 s that most stacks need not pay

    try:
        public = serialization.load_pem_private_key(key.encode(), None).public_key()
    except TypeError:
        yield Problem.about(
            "certificateKey",
            "this private key is locked with a passphrase",
            "the edge could not use it",
            config_set(stack, "certificateKey", "openssl pkey -in KEY.pem |", secret=True),
        )
        return
    except Exception:  # noqa: BLE001  # the library raises several kinds, all meaning this; none may be shown
        yield Problem.about("certificateKey", "this is not a private key in PEM form", _CANNOT, fix)
        return
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    now = datetime.now(UTC)
    if certificate.public_key().public_bytes(*form) != public.public_bytes(*form):
        yield Problem.about("certificate", "it does not match certificateKey", _CANNOT, fix)
    elif certificate.not_valid_after_utc < now:
        when = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        yield Problem.about("certificate", f"it expired on {when}", "every browser would refuse it", fix)
    elif certificate.not_valid_before_utc > now:
        when = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        yield Problem.about("certificate", f"it is not valid before {when}", "every browser would refuse it", fix)


def covers(certificate: str, host: str) -> bool:
    """Whether a valid certificate is for that host name."""
    from cryptography import x509  # noqa: PLC0415  # 0.1 s that most stacks need not pay

    names: list[str] = []
    for extension in _certificates(certificate)[0].extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names += extension.value.get_values_for_type(x509.DNSName)
            names += [str(address) for address in extension.value.get_values_for_type(x509.IPAddress)]
    wildcard = f"*.{host.partition('.')[2]}"  # RFC 9525, section 6.3: it stands for one label
    return any(name.lower() in (host, wildcard) for name in names)


def self_signed(name: str) -> tuple[str, str]:
    """A certificate for `name` that nobody trusts, and its key, in PEM; on curve P-256."""
    from cryptography import x509  # noqa: PLC0415  # 0.1 s that most stacks need not pay
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415  # as above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  # as above

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))  # a host's clock may be behind
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _certificates(pem: str) -> list[x509.Certificate]:
    """The certificates of a PEM text; none when it is no such text."""
    from cryptography import x509  # noqa: PLC0415  # 0.1 s that most stacks need not pay

    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []
