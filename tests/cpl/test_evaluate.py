"""A run of a script: pure, bounded, explained; whatever the script, the call and the outcomes are (RFC 3880 §2.2)."""

from __future__ import annotations

import gc
import timeit
from types import FunctionType, GeneratorType, ModuleType
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipd.cpl import Program, compile, evaluate
from sipd.cpl.nodes import MAX_LOCATIONS, Node
from sipd.hop import Target
from sipd.message import Address, parse_uri
from sipd.script import Default, Log, Lookup, LookupResult, ProxyResult, ProxyTo, Redirect, Reject
from tests.cpl.calls import as_words, compiled_or_refused, facts, program, run, target, targets

if TYPE_CHECKING:
    from sipd.trace import Trace

WORDS = st.sampled_from(
    ["", "a", "boss", "example.com", "192.0.2.1", "::1", "+1-900", "en", "straße", "ﬃ", "%41", "sip"]
)
NODES: st.SearchStrategy[str] = st.deferred(lambda: st.one_of(LEAVES, FOLLOWED, LOOKUPS, PROXIES, SWITCHES))
INSIDE: st.SearchStrategy[str] = st.one_of(st.just(""), NODES)
YES = st.sampled_from(["yes", "no"])
URLS = st.sampled_from(["sip:a@b", "sip:c@d;x=1", "sips:e@f", "tel:+1", "https://x/", "mailto:x@y"])

LEAVES: st.SearchStrategy[str] = st.one_of(
    st.builds("<redirect permanent='{}'/>".format, YES),
    st.builds("<reject status='{}' reason='{}'/>".format, st.sampled_from(["busy", "404", "699"]), WORDS),
    st.builds("<sub ref='{}'/>".format, st.sampled_from(["s0", "s1"])),
)
FOLLOWED: st.SearchStrategy[str] = st.one_of(
    st.builds(
        "<location url='{}' priority='{}' clear='{}'>{}</location>".format,
        URLS,
        st.sampled_from(["0", "0.5", "1"]),
        YES,
        INSIDE,
    ),
    st.builds("<remove-location>{}</remove-location>".format, INSIDE),
    st.builds("<remove-location location='{}'>{}</remove-location>".format, URLS, INSIDE),
    st.builds("<log name='{}' comment='{}'>{}</log>".format, WORDS, WORDS, INSIDE),
)


def outputs(tags: list[str]) -> st.SearchStrategy[str]:
    some = st.lists(st.sampled_from(tags), unique=True, max_size=len(tags))
    return some.flatmap(
        lambda chosen: st.builds("".join, st.tuples(*(st.builds(f"<{t}>{{}}</{t}>".format, INSIDE) for t in chosen)))
    )


LOOKUPS: st.SearchStrategy[str] = st.builds(
    "<lookup source='registration' clear='{}'>{}</lookup>".format, YES, outputs(["success", "notfound", "failure"])
)
PROXIES: st.SearchStrategy[str] = st.builds(
    "<proxy recurse='{}' ordering='{}'>{}</proxy>".format,
    YES,
    st.sampled_from(["parallel", "sequential", "first-only"]),
    outputs(["busy", "noanswer", "redirection", "failure", "default"]),
)


def conditions(output: str, operators: list[str], words: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    one = st.builds(f"<{output} {{}}='{{}}'>{{}}</{output}>".format, st.sampled_from(operators), words, INSIDE)
    absent = st.builds("<not-present>{}</not-present>".format, INSIDE)
    otherwise = st.builds("<otherwise>{}</otherwise>".format, INSIDE)
    return st.builds(
        lambda some, gone, end: "".join(some) + (gone or "") + (end or ""),
        st.lists(one, max_size=3),
        st.none() | absent,
        st.none() | otherwise,
    )


FIELDS = st.sampled_from(["origin", "destination", "original-destination"])
SWITCHES: st.SearchStrategy[str] = st.one_of(
    st.builds(
        "<address-switch field='{}' subfield='{}'>{}</address-switch>".format,
        FIELDS,
        st.sampled_from(["user", "password", "display", "address-type"]),
        conditions("address", ["is"], WORDS),
    ),
    st.builds(
        "<address-switch field='{}' subfield='{}'>{}</address-switch>".format,
        FIELDS,
        st.just("host"),
        conditions("address", ["is", "subdomain-of"], st.sampled_from(["example.com", "192.0.2.1", "[::1]"])),
    ),
    st.builds(
        "<address-switch field='{}' subfield='{}'>{}</address-switch>".format,
        FIELDS,
        st.just("tel"),
        conditions("address", ["is", "subdomain-of"], st.sampled_from(["1900", "+1", "A"])),
    ),
    st.builds("<address-switch field='{}'>{}</address-switch>".format, FIELDS, conditions("address", ["is"], URLS)),
    st.builds(
        "<string-switch field='{}'>{}</string-switch>".format,
        st.sampled_from(["subject", "organization", "user-agent", "display"]),
        conditions("string", ["is", "contains"], WORDS),
    ),
    st.builds(
        "<language-switch>{}</language-switch>".format,
        conditions("language", ["matches"], st.sampled_from(["en", "de-CH"])),
    ),
    st.builds(
        "<priority-switch>{}</priority-switch>".format,
        conditions("priority", ["less", "greater", "equal"], st.sampled_from(["urgent", "Normal"])),
    ),
)

SCRIPTS = st.builds(
    "<cpl><subaction id='s0'>{}</subaction><subaction id='s1'>{}</subaction>"
    "<incoming>{}</incoming><outgoing>{}</outgoing></cpl>".format,
    INSIDE.map(lambda text: text.replace("<sub ref='s0'/>", "").replace("<sub ref='s1'/>", "")),
    INSIDE.map(lambda text: text.replace("ref='s1'", "ref='s0'")),
    INSIDE,
    INSIDE,
)

TEXTS = st.none() | WORDS | st.text(max_size=20)
URIS = st.sampled_from(
    [
        "sip:boss@example.com",
        "sip:%41@[::1]:5060",
        "tel:+1-900-1",
        "sip:+1900@x;user=phone",
        "https://x/",
        "sip:a:b@192.0.2.1",
        "sip:example.com",
        "sip:%ff@b",
        "urn:x:y",
    ]
)
FACTS = st.builds(
    lambda direction, origin, uri, to, display, texts: facts(
        direction=direction,
        subject=texts[0],
        organization=texts[1],
        user_agent=texts[2],
        accept_language=texts[3],
        priority=texts[4],
    )._replace(
        origin=Address(display, parse_uri(origin)),
        destination=parse_uri(uri),
        original_destination=Address(display, parse_uri(to)),
    ),
    st.sampled_from(["incoming", "outgoing"]),
    URIS,
    URIS,
    URIS,
    TEXTS,
    st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS),
)
TARGETS = st.lists(URLS.map(target), max_size=30).map(tuple)
RESULTS = st.one_of(
    st.none(),
    st.builds(LookupResult, st.sampled_from(["success", "notfound", "failure"]), TARGETS),
    st.builds(ProxyResult, st.sampled_from(["busy", "noanswer", "redirection", "failure"]), TARGETS),
)


# Scripts nest, so that some draws run out of Hypothesis' buffer: those are not the ones meant to be many.
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(SCRIPTS, FACTS, st.lists(RESULTS, max_size=40))
def test_evaluation_never_raises_and_ends_and_gives_the_same_again(script, call, results):
    compiled = compiled_or_refused(script.encode())
    if isinstance(compiled, tuple):
        assert {finding.code for finding in compiled} <= {"CPL-DEPTH", "CPL-LOCATIONS", "CPL-SIZE", "CPL-NODES"}
        return
    trace: Trace = []
    effects, end = run(compiled, call, results)
    assert (effects, end) == run(compiled, call, results, trace)
    assert len(effects) <= 2000
    assert isinstance(end, Reject | Redirect | Default)
    assert trace
    for effect in effects:
        assert isinstance(effect, Lookup | ProxyTo | Log)
        if isinstance(effect, ProxyTo):
            assert effect.targets
            assert {t.uri.scheme for t in effect.targets} <= {"sip", "sips", "tel"}
    if isinstance(end, Redirect):
        assert end.targets


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_whatever_is_uploaded_compiles_or_is_refused(source):
    for text in (source, b"<cpl><incoming>" + source + b"</incoming></cpl>"):
        outcome = compiled_or_refused(text)
        findings = outcome if isinstance(outcome, tuple) else outcome.warnings
        assert all(finding.line >= 1 and finding.column >= 1 for finding in findings)


def test_it_is_a_generator_and_the_program_is_shared():
    compiled = program("<incoming><location url='sip:a@b'><proxy><busy/></proxy></location></incoming>")
    one, other = evaluate(compiled, facts()), evaluate(compiled, facts())
    assert isinstance(one, GeneratorType)
    assert next(one) == next(other)
    one.close()
    with pytest.raises(StopIteration) as end:
        other.send(ProxyResult("busy"))
    assert end.value.value == Default(None, True)


def test_locations_of_a_script_belong_to_its_owner_and_keep_what_a_lookup_found():
    compiled = program(
        "<incoming><location url='sip:a@b'><lookup source='registration'>"
        "<success><proxy/></success></lookup></location></incoming>"
    )
    found = target("sip:phone@host;q=0.5")._replace(path=("<sip:edge;lr>",), owner="bob@example.com")
    effects, _ = run(compiled, facts(), [LookupResult("success", (found,)), ProxyResult("failure")])
    proxy = effects[1]
    assert isinstance(proxy, ProxyTo)
    assert proxy.targets[1] == found
    assert proxy.targets[0].owner == "bob@example.com"


def test_a_redirection_adds_up_to_a_bound():
    compiled = program(
        "<incoming><location url='sip:a@b'><proxy recurse='no'>"
        "<redirection><redirect/></redirection></proxy></location></incoming>"
    )
    many = targets(" ".join(f"sip:u{n}@b" for n in range(1000)))
    _, end = run(compiled, facts(), [ProxyResult("redirection", many)])
    assert isinstance(end, Redirect)
    assert len(end.targets) == MAX_LOCATIONS


def test_the_trace_tells_each_node_what_it_saw_and_what_it_chose():
    compiled = compile(b"""<cpl>
<incoming>
 <address-switch field="origin" subfield="user">
  <address is="anonymous"><reject status="busy"/></address>
  <address is="alice">
   <lookup source="registration"><success><proxy timeout="9"><noanswer/></proxy></success></lookup>
  </address>
 </address-switch>
</incoming></cpl>""")
    trace: Trace = []
    run(compiled, facts(), [LookupResult("success", targets("sip:p@q;q=0.5")), ProxyResult("noanswer")], trace)
    at = "/cpl/incoming/address-switch[1]"
    lookup = f"{at}/address[2]/lookup[1]"
    proxy = f"{lookup}/success[1]/proxy[1]"
    assert [(entry.step, entry.saw, entry.chose) for entry in trace] == [
        (f"cpl {at} line 3", "origin user is “alice”", "address[2] is “alice” (not address[1] is “anonymous”)"),
        (f"cpl {lookup} line 6", "lookup registration: success", "success; {sip:p@q q=0.5}"),
        (f"cpl {proxy} line 6", "{sip:p@q q=0.5}", "proxy, parallel"),
        (f"cpl {proxy} line 6", "outcome noanswer", "noanswer leads nowhere: default behaviour; {}"),
        ("cpl", "end of the script", "default behaviour: best response so far"),
    ]
    assert [entry.place for entry in trace] == [f"{at} line 3", f"{lookup} line 6", *[f"{proxy} line 6"] * 2, ""]
    assert [entry.output for entry in trace] == [
        f"{at}/address[2]",
        f"{lookup}/success[1]",
        "",
        f"{proxy}/noanswer[1]",
        "",
    ]


def test_the_trace_says_how_long_the_server_took_where_it_looked_at_a_clock():
    compiled = program(
        "<incoming><location url='sip:a@b'><proxy><busy><reject status='busy'/></busy></proxy></location></incoming>"
    )
    trace: Trace = []
    run(compiled, facts(), [ProxyResult("busy", took=2.5)], trace)
    assert [(entry.took, entry.chose) for entry in trace[1:]] == [
        (None, "proxy, parallel"),
        (2.5, "busy; {}, after 2.5 s"),
        (None, "486"),
    ]


def test_a_trace_stays_small_whatever_the_script_is():
    subactions = "".join(
        f"<subaction id='s{n}'><lookup source='registration'>"
        f"<success><sub ref='s{n - 1}'/></success></lookup></subaction>"
        for n in range(1, 400)
    )
    compiled = program(
        f"<subaction id='s0'/>{subactions}<incoming>"
        f"<location url='sip:{'a' * 900}@b'><sub ref='s399'/></location></incoming>"
    )
    trace: Trace = []
    found = targets(" ".join(f"sip:{'b' * 1000}{n}@c" for n in range(20)))
    effects, end = run(compiled, facts(), [LookupResult("success", found)] * 500, trace)
    assert len(effects) == 399
    assert isinstance(end, Default)
    assert len(end.targets or ()) == 21
    assert sum(len(entry.step) + len(entry.saw) + len(entry.chose) for entry in trace) < 400_000


def test_what_a_trace_keeps_is_small_and_keeps_no_script_alive():
    compiled = program(
        "<incoming><string-switch field='subject'><string is='q'/><otherwise>"
        "<lookup source='registration'><success><proxy><busy/></proxy></success></lookup>"
        "</otherwise></string-switch></incoming>"
    )
    trace: Trace = []
    found = targets(" ".join(f"sip:b{n}@c" for n in range(1000)))
    run(compiled, facts(subject="s" * 50_000), [LookupResult("success", found), ProxyResult("busy")], trace)
    words = [(entry.step, entry.saw, entry.chose) for entry in trace]
    reached = reachable(trace)
    assert sum(isinstance(one, Target) for one in reached) <= 10
    assert not any(isinstance(one, str) and len(one) > 1000 for one in reached)
    assert not any(isinstance(one, Node | Program) for one in reached)
    assert words[0][1] == "subject is “" + "s" * 59 + "…”"
    assert words[1][2].endswith("sip:b4@c, 995 more}")


def reachable(first: object) -> list[object]:
    """Whatever that object keeps alive of values and nodes; not what is everybody's."""
    seen: dict[int, object] = {}
    waiting = [first]
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, type | ModuleType | FunctionType):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return list(seen.values())


def test_as_words_and_targets_are_each_other_s_inverse():
    assert as_words(targets("sip:a@b;q=0.5 tel:+1")) == "sip:a@b;q=0.5 tel:+1"


def test_five_nodes_cost_microseconds():
    compiled = program(
        "<incoming><address-switch field='origin' subfield='user'><address is='x'/><otherwise>"
        "<string-switch field='subject'><string is='q'/><otherwise>"
        "<address-switch field='origin' subfield='host'><address subdomain-of='example.com'>"
        "<location url='sip:v@x'><redirect/></location></address></address-switch></otherwise></string-switch>"
        "</otherwise></address-switch></incoming>"
    )
    call = facts(subject="Lunch")
    best = min(timeit.repeat(lambda: run(compiled, call), number=500, repeat=9)) / 500
    assert best < 50e-6  # 10 µs is the budget; this catches only what is wrong by much
