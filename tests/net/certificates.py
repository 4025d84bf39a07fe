"""Certificates for tests: an authority that both ends trust, one that nobody does, and what they signed."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sipd.net.tls import Certificate, TlsFiles

if TYPE_CHECKING:
    from pathlib import Path

EXPIRED = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """Signs certificates into a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self.directory = directory
        self.path = directory / f"{name}.pem"
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(str(self.path))
        self._made = 0

    def signed(self, *names: str, not_after: datetime.datetime | None = None) -> Certificate:
        """A certificate for these host names and addresses, key and all in one file."""
        self._made += 1
        path = self.directory / f"{self.path.stem}-{self._made}.pem"
        begins = datetime.datetime(2019, 1, 1, tzinfo=datetime.UTC)
        leaf = self._authority.issue_cert(*names, not_before=begins, not_after=not_after)
        leaf.private_key_and_cert_chain_pem.write_to_path(str(path))
        return Certificate(path, path)

    def files(self, *certificates: Certificate, **more) -> TlsFiles:
        """What a server that trusts this authority is made from."""
        return TlsFiles(certificates, self.path, **more)


def with_names(*names: x509.GeneralName, common_name: str = "") -> x509.Certificate:
    """A certificate signed by itself that says just this; without names it has no alternative names at all."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256())


def encrypted(certificate: Certificate, password: bytes) -> Certificate:
    """The same with its key encrypted."""
    key = serialization.load_pem_private_key(certificate.key.read_bytes(), None)
    path = certificate.key.with_suffix(".encrypted")
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
    )
    return certificate._replace(key=path)


def for_purpose(directory: Path, purpose: x509.ObjectIdentifier, name: str) -> tuple[Certificate, Path]:
    """A certificate that may be used for this alone, and the authority that signed it."""
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    key = ec.generate_private_key(ec.SECP256R1())
    begins, ends = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2020, 2100))

    def builder(subject: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
        return made.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)

    root = builder(issuer, authority.public_key()).add_extension(x509.BasicConstraints(True, None), critical=True)
    leaf = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")]), key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path, root_path = directory / f"{purpose.dotted_string}.pem", directory / f"{purpose.dotted_string}-root.pem"
    path.write_bytes(private + leaf.sign(authority, hashes.SHA256()).public_bytes(pem))
    root_path.write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(pem))
    return Certificate(path, path), root_path
