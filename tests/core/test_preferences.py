"""Caller preferences: the example of RFC 3841 §7.2.5, each rule of §7.2 and §9.1, and what they do to a target set."""

from __future__ import annotations

import pytest

from sipd.core.decision import Proxy, Respond
from sipd.core.features import features_of
from sipd.core.location import groups
from sipd.core.preferences import (
    MOST_FEATURES,
    MOST_RULES,
    NO_WISHES,
    Disposition,
    disposition_of,
    preferences_of,
    preferred,
)
from sipd.errors import BadSyntax, TemporarilyUnavailable
from sipd.hop import Target
from sipd.message import parse_uri
from sipd.rows import Binding
from tests.core.tables import ALICE, BOB, WALL, House, register, request


def candidates(*contacts):
    """`u1 0.5 ;audio` -> a target and its features."""
    made = []
    for text in contacts:
        name, q, params = [*text.split(" ", 2), ""][:3]
        made.append((Target(parse_uri(f"sip:{name}@h.example.com"), round(float(q) * 1000)), features_of(params)))
    return made


def placed(preferences, contacts):
    """The targets left, with their Qa."""
    return [target._replace(qa=qa) for target, qa in preferred(preferences, candidates(*contacts))]


def asked(contacts, *headers, method="INVITE"):
    """Names and Qa of the targets left, in the order to try them."""
    left = placed(preferences_of(request(method, f"sip:{BOB}", *headers)), contacts)
    return [(target.uri.user, target.qa) for group in groups(left) for target in group]


EXAMPLE = (
    'u1 0.2 ;audio;video;methods="INVITE,BYE"',
    'u2 0.2 ;audio="FALSE";methods="INVITE";actor="msg-taker"',
    'u3 0.3 ;audio;actor="msg-taker";methods="INVITE";video',
    'u4 0.2 ;audio;methods="INVITE,OPTIONS"',
    "u5 0.5",
)


def test_the_example_of_section_7_2_5():
    assert asked(
        EXAMPLE,
        'Reject-Contact: *;actor="msg-taker";video',
        "Accept-Contact: *;audio;require",
        "Accept-Contact: *;video;explicit",
        'Accept-Contact: *;methods="BYE";class="business";q=1.0',
    ) == [("u5", 1000), ("u1", 833), ("u4", 500)]


def test_the_example_in_one_line_each_and_compact():
    assert asked(
        EXAMPLE,
        'j: *;actor="msg-taker";video',
        'a: *;audio;require, *;video;explicit, *;methods="BYE";class="business";q=1.0',
    ) == [("u5", 1000), ("u1", 833), ("u4", 500)]


ONE = ("yes 1 ;video", 'no 1 ;video="FALSE"', "unsaid 1 ;audio", "immune 1")


@pytest.mark.parametrize(
    ("header", "left"),
    [
        # §5.2: none: all are used, those that don't match last; require: not those that can't match;
        # explicit: who hasn't said so comes last; both: nobody but those who said so (and the immune).
        ("Accept-Contact: *;video", {"yes": 1000, "no": 0, "unsaid": 0, "immune": 1000}),
        ("Accept-Contact: *;video;require", {"yes": 1000, "unsaid": 0, "immune": 1000}),
        ("Accept-Contact: *;video;explicit", {"yes": 1000, "no": 0, "unsaid": 0, "immune": 1000}),
        ("Accept-Contact: *;video;require;explicit", {"yes": 1000, "immune": 1000}),
        ("Accept-Contact: *;audio;video", {"yes": 500, "no": 0, "unsaid": 500, "immune": 1000}),
        ("Accept-Contact: *;audio;video;explicit", {"yes": 0, "no": 0, "unsaid": 0, "immune": 1000}),
        ("Reject-Contact: *;video", {"no": 1000, "unsaid": 1000, "immune": 1000}),
        ('Reject-Contact: *;video="FALSE"', {"yes": 1000, "unsaid": 1000, "immune": 1000}),
        ("Reject-Contact: *;video;audio", {"yes": 1000, "no": 1000, "unsaid": 1000, "immune": 1000}),
        # without a feature a value says nothing
        ("Accept-Contact: *;require;explicit;q=0.3", {"yes": 1000, "no": 1000, "unsaid": 1000, "immune": 1000}),
        ("Reject-Contact: *", {"yes": 1000, "no": 1000, "unsaid": 1000, "immune": 1000}),
    ],
)
def test_require_explicit_and_reject(header, left):
    assert dict(asked(ONE, header)) == left


def test_a_wish_never_overrides_the_order_of_the_callee():
    assert asked(("low 0.3 ;video", "high 0.9 ;audio"), "Accept-Contact: *;video") == [("high", 0), ("low", 1000)]


def test_those_of_equal_q_ring_one_after_the_other_as_the_caller_wants_them():
    left = placed(
        preferences_of(request("INVITE", f"sip:{BOB}", "Accept-Contact: *;video")),
        ("b 1 ;audio", "a 1 ;video", "c 0.98 ;video", "d 0.2 ;video"),
    )
    assert [[target.uri.user for target in group] for group in groups(left)] == [["a", "c"], ["b"], ["d"]]


def test_what_the_method_implies_leaves_out_but_never_everybody():
    contacts = ('calls 1 ;methods="INVITE,BYE"', 'texts 1 ;methods="MESSAGE"', "unsaid 1 ;audio", "immune 1")
    assert asked(contacts) == [("calls", 1000), ("unsaid", 1000), ("immune", 1000)]
    assert asked(contacts, method="MESSAGE") == [("texts", 1000), ("unsaid", 1000), ("immune", 1000)]
    assert asked(contacts[:2], method="INFO") == [("calls", 1000), ("texts", 1000)], "they will answer 405"


def test_an_event_package_is_implied_by_a_subscription_only():
    contacts = ('mwi 1 ;events="message-summary"', 'any 1 ;methods="SUBSCRIBE,NOTIFY"')
    assert asked(contacts, "Event: presence;id=4", method="SUBSCRIBE") == [("any", 1000)]
    assert len(asked(contacts, "Event: presence", method="NOTIFY")) == 2


def test_explicit_wishes_silence_the_implied_ones():
    assert asked(('texts 1 ;methods="MESSAGE"',), "Accept-Contact: *;language=en") == [("texts", 0)]


@pytest.mark.parametrize(
    "value", ["sip:x@example.com", ";audio", '*;+x="#5"', '*;a="', "**;audio", '*;language=""', '*;+x="<PC"']
)
@pytest.mark.parametrize("name", ["Accept-Contact", "Reject-Contact"])
def test_a_malformed_wish_is_a_bad_request(name, value):
    with pytest.raises(BadSyntax):
        preferences_of(request("INVITE", f"sip:{BOB}", f"{name}: {value}"))


def test_too_many_rules_are_refused():
    rules = ", ".join(["*;audio"] * MOST_RULES)
    assert len(preferences_of(request("INVITE", f"sip:{BOB}", f"Accept-Contact: {rules}")).accept) == MOST_RULES
    with pytest.raises(BadSyntax, match="Too many caller preferences"):
        preferences_of(request("INVITE", f"sip:{BOB}", f"Accept-Contact: {rules}", "Reject-Contact: *;audio"))


def test_too_many_features_are_refused_unread():
    def wish(count):
        return request("INVITE", f"sip:{BOB}", "Accept-Contact: *" + "".join(f";+f{n}" for n in range(count)))

    assert len(preferences_of(wish(MOST_FEATURES)).accept[0].features) == MOST_FEATURES
    with pytest.raises(BadSyntax, match="Too many caller preferences"):
        preferences_of(wish(MOST_FEATURES + 1))


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("proxy, recurse, parallel", Disposition(redirect=False, recurse=True, order="parallel")),
        ("REDIRECT", Disposition(redirect=True)),
        ("no-cancel,no-fork ,\t sequential", Disposition(cancel=False, fork=False, order="sequential")),
        ("no-recurse, cancel, fork", Disposition(recurse=False)),
        ("queue, no-queue, tunnel, ,", NO_WISHES),
        ("sequential, parallel", Disposition(order="sequential")),  # the first of a type
    ],
)
def test_request_disposition(value, meant):
    assert disposition_of(request("INVITE", f"sip:{BOB}", f"Request-Disposition: {value}")) == meant


def test_no_header_is_no_wish():
    assert disposition_of(request()) is NO_WISHES


# --- in the decision ---------------------------------------------------------------------------


def house(*contacts, **settings):
    """Bob at `name q params`."""
    made = House()
    made.tables.set(auth="none", **settings)
    made.tables.contacts[BOB] = [
        Binding(BOB, f"sip:{name}@192.0.2.20", round(float(q) * 1000), WALL + 60, params=params)
        for name, q, params in ([*text.split(" ", 2), ""][:3] for text in contacts)
    ]
    return made


def rung(decision):
    assert isinstance(decision, Proxy)
    return [target.uri.user for target in decision.targets]


def test_the_proxy_leaves_out_whom_the_caller_does_not_want():
    made = house("desk 1 ;audio;video", "fax 1 ;audio=FALSE", "old 1")
    decision = made.decide(request("INVITE", f"sip:{BOB}", "Accept-Contact: *;audio;require"))
    assert rung(decision) == ["desk", "old"]


def test_480_when_nobody_is_as_the_caller_wants():
    made = house("fax 1 ;audio=FALSE")
    with pytest.raises(TemporarilyUnavailable):
        made.decide(request("INVITE", f"sip:{BOB}", "Accept-Contact: *;audio;require"))


def test_without_wishes_the_method_chooses_among_several():
    made = house('desk 1 ;methods="INVITE,BYE"', 'pager 1 ;methods="MESSAGE"')
    assert rung(made.decide(request())) == ["desk"]
    assert rung(made.decide(request("MESSAGE", f"sip:{BOB}", cseq=2))) == ["pager"]
    assert sorted(rung(made.decide(request("INFO", f"sip:{BOB}", cseq=3)))) == ["desk", "pager"]


def test_no_fork_is_one_phone_the_best():
    made = house("desk 0.5 ;video", "soft 0.9 ;audio", "mobile 0.9 ;video")
    decision = made.decide(request("INVITE", f"sip:{BOB}", "Request-Disposition: no-fork"))
    assert rung(decision) == ["soft"]
    decision = made.decide(
        request("INVITE", f"sip:{BOB}", "Request-Disposition: no-fork", "Accept-Contact: *;video", cseq=2)
    )
    assert rung(decision) == ["mobile"]


def test_the_disposition_is_in_the_decision_where_we_own_the_domain():
    made = house("desk 1")
    header = "Request-Disposition: sequential, no-cancel, recurse"
    decision = made.decide(request("INVITE", f"sip:{BOB}", header))
    assert isinstance(decision, Proxy)
    assert decision.disposition == Disposition(cancel=False, recurse=True, order="sequential")
    foreign = made.decide(request("INVITE", "sip:x@192.0.2.99", header, cseq=2))
    assert isinstance(foreign, Proxy)
    assert foreign.disposition is NO_WISHES


def test_a_redirect_keeps_the_order_in_q_and_tells_no_features():
    made = house("plain 1 ;audio", "seen 1 ;video", "last 0.2 ;video")
    answer = made.decide(request("INVITE", f"sip:{BOB}", "Request-Disposition: redirect", "Accept-Contact: *;video"))
    assert isinstance(answer, Respond)
    assert [value for _, value in answer.headers] == [
        "<sip:seen@192.0.2.20>",
        "<sip:plain@192.0.2.20>;q=0.667",
        "<sip:last@192.0.2.20>;q=0.334",
    ]


def test_the_order_of_a_group_is_what_the_caller_asked():
    targets = [Target(parse_uri(f"sip:{n}@x.example"), q) for n, q in ((1, 1000), (2, 990), (3, 100))]
    assert groups(targets, order="parallel") == [targets]
    assert groups(targets, order="sequential") == [[target] for target in targets]
    assert groups((), order="parallel") == []


def test_a_foreign_domain_is_none_of_our_business():
    """RFC 3841 §7.2: what is asked of others is carried on as it came, well-formed or not."""
    made = house("desk 1 ;audio")
    sent = request("INVITE", "sip:x@192.0.2.99", "Accept-Contact: <nonsense", "Request-Disposition: redirect")
    decision = made.decide(sent)
    assert isinstance(decision, Proxy)
    assert [target.uri.text for target in decision.targets] == ["sip:x@192.0.2.99"]


def test_features_are_kept_given_back_and_matched():
    """RFC 3840 §6: Require: pref is understood, the 200 lists what each contact said."""
    features = ';audio;mobility="mobile";methods="INVITE,BYE";+sip.newparam;other=1'
    made = House()
    made.tables.set(auth="none")
    answer = made.answer(register(f"Contact: <sip:alice@192.0.2.10>{features}", "Require: pref"))
    assert answer.status == 200
    assert answer.values("Contact")[0].endswith(features)
    wishes = 'Accept-Contact: *;mobility="MOBILE";methods="BYE";+sip.newparam="TRUE";require;explicit'
    assert rung(made.decide(request("INVITE", f"sip:{ALICE}", wishes))) == ["alice"]
    with pytest.raises(TemporarilyUnavailable):
        made.decide(request("INVITE", f"sip:{ALICE}", wishes.replace("MOBILE", "fixed"), cseq=2))
