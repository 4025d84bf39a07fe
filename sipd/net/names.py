"""What a certificate says its holder is, and whether that is who we meant (RFC 5922 §7.1, §7.2)."""

from __future__ import annotations

import re
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from sipd.errors import SipError
from sipd.message import parse_uri
from sipd.net.addresses import numeric

HOST_NAME: Final = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}", re.ASCII)
"""A name as DNS has it, without a final dot."""


def proven_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The SIP domains a verified certificate stands for, then its IP addresses; lower case, without a final dot.

    SIP URIs without a user part count; host names only where there is no such
    URI; the common name only where there are no alternative names at all.
    A wildcard is a name like any other: it matches no host (§7.2). Empty when
    the certificate can't be read.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return _common_names(certificate)
    except ValueError:
        return ()
    uris = [host for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if (host := _domain_in(uri))]
    domains = uris or [plain_name(name) for name in names.get_values_for_type(x509.DNSName)]
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return tuple(dict.fromkeys([*domains, *addresses]))


def names_in(der: bytes) -> tuple[str, ...]:
    """`proven_names` of a certificate in DER; none when it can't be read."""
    try:
        return proven_names(x509.load_der_x509_certificate(der))
    except ValueError:
        return ()


def plain_name(name: str) -> str:
    """The one spelling in which names are compared (§7.2): lower case, no final dot, addresses as RFC 5952 has them."""
    return numeric(name) or name.lower().rstrip(".")


def _domain_in(text: str) -> str | None:
    """The domain that a SIP URI stands for; None for a user's, or for another scheme, `sips` included (§7.1)."""
    if text[:4].lower() != "sip:" or "@" in text:
        return None
    try:
        return plain_name(parse_uri(text).host)
    except SipError:
        return None


def _common_names(certificate: x509.Certificate) -> tuple[str, ...]:
    values = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    # Looked at as they are: a Kelvin sign in lower case would be a k.
    return tuple(value.lower() for value in values if HOST_NAME.fullmatch(value))
