"""Scripts made by chance: every node, output and attribute, always sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

WORDS = (
    "bob",
    "example.com",
    "Ünïcödé",
    "漢字漢字漢字漢字漢字",
    "a b c",
    "&lt;/title&gt;",
    "x" * 70,
    "📞",
    "&#x202e;txet",
)
URIS = ("sip:bob@example.com", "sips:a.very.long.user.name@voicemail.a-long-name.example.org", "tel:+493012345678")
FIELDS = (("origin", ""), ("origin", "host"), ("destination", "user"), ("original-destination", "tel"))

KINDS = (
    "address", "string", "language", "priority", "location", "location", "lookup", "remove", "proxy", "proxy",
    "redirect", "reject", "log", "sub",
)  # fmt: skip


def script(chance: Random, size: int = 12) -> str:
    """A sound script with about so many nodes in each action."""
    names = [f"sub{number}" for number in range(chance.randint(0, 2))]
    parts = []
    for number, name in enumerate(names):
        parts.append(f'<subaction id="{name}">{_node(chance, [size // 2], names[:number], 6)}</subaction>')
    for action in ("outgoing", "incoming"):
        if chance.random() < 0.8:
            parts.append(f"<{action}>{_node(chance, [size], names, 8)}</{action}>")
    return f'<cpl xmlns="urn:ietf:params:xml:ns:cpl">{"".join(parts)}</cpl>'


def _node(chance: Random, left: list[int], names: list[str], depth: int) -> str:
    left[0] -= 1
    if left[0] < 0 or depth == 0 or chance.random() < 0.08:
        return ""

    def inside() -> str:
        return _node(chance, left, names, depth - 1)

    def outputs(*tags: str) -> str:
        return "".join(f"<{tag}>{inside()}</{tag}>" for tag in tags if chance.random() < 0.6)

    kind = chance.choice(KINDS if names else KINDS[:-1])
    if kind in ("address", "string", "language", "priority"):
        return _switch(chance, kind, inside)
    if kind == "location":
        more = chance.choice(["", ' clear="yes"', ' priority="0.5"'])
        return f'<location url="{chance.choice(URIS)}"{more}>{inside()}</location>'
    if kind == "lookup":
        return f'<lookup source="registration">{outputs("success", "notfound", "failure")}</lookup>'
    if kind == "remove":
        which = chance.choice(["", f' location="{chance.choice(URIS)}"'])
        return f"<remove-location{which}>{inside()}</remove-location>"
    if kind == "proxy":
        ordering = chance.choice(["", ' ordering="sequential"', ' ordering="first-only" timeout="9"', ' recurse="no"'])
        return f"<proxy{ordering}>{outputs('busy', 'noanswer', 'redirection', 'failure', 'default')}</proxy>"
    if kind == "log":
        return f'<log name="{chance.choice(WORDS[:2])}" comment="{chance.choice(WORDS)}">{inside()}</log>'
    if kind == "sub":
        return f'<sub ref="{chance.choice(names)}"/>'
    return "<redirect/>" if kind == "redirect" else f'<reject status="busy" reason="{chance.choice(WORDS)}"/>'


def _switch(chance: Random, kind: str, inside: Callable[[], str]) -> str:
    field, subfield = chance.choice(FIELDS)
    head, tests = {
        "address": (
            f' field="{field}"' + (f' subfield="{subfield}"' if subfield else ""),
            {"": [f'is="{URIS[0]}"'], "host": ['subdomain-of="example.com"', 'is="192.0.2.1"'], "user": ['is="bob"'],
             "tel": ['subdomain-of="1900"']}[subfield],
        ),
        "string": (' field="subject"', [f'{test}="{word}"' for test in ("is", "contains") for word in WORDS]),
        "language": ("", ['matches="de-CH"', 'matches="en"']),
        "priority": ("", ['greater="normal"', 'equal="urgent"', 'less="normal"']),
    }[kind]  # fmt: skip
    made = [f"<{kind} {chance.choice(tests)}>{inside()}</{kind}>" for _ in range(chance.randint(0, 3))]
    made += [f"<not-present>{inside()}</not-present>"] if chance.random() < 0.3 else []
    made += [f"<otherwise>{inside()}</otherwise>"] if chance.random() < 0.6 else []
    return f"<{kind}-switch{head}>{''.join(made)}</{kind}-switch>"
