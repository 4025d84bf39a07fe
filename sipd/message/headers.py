"""Names of header fields: one canonical spelling each, compact forms, which hold lists (§7.3, §20).

A name in any spelling found in the wild is one dict lookup; a spelling never
seen before goes through `canonical_name`.
"""

from __future__ import annotations

from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Final

from sipd.errors import BadSyntax
from sipd.message.grammar import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

_KNOWN: Final = """
Accept Accept-Contact Accept-Disposition Accept-Encoding Accept-Language Accept-Resource-Priority Alert-Info
Allow Allow-Events Answer-Mode Authentication-Info Authorization Call-ID Call-Info Contact
Content-Disposition Content-Encoding Content-Language Content-Length Content-Type CSeq Date Diversion Encryption
Error-Info Event Expires
Feature-Caps Flow-Timer From Geolocation Geolocation-Error Geolocation-Routing Hide History-Info Identity
Identity-Info In-Reply-To Info-Package Join Max-Breadth Max-Forwards MIME-Version Min-Expires Min-SE
Organization P-Access-Network-Info P-Answer-State P-Asserted-Identity P-Asserted-Service P-Associated-URI
P-Called-Party-ID P-Charging-Function-Addresses P-Charging-Vector P-DCS-Billing-Info P-DCS-LAES P-DCS-OSPS
P-DCS-Redirect P-DCS-Trace-Party-ID P-Early-Media P-Hint P-Media-Authorization P-Preferred-Identity
P-Preferred-Service P-Profile-Key P-Refused-URI-List P-RTP-Stat P-Served-User P-User-Database
P-Visited-Network-ID Path Permission-Missing Policy-Contact Policy-ID Priority Priv-Answer-Mode Privacy
Proxy-Authenticate Proxy-Authorization Proxy-Require RAck Reason Reason-Phrase Record-Route Recv-Info Refer-Sub
Refer-To Referred-By Reject-Contact Remote-Party-ID Replaces Reply-To Request-Disposition Require
Resource-Priority Response-Key Retry-After Route RSeq Security-Client Security-Server Security-Verify Server
Service-Route Session-Expires Session-ID SIP-ETag SIP-If-Match Subject Subscription-State Supported
Suppress-If-Match Target-Dialog Timestamp To Trigger-Consent Unsupported User-Agent User-to-User Via Warning
WWW-Authenticate X-Asterisk-HangupCause X-Asterisk-HangupCauseCode X-Real-IP
""".split()  # noqa: SIM905 - to be read

COMPACT: Final = {
    "a": "Accept-Contact",  # RFC 3841 §9.2
    "b": "Referred-By",  # RFC 3892 §2
    "c": "Content-Type",
    "d": "Request-Disposition",  # RFC 3841 §9.1
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",  # RFC 3841 §9.2
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",  # RFC 4474 §9
    "o": "Event",  # RFC 3265 §7.2
    "r": "Refer-To",  # RFC 3515 §2.1
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",  # RFC 3265 §7.2
    "v": "Via",
    "x": "Session-Expires",  # RFC 4028 §4
    "y": "Identity",  # RFC 4474 §9
}
"""Compact forms (§7.3.3 and the RFCs that brought their own)."""

LISTS: Final = frozenset(
    """
Accept Accept-Contact Accept-Encoding Accept-Language Accept-Resource-Priority Alert-Info Allow Allow-Events
Call-Info Contact Content-Encoding Content-Language Diversion Error-Info Feature-Caps Geolocation History-Info
In-Reply-To P-Asserted-Identity P-Associated-URI P-Early-Media P-Preferred-Identity P-Visited-Network-ID Path
Permission-Missing Policy-Contact Proxy-Require Reason Record-Route Recv-Info Reject-Contact
Request-Disposition Require Resource-Priority Route Security-Client Security-Server Security-Verify
Service-Route Supported Trigger-Consent Unsupported Via Warning
""".split()  # noqa: SIM905 - to be read
)
"""Header fields whose value is a comma-separated list (§7.3.1)."""

USUAL: Final = frozenset(
    """
Accept Accept-Disposition Accept-Encoding Accept-Language Allow Allow-Events Call-ID Contact Content-Disposition
Content-Encoding Content-Language Content-Length Content-Type CSeq Date Event Expires From Max-Forwards Min-Expires
Min-SE MIME-Version Organization RAck Reason Record-Route RSeq Server Session-Expires Subject Supported Timestamp To
Unsupported User-Agent Via Warning
""".split()  # noqa: SIM905 - to be read
)
"""Header fields of everyday messages: where there are no others (`Message.extras`) most rules have nothing to do."""

NO_EXTRAS: Final[frozenset[str]] = frozenset()

SINGLE: Final = frozenset({"To", "From", "Call-ID", "CSeq", "Max-Forwards", "Content-Length"})
"""Header fields that make a message malformed when they come twice."""

CANONICAL: Final[dict[str, str]] = {}
"""Every spelling we expect -> the canonical name, always the same object."""

for _name in map(intern, _KNOWN):
    for _spelling in (_name, _name.lower(), _name.upper(), _name.title()):
        CANONICAL[_spelling] = _name
for _short, _name in COMPACT.items():
    CANONICAL[_short] = CANONICAL[_short.upper()] = CANONICAL[_name]


def extras_of(names: Iterable[str]) -> Set[str]:
    """Those of these names that are not USUAL."""
    kinds = set(names)
    return NO_EXTRAS if kinds <= USUAL else kinds - USUAL


@lru_cache(1024)
def _title(lower: str) -> str:
    return intern(lower.title())


def canonical_name(name: str) -> str:
    """The one spelling of a header field name, whatever case or compact form it came in (§7.3).

    A name unknown here is title-cased. Raises BadSyntax when it is no token.
    """
    known = CANONICAL.get(name)
    if known is not None:
        return known
    if not TOKEN.fullmatch(name):
        raise BadSyntax("Bad header field name")
    lower = name.lower()
    return CANONICAL.get(lower) or (_title(lower) if len(lower) <= 64 else lower.title())
