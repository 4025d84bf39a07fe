"""Scripts, valid and invalid, that the schema of RFC 3880, ours and the compiler are asked about.

Most are made from the grammar: each node in each place, each attribute with
good and bad values, outputs in all orders. The rest is written by hand. A
script names the row of DIFFERENCES that lets the verdicts differ, or none.
"""

from __future__ import annotations

from itertools import combinations, permutations
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.cpl.rfc import figures

if TYPE_CHECKING:
    from collections.abc import Iterator


class Difference(NamedTuple):
    """Where verdicts differ: of the RFC's schema, of ours, of the compiler; and why."""

    rfc: bool
    ours: bool
    compiler: bool
    why: str


DIFFERENCES: Final = {
    # The text of the RFC is stricter than its schema, and ours follows the text.
    "names": Difference(True, False, False, "§4.1, §6.3: only the listed names are fields, subfields and statuses"),
    "uri": Difference(True, False, False, "§5.1, §5.3, §7.1: a location is a URI, and a mail goes to a mailto: URL"),
    "token": Difference(True, False, False, "§8, §5.2, §4.5: an id, a source and a priority are not empty"),
    "language": Difference(True, False, False, "§4.3: a value is a language tag of RFC 3066"),
    "once": Difference(True, False, False, "§3: a top-level action stands once"),
    "subaction": Difference(True, False, False, "§8: ids are unique, and sub names one of them"),
    "extension": Difference(True, False, False, "§11: an attribute that is not known is refused; theirs takes any"),
    "root": Difference(True, False, False, "§3: the outermost tag is cpl; theirs takes every element alone"),
    "abstract": Difference(True, False, False, "§3: there are no tags switch, modifier, action and toplevelaction"),
    "date": Difference(True, False, False, "§4.4: times, durations and numbers are those of RFC 5545"),
    # The text is wider than its schema: a slip there.
    "setpos": Difference(False, True, True, "§4.4: bysetpos is a list, and 366 and -366 are in it"),
    "monthly": Difference(False, True, True, "§4.4: MONTHLY in any case; its pattern there has no capital O"),
    "qualified": Difference(False, False, True, "§11: attributes of the CPL namespace are those of none"),
    "address": Difference(False, True, True, "§5.1: a SIP URI may have an IPv6 address in brackets; an anyURI may not"),
    "order": Difference(
        True, False, False, "§8: subactions stand before the actions; with theirs libxml2 overlooks it"
    ),
    # What no schema of XSD 1.0 can say.
    "choice": Difference(True, True, False, "§4: exactly one of several attributes"),
    "operator": Difference(True, True, False, "§4.1: contains is for display, subdomain-of for host and tel"),
    "later": Difference(True, True, False, "§8: sub names a subaction before the action it stands in"),
    "value": Difference(True, True, False, "§4.1, §5.1, §6.3, §7.1: what is inside a value"),
    "here": Difference(True, True, False, "what this server does not offer, as a lookup by URI unless it is permitted"),
}


class Script(NamedTuple):
    """A script, and the row of DIFFERENCES that it is an example of; empty: all agree."""

    source: str
    difference: str = ""


# Nodes with what they need, and a place for the next one.
LEAVES: Final = {
    "redirect": "<redirect/>",
    "reject": "<reject status='busy'/>",
    "sub": "<sub ref='s'/>",
    "proxy": "<proxy/>",
    "lookup": "<lookup source='registration'/>",
    "location": "<location url='sip:a@b'/>",
    "remove-location": "<remove-location/>",
    "log": "<log/>",
    "mail": "<mail url='mailto:a@b.example'/>",
    "address-switch": "<address-switch field='origin'/>",
    "string-switch": "<string-switch field='subject'/>",
    "language-switch": "<language-switch/>",
    "time-switch": "<time-switch/>",
    "priority-switch": "<priority-switch/>",
}

HOLDERS: Final = {
    "incoming": "<incoming>{}</incoming>",
    "outgoing": "<outgoing>{}</outgoing>",
    "subaction": "<subaction id='t'>{}</subaction><incoming><sub ref='t'/></incoming>",
    "location": "<incoming><location url='sip:a@b'>{}</location></incoming>",
    "remove-location": "<incoming><remove-location>{}</remove-location></incoming>",
    "log": "<incoming><log>{}</log></incoming>",
    "mail": "<incoming><mail url='mailto:a@b.example'>{}</mail></incoming>",
    "lookup": "<incoming><lookup source='registration'>{}</lookup></incoming>",
    "proxy": "<incoming><proxy>{}</proxy></incoming>",
    "address-switch": "<incoming><address-switch field='origin'>{}</address-switch></incoming>",
    "string-switch": "<incoming><string-switch field='subject'>{}</string-switch></incoming>",
    "language-switch": "<incoming><language-switch>{}</language-switch></incoming>",
    "time-switch": "<incoming><time-switch>{}</time-switch></incoming>",
    "priority-switch": "<incoming><priority-switch>{}</priority-switch></incoming>",
    "redirect": "<incoming><redirect>{}</redirect></incoming>",
    "reject": "<incoming><reject status='busy'>{}</reject></incoming>",
    "sub": "<incoming><sub ref='s'>{}</sub></incoming>",
    "ancillary": "<ancillary>{}</ancillary>",
}

CONDITIONS: Final = {
    "address-switch": "<address is='sip:a@b'>{}</address>",
    "string-switch": "<string is='a'>{}</string>",
    "language-switch": "<language matches='en'>{}</language>",
    "time-switch": "<time dtstart='20260101T080000' duration='PT1H'>{}</time>",
    "priority-switch": "<priority equal='urgent'>{}</priority>",
}

OUTPUTS: Final = {
    "lookup": ("success", "notfound", "failure"),
    "proxy": ("busy", "noanswer", "failure", "redirection", "default"),
}

Values = tuple[tuple[str, ...], dict[str, tuple[str, ...]]]

YES_NO: Final[Values] = ("yes", "no", " yes "), {"": ("", "Yes", "true", "1", "yes no")}
SECONDS: Final[Values] = ("1", "+7", "007", " 20 "), {"": ("0", "-1", "1.5", "20s", "", "1e1", "0x1", "\u0661")}
URIS: Final[Values] = (
    ("sip:a@b", "sips:a@b;transport=tls", "tel:+12125551212"),
    {"uri": ("a@b", "", "b", "a b", "sip:a b"), "address": ("sip:a@[2001:db8::1]:5070",)},
)
LIST: Final = ("1", "1,2", " 1 , 2 ", "01")
DATES: Final = ("20260101T080000", "20260101t080000z", " 20260101T080000Z ")
NO_DATES: Final = ("", "20260101", "2026-01-01T08:00:00", "20260101T0800", "now")

ATTRIBUTES: Final[dict[str, tuple[str, Values]]] = {
    # attribute: a script with a hole for its value; good values, and bad ones with the row they differ by
    "location url": ("<location url='{}'/>", (("http://a/", "mailto:a@b", *URIS[0]), URIS[1])),
    "location priority": (
        "<location url='sip:a@b' priority='{}'/>",
        (
            ("0", "1", "0.5", ".5", "1.", "1.000", "00.25", " 0.5 ", "5e-1", "1E0", "+0.5", "-0"),
            {"": ("1.1", "-0.1", "2", "high", "", "0,5", "0.5.5", "INF", "1e1", "."), "value": ()},
        ),
    ),
    "location clear": ("<location url='sip:a@b' clear='{}'/>", YES_NO),
    "lookup source": ("<lookup source='{}'/>", (("registration", " registration "), {"token": ("",)})),
    "lookup timeout": ("<lookup source='registration' timeout='{}'/>", SECONDS),
    "lookup clear": ("<lookup source='registration' clear='{}'/>", YES_NO),
    "remove-location location": ("<remove-location location='{}'/>", (URIS[0], {"uri": URIS[1]["uri"]})),
    "proxy timeout": ("<proxy timeout='{}'/>", SECONDS),
    "proxy recurse": ("<proxy recurse='{}'/>", YES_NO),
    "proxy ordering": (
        "<proxy ordering='{}'/>",
        (("parallel", "sequential", "first-only"), {"": ("", "Parallel", "serial", "first only")}),
    ),
    "redirect permanent": ("<redirect permanent='{}'/>", YES_NO),
    "reject status": (
        "<reject status='{}'/>",
        (
            ("busy", "notfound", "reject", "error", "400", "486", "699", " 603 "),
            {"names": ("", "Busy", "200", "302", "700", "48", "4860", "busy here", "\u0664\u0660\u0660")},
        ),
    ),
    "reject reason": ("<reject status='busy' reason='{}'/>", (("", "I am out", "\u00e4", " "), {})),
    "mail url": (
        "<mail url='{}'/>",
        (
            ("mailto:a@b.example", "MAILTO:a@b.example?subject=x", "mailto:a@b.example?subject=x&amp;body=y"),
            {"uri": ("a@b.example", "sip:a@b.example", ""), "value": ("mailto:", "mailto:a", "mailto:a@b?bcc=c@d")},
        ),
    ),
    "log name": ("<log name='{}'/>", (("", "calls", "../../etc/passwd", "\u00e4 b"), {})),
    "log comment": (
        "<log comment='{}'/>",
        (
            (
                "",
                "a &lt;b&gt; &amp; c",
            ),
            {},
        ),
    ),
    "address-switch field": (
        "<address-switch field='{}'/>",
        (("origin", "destination", "original-destination", " origin "), {"names": ("", "from", "Origin")}),
    ),
    "address-switch subfield": (
        "<address-switch field='origin' subfield='{}'/>",
        (
            ("address-type", "user", "host", "port", "tel", "display", "password", "alias-type"),
            {"names": ("", "User", "domain")},
        ),
    ),
    "address is": (
        "<address-switch field='origin'><address is='{}'/></address-switch>",
        (URIS[0], {"value": ("", "a", "a@b")}),
    ),
    "string-switch field": (
        "<string-switch field='{}'/>",
        (("subject", "organization", "user-agent", "display"), {"": ("", "Subject", "from")}),
    ),
    "string is": ("<string-switch field='subject'><string is='{}'/></string-switch>", (("", "a", "\u00e4 b"), {})),
    "string contains": ("<string-switch field='subject'><string contains='{}'/></string-switch>", (("", "a"), {})),
    "language matches": (
        "<language-switch><language matches='{}'/></language-switch>",
        (
            ("en", "en-US", "x-pig-latin", "i-klingon", "de-1996"),
            {"language": ("", "*", "en_US", "e n", "123", "a" * 9)},
        ),
    ),
    "priority less": (
        "<priority-switch><priority less='{}'/></priority-switch>",
        (("emergency", "Urgent", "NORMAL", "non-urgent"), {"": ("", "low", "nonurgent", "|rgent")}),
    ),
    "priority greater": (
        "<priority-switch><priority greater='{}'/></priority-switch>",
        (("emergency", "uRGENT"), {"": ("", "low", "nor|al")}),
    ),
    "priority equal": (
        "<priority-switch><priority equal='{}'/></priority-switch>",
        (("emergency", "Urgent", "whatever"), {"token": ("", " ")}),
    ),
    "time-switch tzid": ("<time-switch tzid='{}'/>", (("Europe/Vienna", "America/New_York"), {})),
    "time dtstart": (
        "<time-switch><time dtstart='{}' duration='PT1H'/></time-switch>",
        (DATES, {"date": NO_DATES}),
    ),
    "time dtend": (
        "<time-switch><time dtstart='20250101T080000' dtend='{}'/></time-switch>",
        (DATES, {"date": NO_DATES}),
    ),
    "time duration": (
        "<time-switch><time dtstart='20260101T080000' duration='{}'/></time-switch>",
        (
            ("PT1H", "P1D", "P1W", "+PT1H30M5S", "pt5m"),
            {"date": ("", "1H", "-PT1H", "P", "PT", "P1H", "P1M", "PT1.5H")},
        ),
    ),
}

TIME: Final = "<time-switch><time dtstart='20260101T080000' duration='PT1S' {}/></time-switch>"
RULES: Final[dict[str, Values]] = {
    "freq": (
        ("secondly", "Minutely", "HOURLY", "daily", "WEEKLY", "monthly", "Yearly"),
        {"": ("", "often", "year", "dai|y"), "monthly": ("MONTHLY", "mOnthly")},
    ),
    "freq='daily' interval": (("1", "+2", "03"), {"": ("0", "-1", "x", "")}),
    "freq='daily' until": (("20260401", "20260401T000000Z"), {"date": ("", "2026-04-01", "tomorrow")}),
    "freq='daily' count": (("1", "5"), {"": ("0", "-1", "x", "")}),
    "freq='daily' bysecond": (LIST, {"date": ("x", "", "1;2")}),
    "freq='daily' byminute": (LIST, {"date": ("x", "", "1 2")}),
    "freq='daily' byhour": (LIST, {"date": ("x", "")}),
    "freq='monthly' byday": (("MO", "mo,TU", "-1SU", "+2we"), {"date": ("", "Monday", "M", "1")}),
    "freq='monthly' bymonthday": ((*LIST, "-1", "+31"), {"date": ("x", "", "0", "1,-0")}),
    "freq='yearly' byyearday": ((*LIST, "366", "-366"), {"date": ("x", "")}),
    "freq='yearly' byweekno": ((*LIST, "53", "-53"), {"date": ("x", "")}),
    "freq='yearly' bymonth": (LIST, {"date": ("x", "")}),
    "freq='weekly' wkst": (("MO", "su"), {"": ("", "Monday", "X", "|o")}),
    "freq='monthly' byday='MO,TU' bysetpos": (("1", "-1"), {"setpos": ("1,2", "366", "-1,1"), "": ("x", "", "0")}),
}


def corpus() -> Iterator[Script]:
    """All of them."""
    yield from _structure()
    yield from _places()
    yield from _outputs()
    yield from _attributes()
    yield from _by_hand()
    for number, script in figures().items():
        if number != 28:  # tags of another namespace in the middle: no schema knows them
            differs = {27: "here", 29: "extension"}.get(number, "")
            yield Script(script.decode(), differs)


def cpl(body: str, declared: str = " xmlns='urn:ietf:params:xml:ns:cpl'") -> str:
    return f"<cpl{declared}>{body}</cpl>"


def _structure() -> Iterator[Script]:
    """The root and what stands in it (§3)."""
    parts = ("<ancillary/>", "<subaction id='s'/>", "<outgoing/>", "<incoming/>")
    for count in range(len(parts) + 1):
        for some in permutations(parts, count):
            late = "<subaction id='s'/>" in some[1:] and some[some.index("<subaction id='s'/>") - 1] != "<ancillary/>"
            early = "<ancillary/>" not in some or some[0] == "<ancillary/>"
            yield Script(cpl("".join(some)), "order" if late and early else "")
    for declared in ("", " xmlns=''"):
        yield Script(cpl("<incoming/>", declared))
    for twice in ("<incoming/><incoming/>", "<outgoing/><incoming/><outgoing/>"):
        yield Script(cpl(twice), "once")
    yield Script(cpl("<ancillary/><ancillary/>"))
    yield Script(cpl("<subaction id='s'/><subaction id='t'/>"))
    yield Script(cpl("<subaction id='s'/><subaction id='s'/>"), "subaction")
    yield Script(cpl("<incoming><sub ref='s'/></incoming>"), "subaction")
    yield Script(cpl("<subaction id='s'/><incoming><sub ref='S'/></incoming>"), "subaction")
    yield Script(cpl("<subaction id='s'><sub ref='s'/></subaction>"), "later")
    yield Script(cpl("<subaction id='s'><sub ref='t'/></subaction><subaction id='t'/>"), "later")
    yield Script(cpl("<subaction id=''/>"), "token")
    yield Script(cpl("<subaction/>"))
    yield Script(cpl("<incoming id='a'/>"))
    yield Script(cpl("words<incoming/>"))
    yield Script(cpl("<incoming>words</incoming>"))
    yield Script(cpl("<!-- words --><incoming/><?words?>"))
    for leaf in LEAVES.values():
        yield Script(cpl(leaf))
        yield Script(leaf.replace("/>", " xmlns='urn:ietf:params:xml:ns:cpl'/>"), "root")


def _places() -> Iterator[Script]:
    """Each node in each place, two nodes in each, and tags there are not."""
    declared = "<subaction id='s'/>"
    for name, holder in HOLDERS.items():
        before = "" if name == "ancillary" else declared
        after = "<subaction id='s'/>" if name == "ancillary" else ""
        for leaf in LEAVES.values():
            yield Script(cpl(before + holder.format(leaf) + after))
        for two in ("<proxy/><proxy/>", "<log/><redirect/>", "<switch/>", "<proxies/>", "<cpl/>", "<incoming/>"):
            yield Script(cpl(before + holder.format(two) + after))
    for base, kind in (
        ("switch", "LanguageSwitchType"),
        ("action", "LogAction"),
        ("modifier", "LookupType' source='a"),
    ):
        script = (
            f"<incoming xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'><{base} xsi:type='{kind}'/></incoming>"
        )
        yield Script(cpl(script), "abstract")


def _outputs() -> Iterator[Script]:
    """Outputs in all orders, twice, of other nodes; nodes in all of them."""
    for name, outputs in OUTPUTS.items():
        for some in combinations(outputs, 2):
            for order in (some, some[::-1]):
                yield Script(cpl(HOLDERS[name].format("".join(f"<{tag}><log/></{tag}>" for tag in order))))
        yield Script(cpl(HOLDERS[name].format("".join(f"<{tag}/>" for tag in outputs))))
        for tag in outputs:
            yield Script(cpl(HOLDERS[name].format(f"<{tag}/><{tag}/>")))
            yield Script(cpl(HOLDERS[name].format(f"<{tag} a='b'/>")))
            for other in HOLDERS:
                if tag not in OUTPUTS.get(other, ()):
                    before = "" if other == "ancillary" else "<subaction id='s'/>"
                    yield Script(cpl(before + HOLDERS[other].format(f"<{tag}/>")))
    for name, condition in CONDITIONS.items():
        one, absent, rest = condition.format(""), "<not-present/>", "<otherwise/>"
        for inside in (
            one, one * 2, absent, rest, one + absent, absent + one, one + absent + one, one + rest, absent + rest,
            one + absent + one + rest, rest + one, rest + absent, absent * 2, absent + one + absent, rest * 2,
            rest + one + absent,
        ):  # fmt: skip
            yield Script(cpl(HOLDERS[name].format(inside)))
        for leaf in ("<redirect/>", "<location url='sip:a@b'><proxy/></location>", "<otherwise/>", "<log/><log/>"):
            yield Script(cpl(HOLDERS[name].format(condition.format(leaf))))
        for other, foreign in CONDITIONS.items():
            if other != name:
                yield Script(cpl(HOLDERS[name].format(foreign.format(""))))


def _attributes() -> Iterator[Script]:
    """Each attribute with good values and bad ones, without the ones that must be there, and with unknown ones."""
    for script, (good, bad) in ATTRIBUTES.values():
        for value in good:
            yield Script(cpl(f"<incoming>{script.format(value)}</incoming>"))
        for difference, values in bad.items():
            for value in values:
                yield Script(cpl(f"<incoming>{script.format(value)}</incoming>"), difference)
    for rule, (good, bad) in RULES.items():
        for value in good:
            yield Script(cpl(f"<incoming>{TIME.format(f'{rule}={value!r}')}</incoming>"))
        for difference, values in bad.items():
            for value in values:
                yield Script(cpl(f"<incoming>{TIME.format(f'{rule}={value!r}')}</incoming>"), difference)
    for leaf in LEAVES.values():
        bare = leaf.split(" ")[0].removesuffix("/>") + "/>"
        yield Script(cpl(f"<subaction id='s'/><incoming>{bare}</incoming>"))
        for unknown in ("a='b'", "status='busy'", "id='s'"):
            if unknown not in leaf:
                extra = leaf.replace("/>", f" {unknown}/>")
                yield Script(cpl(f"<subaction id='s'/><incoming>{extra}</incoming>"))
    for name, condition in CONDITIONS.items():
        extra = condition.format("").replace(">", " a='b'>", 1)
        yield Script(cpl(HOLDERS[name].format(extra)), "extension")
        other = condition.format("").replace(">", " xmlns:x='urn:x' x:a='b'>", 1)
        yield Script(cpl(HOLDERS[name].format(other)), "extension")


def _by_hand() -> Iterator[Script]:
    """What no table makes."""
    switch = "<incoming><{0}-switch {1}><{2} {3}/></{0}-switch></incoming>"
    for name, field, output, attributes in (
        ("address", "field='origin'", "address", ""),
        ("address", "field='origin' subfield='host'", "address", "is='a' subdomain-of='a'"),
        ("string", "field='subject'", "string", ""),
        ("string", "field='subject'", "string", "is='a' contains='a'"),
        ("priority", "", "priority", ""),
        ("priority", "", "priority", "less='urgent' equal='urgent'"),
        ("time", "", "time", "dtstart='20260101T080000'"),
        ("time", "", "time", "dtstart='20260101T080000' duration='PT1H' dtend='20260101T090000'"),
        ("time", "", "time", "dtstart='20260101T080000' duration='PT1H' freq='daily' count='1' until='20270101'"),
    ):
        yield Script(cpl(switch.format(name, field, output, attributes)), "choice")
    for subfield in ("user", "port", "password", "address-type", "alias-type", "display", "host", "tel"):
        for operator in ("contains", "subdomain-of"):
            good = (operator, subfield) in {("contains", "display"), ("subdomain-of", "host"), ("subdomain-of", "tel")}
            fields = f"field='origin' subfield='{subfield}'"
            script = switch.format("address", fields, "address", f"{operator}='1'")
            yield Script(cpl(script), "" if good else "operator")
    for script in (
        "<address-switch field='origin' subfield='port'><address is='a'/></address-switch>",
        "<location url='javascript:alert(1)'/>",
        "<reject status='busy' reason='a&#10;b'/>",
        "<time-switch><time dtstart='20261399T080000' duration='PT1H'/></time-switch>",
        "<time-switch tzid='../../etc/passwd'/>",
    ):
        yield Script(cpl(f"<incoming>{script}</incoming>"), "value")
    yield Script(cpl("<incoming><lookup source='http://x.example/'/></incoming>"), "here")
    for attribute in ("status", "reason"):
        given = "" if attribute == "status" else "status='busy'"
        script = f"<c:cpl xmlns:c='urn:ietf:params:xml:ns:cpl'><c:incoming><c:reject {given} c:{attribute}='busy'/>"
        yield Script(script + "</c:incoming></c:cpl>", "qualified")
    yield Script("<c:cpl xmlns:c='urn:ietf:params:xml:ns:cpl'><c:incoming><c:redirect/></c:incoming></c:cpl>")
    yield Script("<c:cpl xmlns:c='urn:ietf:params:xml:ns:cpl'><c:incoming><c:redirekt/></c:incoming></c:cpl>")
    yield Script("<cpl xmlns='urn:ietf:params:xml:ns:cpl2'><incoming/></cpl>")
    yield Script("<cpl xmlns='urn:ietf:params:xml:ns:CPL'><incoming/></cpl>")
    yield Script(cpl("<x:ring xmlns:x='urn:x'/><incoming/>"))
    yield Script(cpl("<incoming><x:ring xmlns:x='urn:x'/></incoming>"))
    yield Script(cpl("<incoming><proxy xmlns:x='urn:x' x:a='b'/></incoming>"))
    yield Script(cpl("<incoming><redirect xml:lang='en'/></incoming>"))
    yield Script(cpl("<CPL/>"))
    yield Script("<CPL xmlns='urn:ietf:params:xml:ns:cpl'/>")
