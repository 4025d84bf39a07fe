"""A certificate made by ourselves, for a server that has none yet: nobody trusts it unless told to."""

from __future__ import annotations

import datetime
import os
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sipd.errors import SetupError
from sipd.net.addresses import numeric
from sipd.net.names import HOST_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LIFE: Final = datetime.timedelta(days=365)
"""How long it holds; then another is made."""

MAX_NAMES: Final = 100
"""Names in it, the first ones: all of it travels in every handshake."""


def ensure(path: Path, names: Sequence[str], now: datetime.datetime) -> bool:
    """Sees to it that `path` has a key and a certificate for all of these names and addresses; whether one was made.

    The file can be read by its owner only. Beside it, as `.crt`, is the
    certificate alone, to be given to phones. Raises SetupError when they
    can't be written.
    """
    wanted = [name for name in dict.fromkeys(names) if numeric(name) or HOST_NAME.fullmatch(name)][:MAX_NAMES]
    if holds(path, wanted, now):
        return False
    key, certificate = made(wanted, now)
    try:
        _write(path, key + certificate, 0o600)
        _write(path.with_suffix(".crt"), certificate, 0o644)
    except OSError as fault:
        raise SetupError(
            f"can't keep a certificate in {path}: {fault.strerror}",
            "Make that directory writable, or name a certificate in tls_certificate",
        ) from fault
    return True


def holds(path: Path, names: Sequence[str], now: datetime.datetime) -> bool:
    """Whether there is a certificate of ours that has not expired and has all of these names."""
    try:
        text = path.read_bytes()
        serialization.load_pem_private_key(text, None)
        certificate = x509.load_pem_x509_certificate(text)
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    known = {*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))}
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc and known.issuperset(names)


def made(names: Sequence[str], now: datetime.datetime) -> tuple[bytes, bytes]:
    """A new key and a certificate of it for these names, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"sipd {names[0] if names else ''}".strip()[:64])])
    alternatives = [x509.IPAddress(ip_address(name)) if numeric(name) else x509.DNSName(name) for name in names]
    own_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # No key usage: some libraries take a certificate for signed by itself only if it may sign certificates.
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(own_key, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own_key), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replaces the file whole; nobody else can read it at any moment."""
    new = path.with_name(f"{path.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    new.replace(path)
