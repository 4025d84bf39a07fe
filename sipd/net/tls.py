"""TLS: the two contexts of a server, and who the far end is (RFC 3261 §26.3, RFC 5922, RFC 8996).

Imported only where there is TLS: reading certificates takes a large library.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from cryptography import x509

from sipd.errors import SetupError
from sipd.net.addresses import numeric
from sipd.net.base import StreamFault
from sipd.net.names import names_in, plain_name, proven_names
from sipd.net.tls_stream import TlsStream
from sipd.net.tls_words import words_of

if TYPE_CHECKING:
    import datetime
    import socket
    from pathlib import Path

    from sipd.net.stream import StreamFlow

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secret and authenticated ones only (RFC 9325 §4.2). Those of TLS 1.3 are all that."""


class Certificate(NamedTuple):
    """A chain and its key, in PEM files; often the same."""

    chain: Path
    key: Path


class TlsFiles(NamedTuple):
    """What TLS is made from."""

    certificates: tuple[Certificate, ...]  # the first is shown to those who name no other
    authorities: Path | None = None  # PEM file of those we trust; None: the system's
    client: Literal["never", "requested", "required"] = "never"  # whether a client shows a certificate
    is_self_made: bool = False  # nobody trusts the certificate unless told to: we show it to no server


class _Contexts(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext
    expires: datetime.datetime  # the first end of a certificate of ours
    names: tuple[str, ...]  # what our certificates prove


class Tls:
    """The contexts of a server. Made once, as that takes long; `load` makes others and keeps the old when it can't.

    A connection keeps those it began with, so loading drops none.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Raises SetupError with the file and what is wrong with it."""
        self.files = files
        self._contexts = _contexts(files)

    @property
    def expires(self) -> datetime.datetime:
        """When the first of our certificates is no longer valid."""
        return self._contexts.expires

    @property
    def names(self) -> tuple[str, ...]:
        """The domains and addresses that our certificates prove (RFC 5922 §7.1)."""
        return self._contexts.names

    def load(self, files: TlsFiles) -> None:
        """Uses these from now on. Raises SetupError with the file and what is wrong with it: then nothing changed.

        Reads files: to be called in a thread while calls go on.
        """
        self._contexts = _contexts(files)
        self.files = files

    async def secured(self, flow: StreamFlow, raw: socket.socket) -> TlsStream:
        """The TLS stream over the socket of a connection, once both ends know each other; sets `flow.names`.

        The far end of a connection that we opened must prove the name of its
        Hop, or its address where it has none (RFC 5922 §7.3). Raises StreamFault
        with the reason in plain words.
        """
        if flow.was_accepted:
            stream = TlsStream(raw, self._contexts.server, server_side=True)
            await _shake_hands(stream)
        else:
            expected = plain_name(flow.remote.name or flow.remote.host)
            server_name = None if numeric(expected) else expected  # RFC 6066 §3: no addresses
            try:
                stream = TlsStream(raw, self._contexts.client, server_side=False, server_name=server_name)
            except ValueError:
                raise StreamFault(f"TLS failed: {expected} can't be a name in a certificate") from None
            await _shake_hands(stream)
        certificate = stream.tls.getpeercert(binary_form=True)
        if certificate:
            flow.names = names_in(certificate)
        if not flow.was_accepted and expected not in flow.names:
            stream.close()
            names = " ".join(flow.names) or "nobody"
            raise StreamFault(f"TLS failed: its certificate is for {names}, not for {expected}")
        return stream


async def _shake_hands(stream: TlsStream) -> None:
    try:
        await stream.handshake()
    except ssl.SSLError as error:
        stream.close()
        raise StreamFault(f"TLS failed: {words_of(error)}") from error


# --- what the contexts are made from -----------------------------------------------------------


def _contexts(files: TlsFiles) -> _Contexts:
    read = [_read(certificate) for certificate in files.certificates]
    server = _server_context(files, [_names_of(certificate) for certificate in read])
    client = _hardened(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # RFC 5922 has rules of its own: `secured` knows them
    client.verify_mode = ssl.CERT_REQUIRED
    _trust(client, files.authorities)
    if not files.is_self_made:
        _show(client, files.certificates[0])
    expires = min(certificate.not_valid_after_utc for certificate in read)
    names = tuple(dict.fromkeys(name for certificate in read for name in proven_names(certificate)))
    return _Contexts(server, client, expires, names)


def _server_context(files: TlsFiles, names_of_each: list[tuple[str, ...]]) -> ssl.SSLContext:
    """The context of the first certificate; it passes on to that of another when the client asks for such a name."""
    by_names: dict[tuple[str, ...], ssl.SSLContext] = {}
    by_name: dict[str, ssl.SSLContext] = {}
    for certificate, names in zip(files.certificates, names_of_each, strict=True):
        context = by_names.get(names)
        if context is None:  # else: the same names with another kind of key, which one context can hold
            context = by_names[names] = _server_side(files)
        _show(context, certificate)
        for name in names:
            by_name.setdefault(name, context)
    first = next(iter(by_names.values()))

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        wanted = (name or "").lower()
        found = by_name.get(wanted) or by_name.get(f"*.{wanted.partition('.')[2]}")
        if found is not None:
            connection.context = found

    if len(by_names) > 1:
        first.sni_callback = choose
    return first


def _server_side(files: TlsFiles) -> ssl.SSLContext:
    context = _hardened(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # connections last: coming back quickly is worth neither the bytes nor the risk
    if files.client != "never":
        context.verify_mode = ssl.CERT_REQUIRED if files.client == "required" else ssl.CERT_OPTIONAL
        _trust(context, files.authorities)
    return context


def _hardened(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _trust(context: ssl.SSLContext, authorities: Path | None) -> None:
    if authorities is None:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(authorities)
    except OSError as error:
        raise _bad_file("tls_ca", authorities, error, "It must be a PEM file of certificates.") from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever is in that file is trusted, an authority or not


def _show(context: ssl.SSLContext, certificate: Certificate) -> None:
    def no_password() -> str:
        raise SetupError(f"tls_key: {certificate.key} is encrypted", "Decrypt it, and let only this user read it.")

    try:
        context.load_cert_chain(certificate.chain, certificate.key, no_password)
    except OSError as error:
        hint = "It must be a PEM file of the private key that belongs to the certificate."
        raise _bad_file("tls_key", certificate.key, error, hint) from error


def _read(certificate: Certificate) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(certificate.chain.read_bytes())[0]
    except (OSError, ValueError) as error:
        hint = "It must be a PEM file of the certificate, and of those between it and a known authority."
        raise _bad_file("tls_certificate", certificate.chain, error, hint) from error


def _names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names to choose it by: those it proves, and its host names."""
    return tuple(dict.fromkeys([*proven_names(certificate), *_host_names(certificate)]))


def _host_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [plain_name(name) for name in names.get_values_for_type(x509.DNSName)]


def _bad_file(setting: str, path: Path, error: Exception, hint: str) -> SetupError:
    if isinstance(error, ssl.SSLError):
        reason = words_of(error)
    elif isinstance(error, OSError):
        reason = error.strerror or "can't be read"
    else:
        reason = "this is no certificate"
    return SetupError(f"{setting}: {path}: {reason}", hint)
