"""Calls at random: scripts of every node, phones that do all that phones do, and whom they belong to."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from sipd.core.behaviour import Behaviour
from sipd.cpl import CplError, compile
from sipd.rows import Action, Binding
from tests.server.phones import DOMAIN, WALL

USERS: Final = ("alice", "bob", "carol", "dave")
PHONES: Final = tuple(f"sip:p{n}@10.0.2.{n}:5060" for n in range(1, 8))
FRACTIONS: Final = (0.051, 0.083, 0.137, 0.219, 0.341, 0.467, 0.613)
"""What each phone's times end in: no two things happen at one time by chance."""
ELSEWHERE: Final = (f"sip:nobody@{DOMAIN}", "tel:+33123456789", "mailto:bob@example.net")
Q: Final = ("", "", "1.0", "0.97", "0.9", "0.5", "0.5", "0.1", "0.0")
TIMEOUTS: Final = (3, 11, 23, 59, 151)
"""Seconds; with a stagger that is no whole number, seldom two timers strike at one time, where either may be first."""
STATUSES: Final = (400, 404, 408, 415, 480, 486, 486, 486, 486, 488, 500, 503, 600, 600, 603, 604)


def aor(name: str) -> str:
    return f"{name}@{DOMAIN}"


@dataclass
class MadeUp:
    """One call with all that it meets."""

    scripts: dict[str, bytes] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    phones: dict[str, tuple[Behaviour, ...]] = field(default_factory=dict)  # by URI
    caller: str = f"sip:alice@{DOMAIN}"
    called: str = f"sip:bob@{DOMAIN}"
    headers: tuple[tuple[str, str], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.caller} calls {self.called} with {self.headers} at {self.settings}"]
        lines += [f"--- {owner}\n{text.decode()}" for owner, text in self.scripts.items()]
        lines += [f"{b.aor}: {b.uri} q={b.q}" for b in self.bindings]
        lines += [f"{uri} does {row}" for uri, row in self.phones.items()]
        return "\n".join(lines)


def made_up(seed: int) -> MadeUp:
    """The call of that number."""
    chance = random.Random(seed)
    call = MadeUp()
    for at, uri in enumerate(PHONES):
        times = range(chance.choice((1, 1, 2, 3)))
        row = [_behaviour(chance, FRACTIONS[at] + time / 70) for time in times]
        later = [row[-1]._replace(after=row[-1].after + time / 97) for time in range(1, 9)] if row[-1].after else []
        call.phones[uri] = (*row, *later)
    for name in USERS[1:]:
        for uri in chance.sample(PHONES, chance.choice((0, 1, 1, 2, 3))):
            q = int(float(chance.choice(Q) or "1") * 1000)
            action: Action = "redirect" if chance.random() < 0.05 else "proxy"
            call.bindings.append(Binding(aor(name), uri, q=q, expires_at=WALL + 1e6, action=action))
    writer = Writer(chance)
    call.scripts[aor("bob")] = writer.script("incoming")
    if chance.random() < 0.3:
        call.scripts[aor("alice")] = writer.script("outgoing")
    if chance.random() < 0.3:
        call.scripts[aor("carol")] = writer.script("incoming")
    if chance.random() < 0.15:
        call.caller = "sip:mallory@elsewhere.example.net"
    headers = {
        "Subject": "Lunch today",
        "Priority": "urgent",
        "Accept-Language": "fr, en;q=0.5",
        "Organization": "ACME",
    }
    call.headers = tuple(item for item in headers.items() if chance.random() < 0.5)
    if chance.random() < 0.15:
        wishes = ("redirect", "no-fork", "sequential", "parallel", "recurse", "no-recurse", "no-cancel")
        call.headers += (("Request-Disposition", ", ".join(chance.sample(wishes, chance.choice((1, 2))))),)
    if chance.random() < 0.15:
        call.headers += (("Expires", chance.choice(("5", "40", "0", "nonsense"))),)
    if chance.random() < 0.3:
        call.settings["recurse"] = True
    call.settings["stagger"] = 29.69
    if chance.random() < 0.2:
        call.settings["stagger"] = 7.27
    if chance.random() < 0.05:
        call.settings["mode"] = "redirect"
    if chance.random() < 0.1:
        call.settings["max_breadth"] = chance.choice((1, 2, 3))
    if chance.random() < 0.1:
        call.settings["timer_c"] = 60.0
    return call


def _behaviour(chance: random.Random, fraction: float) -> Behaviour:
    after = chance.choice((0.0, 0.0, 1 + fraction, 4 + fraction, 12 + fraction, 33 + fraction, 70 + fraction))
    kind = chance.random()
    if kind < 0.18:
        return Behaviour(0)
    if kind < 0.22:
        return Behaviour(0, silent=True)
    if kind < 0.34:
        return Behaviour(200, after)
    if kind < 0.56:
        return Behaviour(chance.choice((300, 301, 302, 302, 305, 380)), after, _contacts(chance))
    return Behaviour(chance.choice(STATUSES), after)


def _contacts(chance: random.Random) -> tuple[str, ...]:
    places = (*PHONES, f"sip:dave@{DOMAIN}", f"sip:carol@{DOMAIN}", f"sip:bob@{DOMAIN}", *ELSEWHERE)
    found = chance.sample(places, chance.choice((0, 1, 1, 2, 3)))
    return tuple(f"<{uri}>" + (f";q={q}" if (q := chance.choice(Q)) else "") for uri in found)


SWITCHES: Final = (
    ('address-switch field="origin" subfield="user"', "address", ('is="alice"', 'is="mallory"')),
    ('address-switch field="origin" subfield="host"', "address", ('subdomain-of="example.com"', 'is="elsewhere"')),
    ('address-switch field="destination"', "address", (f'is="sip:bob@{DOMAIN}"', f'is="sip:carol@{DOMAIN}"')),
    ('address-switch field="original-destination" subfield="tel"', "address", ('subdomain-of="33"',)),
    ('string-switch field="subject"', "string", ('is="lunch TODAY"', 'contains="lunch"')),
    ('string-switch field="organization"', "string", ('is="A"', 'is="other"')),
    ("language-switch", "language", ('matches="fr"', 'matches="de"', 'matches="en"')),
    ("priority-switch", "priority", ('greater="normal"', 'equal="normal"', 'less="urgent"')),
    (
        'time-switch tzid="Europe/Paris"',
        "time",
        ('dtstart="20231114T220000Z" duration="PT1H"', 'dtstart="20200101T080000" duration="PT8H" freq="daily"'),
    ),
)


class Writer:
    """Writes scripts: at most 20 locations and 20 logs on a way, and never very deep."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.subactions = 0

    def script(self, direction: str) -> bytes:
        """One script that is sound; now and then one of these has more locations or logs than it may have."""
        while True:
            text = self.any_script(direction)
            try:
                compile(text)
            except CplError as error:
                strange = {finding.code for finding in error.findings} - {"CPL-LOCATIONS", "CPL-LOGS", "CPL-MAILS"}
                if strange:
                    raise AssertionError(f"{error}\n{text.decode()}") from error
            else:
                return text

    def any_script(self, direction: str) -> bytes:
        """One script, with the subactions that it uses."""
        chance = self.chance
        self.subactions = 0
        subactions = []
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            body = self.node(3)
            subactions.append(f'<subaction id="s{self.subactions}">{body}</subaction>')
            self.subactions += 1
        body = chance.choice((self.node, self.lookup, self.location))(8)
        self.subactions = 0
        return (
            '<cpl xmlns="urn:ietf:params:xml:ns:cpl">'
            f"{''.join(subactions)}<{direction}>{body}</{direction}></cpl>".replace("><", ">\n<").encode()
        )

    def node(self, depth: int) -> str:
        """Some node with what follows; nothing at times."""
        chance = self.chance
        if depth <= 0 or chance.random() < 0.06:
            return ""
        kinds = (
            [self.location] * 7 + [self.lookup] * 6 + [self.proxy] * 8 + [self.switch] * 3
            + [self.log, self.mail, self.remove, self.redirect, self.reject] + [self.sub] * 2
        )  # fmt: skip
        return chance.choice(kinds)(depth)

    def location(self, depth: int) -> str:
        chance = self.chance
        text = ""
        end = ""
        for _ in range(chance.choice((1, 1, 2, 3))):
            roll = chance.random()
            if roll < 0.75:
                uri = chance.choice(PHONES)
            elif roll < 0.93:
                uri = f"sip:{chance.choice(USERS)}@{DOMAIN}"
            else:
                uri = chance.choice(ELSEWHERE)
            q = chance.choice(Q)
            priority = f' priority="{q}"' if q else ""
            clear = ' clear="yes"' if chance.random() < 0.1 else ""
            text += f"<location url={quoteattr(uri)}{priority}{clear}>"
            end += "</location>"
        return text + (self.proxy(depth - 1) if chance.random() < 0.6 else self.node(depth - 1)) + end

    def lookup(self, depth: int) -> str:
        chance = self.chance
        clear = ' clear="yes"' if chance.random() < 0.2 else ""
        success = self.proxy(depth - 1) if chance.random() < 0.6 else self.node(depth - 1)
        outputs = [f"<success>{success}</success>"] if chance.random() < 0.9 else []
        for name in ("notfound", "failure"):
            if chance.random() < 0.4:
                outputs.append(f"<{name}>{self.node(depth - 2)}</{name}>")
        return f'<lookup source="registration"{clear}>{"".join(outputs)}</lookup>'

    def remove(self, depth: int) -> str:
        which = f' location="{self.chance.choice(PHONES)}"' if self.chance.random() < 0.6 else ""
        return f"<remove-location{which}>{self.node(depth - 1)}</remove-location>"

    def proxy(self, depth: int) -> str:
        chance = self.chance
        if depth <= 0:
            return "<proxy/>"
        attributes = ""
        if chance.random() < 0.5:
            attributes += f' timeout="{chance.choice(TIMEOUTS)}"'
        if chance.random() < 0.4:
            attributes += f' ordering="{chance.choice(("parallel", "sequential", "first-only"))}"'
        if chance.random() < 0.5:
            attributes += f' recurse="{chance.choice(("yes", "no", "no"))}"'
        outputs = [
            f"<{name}>{self.node(depth - 2)}</{name}>"
            for name in ("busy", "noanswer", "redirection", "failure", "default")
            if chance.random() < 0.55
        ]
        chance.shuffle(outputs)
        return f"<proxy{attributes}>{''.join(outputs)}</proxy>"

    def switch(self, depth: int) -> str:
        chance = self.chance
        head, output, conditions = chance.choice(SWITCHES)
        chosen = chance.sample(conditions, chance.randint(1, len(conditions)))
        inside = [f"<{output} {condition}>{self.node(depth - 1)}</{output}>" for condition in chosen]
        if chance.random() < 0.5 and not head.startswith(("time", "priority")):
            inside.insert(chance.randint(0, len(inside)), f"<not-present>{self.node(depth - 1)}</not-present>")
        if chance.random() < 0.7:
            inside.append(f"<otherwise>{self.node(depth - 1)}</otherwise>")
        return f"<{head}>{''.join(inside)}</{head.split()[0]}>"

    def log(self, depth: int) -> str:
        n = self.chance.randint(1, 99)
        return f'<log name="n{n}" comment="c{n}">{self.node(depth - 1)}</log>'

    def mail(self, depth: int) -> str:
        return f'<mail url="mailto:bob@example.com">{self.node(depth - 1)}</mail>'

    def redirect(self, depth: int) -> str:
        return self.chance.choice(("<redirect/>", '<redirect permanent="yes"/>'))

    def reject(self, depth: int) -> str:
        return self.chance.choice(('<reject status="busy"/>', '<reject status="480" reason="Later"/>'))

    def sub(self, depth: int) -> str:
        return f'<sub ref="s{self.chance.randrange(self.subactions)}"/>' if self.subactions else self.proxy(depth)
