"""Conditions of switches: attributes of an output to a test of the value seen (RFC 3880 §4.1 to §4.5)."""

from __future__ import annotations

import re
from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from sipd.cpl import matching
from sipd.cpl.findings import meant, shown
from sipd.cpl.grammar import OUTPUT_ATTRIBUTES
from sipd.cpl.slips import LANGUAGES
from sipd.cpl.values import read_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.cpl.document import Element
    from sipd.cpl.findings import Report
    from sipd.message import Uri

Seen = TypeVar("Seen")


class Condition(NamedTuple, Generic[Seen]):
    """What an output asks for, and enough of its meaning to see which later outputs it leaves nothing."""

    matches: Callable[[Seen], bool]
    operator: str
    wanted: str
    exact: bool  # matches its samples only
    samples: tuple[Seen, ...]  # whoever matches all of these by a wide test matches all that this one does
    covers: Callable[[Seen], bool]  # as `matches`, for comparing conditions


def plain(matches: Callable[[Seen], bool], operator: str, wanted: str, sample: Seen) -> Condition[Seen]:
    """The usual condition: `is` means one value, `contains` and `subdomain-of` many."""
    return Condition(matches, operator, wanted, operator == "is", (sample,), matches)


TESTS: Final[dict[tuple[str, str], Callable[[str], Callable[[str], bool]]]] = {
    ("address-type", "is"): matching.is_caseless,
    ("user", "is"): matching.is_word,
    ("password", "is"): matching.is_word,
    ("alias-type", "is"): matching.is_caseless,
    ("host", "is"): matching.is_host,
    ("host", "subdomain-of"): matching.is_host_below,
    ("port", "is"): lambda wanted: partial(eq, wanted.lstrip("0") or "0"),
    ("tel", "is"): matching.is_number,
    ("tel", "subdomain-of"): matching.is_number_below,
    ("display", "is"): matching.is_text,
    ("display", "contains"): matching.is_text_part,
}
"""The test for a subfield and an operator; what has no row does not exist (§4.1)."""

SAMPLES: Final[dict[str, Callable[[str], str]]] = {
    "address-type": str.lower,
    "user": matching.plain_user,
    "host": lambda wanted: matching.host_name(wanted).lstrip("."),
    "password": matching.plain_user,
    "port": lambda wanted: wanted.lstrip("0") or "0",
    "tel": matching.digits_of,
    "display": matching.fold,
}
"""A script's value as a call's value looks when it is seen."""

BELONGS: Final = {
    "contains": "contains compares display names only",
    "subdomain-of": "subdomain-of compares host and tel only",
}

_BLANKS: Final = " \t\r\n"
_DIGITS: Final = re.compile(r"[0-9]+")
_NUMBER: Final = re.compile(r"\+?[0-9a-d*#]*")
_HOST: Final = re.compile(r"\.*[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")
_TAG: Final = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")


def one_of(report: Report, element: Element, names: tuple[str, ...], section: str) -> tuple[str, str] | None:
    """The one attribute that is given of several, with its value; None after reporting when it is not one."""
    given = [name for name in names if name in element.attributes]
    if len(given) == 1:
        return given[0], element.attributes[given[0]]
    known = OUTPUT_ATTRIBUTES[element.tag]
    if not given and (element.foreign or any(name not in known for name in element.attributes)):
        return None  # another one was reported, and hinted which is meant
    choice = ", ".join(names)
    said = f"has none of {choice}" if not given else f"has {' and '.join(given)} together"
    report.error(
        "CPL-CHOICE",
        f"<{element.tag}> {said}",
        element,
        given[1] if given else "",
        section=section,
        hint=f'give exactly one, for example {names[0]}="…"' if not given else "use one output for each",
    )
    return None


def address_condition(report: Report, element: Element, subfield: str) -> Condition[str] | None:
    """What an `address` output compares a subfield with; None after reporting."""
    chosen = one_of(report, element, ("is", "contains", "subdomain-of"), "4.1")
    if chosen is None:
        return None
    operator, wanted = chosen
    test = TESTS.get((subfield, operator))
    if test is None:
        report.error(
            "CPL-OPERATOR",
            f"{operator} does not go with subfield {shown(subfield)}: {BELONGS[operator]}",
            element,
            operator,
            hint='write is="…", or subdomain-of="…"' if (subfield, "subdomain-of") in TESTS else 'write is="…"',
        )
        return None
    if subfield not in ("user", "password", "display"):
        wanted = wanted.strip(_BLANKS)
        if not _is_possible(report, element, subfield, operator, wanted):
            return None
    return plain(test(wanted), operator, wanted, SAMPLES.get(subfield, str)(wanted))


def _is_possible(report: Report, element: Element, subfield: str, operator: str, wanted: str) -> bool:
    """Whether the value makes sense for the subfield; one that never can match is warned about."""
    never = hint = ""
    if subfield == "port":
        if _DIGITS.fullmatch(wanted) is None:
            report.error(
                "CPL-VALUE", f"{operator}={shown(wanted)}: a port is a decimal number", element, operator, section="4.1"
            )
            return False
        significant = wanted.lstrip("0")
        never = "no port is that high" if len(significant) > 5 or int(significant or "0") > 65535 else ""
    elif subfield == "host" and matching.ip_of(wanted) is None and _HOST.fullmatch(wanted) is None:
        if not wanted.strip("."):
            report.error("CPL-VALUE", f"{operator} names no host", element, operator, section="4.1")
            return False
        never, hint = "that is not a host name or IP address", "write the host alone, without sip:, user or port"
    elif subfield == "tel":
        number = matching.digits_of(wanted)
        if not number:
            report.error("CPL-VALUE", f"{operator} has no digit", element, operator, section="4.1")
            return False
        never = "" if _NUMBER.fullmatch(number) else "that is not a telephone number"
        hint = "digits, A to D, *, # and a leading +"
    if never:
        report.warning(
            "CPL-NEVER",
            f"{operator}={shown(wanted)} never matches: {never}",
            element,
            operator,
            section="4.1",
            hint=hint,
        )
    return True


def uri_condition(report: Report, element: Element) -> Condition[Uri] | None:
    """What an `address` output compares the whole address with: by the rules for SIP URIs (§4.1.1)."""
    chosen = one_of(report, element, ("is", "contains", "subdomain-of"), "4.1")
    if chosen is None:
        return None
    operator, wanted = chosen
    if operator != "is":
        report.error(
            "CPL-OPERATOR",
            f"{operator} does not go with the whole address: {BELONGS[operator]}",
            element,
            operator,
            hint=f'name a subfield in the switch: subfield="{"display" if operator == "contains" else "host"}"',
        )
        return None
    alone = "for example sip:alice@example.com; a user or host alone is compared with subfield="
    uri = read_uri(report, element, "is", f'{alone}"user" or subfield="host" in the switch')
    # Not each URI that is like one like ours is like ours: only the same text is surely the same condition.
    return None if uri is None else Condition(uri.same_as, "is", wanted, True, (uri,), partial(eq, uri))


def string_condition(report: Report, element: Element) -> Condition[str] | None:
    """What a `string` output compares with (§4.2)."""
    chosen = one_of(report, element, ("is", "contains"), "4.2")
    if chosen is None:
        return None
    operator, wanted = chosen
    test = matching.is_text if operator == "is" else matching.is_text_part
    return plain(test(wanted), operator, wanted, matching.fold(wanted))


def language_condition(report: Report, element: Element) -> Condition[frozenset[str]] | None:
    """What a `language` output asks for (§4.3)."""
    wanted = element.attributes.get("matches")
    if wanted is None:
        return None  # reported as a missing attribute
    tag = wanted.strip(_BLANKS)
    if _TAG.fullmatch(tag) is None:
        report.error(
            "CPL-VALUE",
            f"matches={shown(wanted)} is not a language tag",
            element,
            "matches",
            section="4.3",
            hint="for example en, es or de-CH; all others are <otherwise>",
        )
        return None
    primary = tag.partition("-")[0].lower()
    if primary in LANGUAGES or (len(primary) == 1 and primary not in "ix") or len(primary) > 3:
        report.warning(
            "CPL-NEVER",
            f"matches={shown(wanted)}: no language has this tag",
            element,
            "matches",
            section="4.3",
            hint=f"did you mean {shown(LANGUAGES[primary])}?"
            if primary in LANGUAGES
            else "tags begin as en, de or yue",
        )
    matches = matching.is_language(tag)
    parts = tag.lower().split("-")
    ranges = tuple(frozenset({"-".join(parts[: count + 1])}) for count in range(len(parts)))
    return Condition(matches, "matches", tag, False, ranges, matches)


ALL_PRIORITIES: Final = (*matching.PRIORITIES, "un known")
"""What stands for all priorities: an unknown one, here one with a blank, is below urgent and above non-urgent."""

PRIORITY_TESTS: Final[dict[str, Callable[[str], Callable[[str], bool]]]] = {
    "less": matching.is_less,
    "greater": matching.is_greater,
    "equal": lambda wanted: partial(eq, wanted),
}


def priority_condition(report: Report, element: Element) -> Condition[str] | None:
    """What a `priority` output asks for (§4.5). `equal` may name any priority: it is compared by the letter."""
    chosen = one_of(report, element, ("less", "greater", "equal"), "4.5")
    if chosen is None:
        return None
    operator, wanted = chosen
    word = wanted.strip(_BLANKS).lower()
    if word not in matching.PRIORITIES and (operator != "equal" or not word):
        report.error(
            "CPL-VALUE",
            f"{operator}={shown(wanted)}: it is emergency, urgent, normal or non-urgent",
            element,
            operator,
            section="4.5",
            hint=meant(word, matching.PRIORITIES),
        )
        return None
    matches = PRIORITY_TESTS[operator](word)
    samples = tuple(sample for sample in (*ALL_PRIORITIES, word) if matches(sample))
    if not samples:
        report.warning(
            "CPL-NEVER",
            f"no priority is {'less' if operator == 'less' else 'greater'} than {word}",
            element,
            operator,
            section="4.5",
            hint=f'did you mean equal="{word}"?',
        )
    return Condition(matches, operator, word, False, samples, matches)


MOST_COMPARED: Final = 100
"""Conditions of one switch that are compared with each other, for the time it takes."""


def left_nothing(conditions: list[tuple[Element, Condition[Seen]]]) -> list[Element]:
    """The outputs no value can take, because those before them take all that they match."""
    found = []
    earlier: list[Condition[Seen]] = []
    for element, condition in conditions[:MOST_COMPARED]:
        able = [other for other in earlier if condition.exact or not other.exact]
        if condition.samples and all(any(other.covers(value) for other in able) for value in condition.samples):
            found.append(element)
        earlier.append(condition)
    return found


def take_all(conditions: list[tuple[Element, Condition[Seen]]], everything: tuple[Seen, ...]) -> bool:
    """Whether some condition takes each of these values; not where there are none."""
    return bool(everything) and all(any(each.covers(value) for _, each in conditions) for value in everything)
