"""Why TLS failed, in words for whoever reads the log."""

from __future__ import annotations

import ssl
from typing import Final

PLAIN_TEXT: Final = "the peer does not speak TLS"
OLD_VERSION: Final = "the peer speaks no TLS from 1.2 on"
NO_CIPHER: Final = "there is no cipher that both ends accept"
OUR_CERTIFICATE: Final = "the peer does not accept our certificate"

REASONS: Final = {
    "HTTP_REQUEST": PLAIN_TEXT,
    "HTTPS_PROXY_REQUEST": PLAIN_TEXT,
    "WRONG_VERSION_NUMBER": PLAIN_TEXT,
    "BAD_RECORD_TYPE": PLAIN_TEXT,
    "UNSUPPORTED_PROTOCOL": OLD_VERSION,
    "VERSION_TOO_LOW": OLD_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": OLD_VERSION,
    "NO_SHARED_CIPHER": NO_CIPHER,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": NO_CIPHER,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer shows no certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the peer wants a certificate of ours",
    "TLSV1_ALERT_UNKNOWN_CA": f"{OUR_CERTIFICATE}: it does not know who signed it",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{OUR_CERTIFICATE}: it has expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": OUR_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": OUR_CERTIFICATE,
    "TLSV1_ALERT_ACCESS_DENIED": OUR_CERTIFICATE,
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "NO_CERTIFICATE_OR_CRL_FOUND": "there is no certificate in it",
}
"""OpenSSL's reason -> ours; another is shown as it is."""

VERIFICATIONS: Final = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is signed by itself, and not one we trust",
    19: "its certificate is signed by an authority that we do not trust",
    20: "its certificate is signed by an authority that we do not know",
    21: "its certificate is signed by an authority that we do not know",
    23: "its certificate has been revoked",
    26: "its certificate is for another purpose",
}
"""OpenSSL's code of a verification -> the words for it."""


def words_of(error: ssl.SSLError) -> str:
    """Why TLS failed, for whoever reads the log."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return VERIFICATIONS.get(error.verify_code, f"its certificate is not good: {error.verify_message}")
    reason = error.reason or str(error)
    return REASONS.get(reason, reason.lower().replace("_", " "))
