"""Pictures of scripts: nothing overlaps, everything can be read, the way of a call is lit."""

from __future__ import annotations

import re
import time
from random import Random
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipd.cpl import CplError, compile
from sipd.cpl.layout import Box, Edge, place, width_of, wrapped
from sipd.cpl.picture import draw, way_of
from sipd.cpl.spoken_time import when
from sipd.script import LookupResult, ProxyResult
from tests.cpl.calls import facts, run, target
from tests.cpl.scripts import script
from tests.running import REPOSITORY

if TYPE_CHECKING:
    from sipd.trace import Trace

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = sorted((REPOSITORY / "tests/cpl/rfc3880").glob("fig*.cpl"))


class Rect(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Rect) -> bool:
        """Whether they have more than their edges in common."""
        return (
            min(self.right, other.right) - max(self.left, other.left) > 0.5
            and min(self.bottom, other.bottom) - max(self.top, other.top) > 0.5
        )


class Group(NamedTuple):
    rect: Rect
    texts: list[ElementTree.Element]
    node: ElementTree.Element


def rect_of(element: ElementTree.Element) -> Rect:
    x, y, width, height = (float(element.get(name, "0")) for name in ("x", "y", "width", "height"))
    return Rect(x, y, x + width, y + height)


def groups(svg: str) -> list[Group]:
    """Boxes and words on edges: a frame each, and the text in it."""
    found = []
    for node in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        rect = node.find(f"{SVG}rect")
        assert rect is not None
        found.append(Group(rect_of(rect), node.findall(f"{SVG}text"), node))
    return found


def lines(svg: str) -> list[Rect]:
    """The straight parts of all edges."""
    found = []
    for path in ElementTree.fromstring(svg).iter(f"{SVG}path"):
        x = y = 0.0
        if "l8" in path.get("d", "") or "h24" in path.get("d", ""):
            continue  # the head of an arrow; a line of the legend
        for letter, first, second in re.findall(r"([MHV])([-\d.]+)(?: ([-\d.]+))?", path.get("d", "")):
            before = (x, y)
            x = float(first) if letter in "MH" else x
            y = float(second) if letter == "M" else float(first) if letter == "V" else y
            if letter != "M":
                found.append(Rect(min(before[0], x), min(before[1], y), max(before[0], x), max(before[1], y)))
    return found


def faults(svg: str) -> list[str]:
    """What is wrong with the places of things."""
    root = ElementTree.fromstring(svg)
    whole = Rect(0, 0, float(root.get("width", "0")), float(root.get("height", "0")))
    parts = groups(svg)
    wrong = []
    for number, one in enumerate(parts):
        title = one.node.findtext(f"{SVG}title")
        wrong += [f"{title} lies over another" for other in parts[number + 1 :] if one.rect.meets(other.rect)]
        if one.rect.left < 0 or one.rect.top < 0 or one.rect.right > whole.right or one.rect.bottom > whole.bottom:
            wrong.append(f"{title} is not inside the picture")
        for text in one.texts:
            size = float(text.get("font-size", "13"))
            width = width_of(text.text or "", size, text.get("font-weight") == "bold")
            x, y = float(text.get("x", "0")), float(text.get("y", "0"))
            left = x - width / 2 if text.get("text-anchor") == "middle" else x
            if not one.rect.left < left < left + width < one.rect.right:
                wrong.append(f"{text.text} is wider than its box")
            if not one.rect.top < y - size * 0.8 < y + size * 0.25 < one.rect.bottom:
                wrong.append(f"{text.text} is above or below its box")
    for line in lines(svg):
        flat = line.top == line.bottom
        thick = (
            line._replace(top=line.top - 0.4, bottom=line.bottom + 0.4)
            if flat
            else (line._replace(left=line.left - 0.4, right=line.right + 0.4))
        )
        wrong += [f"a line {line} runs through {part.rect}" for part in parts if part.rect.meets(thick)]
    for element in root:
        if (
            element.tag == f"{SVG}text"
            and float(element.get("x", "0")) + width_of(element.text or "", 11) > whole.right
        ):
            wrong.append("the legend is wider than the picture")
    return wrong


@given(st.integers(0, 2**32), st.integers(1, 60))
@settings(max_examples=150, deadline=None)
def test_nothing_overlaps_and_every_text_fits(seed, size):
    source = script(Random(seed), size).encode()
    assert faults(draw(source)) == []


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figures_of_the_rfc_are_drawn_unless_they_are_refused(path):
    source = path.read_bytes()
    if path.stem in ("fig28", "fig29"):
        with pytest.raises(CplError):
            draw(source)
    else:
        assert faults(draw(source)) == []


def test_the_test_sees_overlaps():
    svg = draw(b"<cpl><incoming><proxy><busy/><failure/></proxy></incoming></cpl>")
    assert faults(svg) == []
    tops = sorted({group.rect.top for group in groups(svg)})
    moved = svg.replace(f'y="{tops[-1]:.1f}"', f'y="{tops[0]:.1f}"')
    assert any("lies over" in fault for fault in faults(moved))
    assert any("wider" in fault for fault in faults(svg.replace(">ring<", f">{'ring' * 20}<")))


WORDS = [
    ('<address-switch field="origin" subfield="host"><address subdomain-of="example.com"/></address-switch>',
     ["caller’s host?", "in example.com", "otherwise", "as without a script"]),
    ('<address-switch field="destination" subfield="tel"><address subdomain-of="1900"/></address-switch>',
     ["callee’s number?", "begins with 1900"]),
    ('<string-switch field="subject"><string contains="sale"/><not-present/></string-switch>',
     ["subject?", "contains “sale”", "is missing"]),
    ('<priority-switch><priority greater="normal"/></priority-switch>', ["how urgent?", "more than normal"]),
    ('<location url="sip:a@b" clear="yes" priority="0.3"/>',
     ["only", "sip:a@b", "priority 0.3", "on to the locations"]),
    ('<lookup source="registration"><success><proxy/></success></lookup>',
     ["look up phones", "found", "none found, fails", "ring", "as without a script"]),
    ('<lookup source="registration"><failure/></lookup>', ["found, none found", "default behaviour"]),
    ('<proxy ordering="sequential" timeout="7" recurse="no"><busy/></proxy>',
     ["one after another", "for 7 s", "follow no redirection", "busy", "no answer, redirected, fails"]),
    ('<reject status="busy" reason="not &lt;now&gt;"/>', ["refuse: busy (486)", "“not <now>”"]),
    ('<log name="a" comment="b"/>', ["write to the log a", "“b”"]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words"), WORDS, ids=[words[0] for _, words in WORDS])
def test_words_are_plain(body, words):
    svg = draw(f"<cpl><incoming>{body}</incoming></cpl>".encode())
    shown = [" ".join(text.text or "" for text in group.texts[:]) for group in groups(svg)]
    assert [word for word in words if not any(word in text for text in shown)] == []


TIMES = [
    ({"dtstart": "20260105T090000", "duration": "PT8H", "freq": "weekly", "byday": "MO,TU,WE,TH,FR"},
     "Mon–Fri 9:00–17:00"),
    ({"dtstart": "20260105T090000", "dtend": "20260105T120000", "freq": "daily"}, "every day 9:00–12:00"),
    ({"dtstart": "20261224T000000", "dtend": "20261227T000000"}, "24 Dec 2026 0:00 – 27 Dec 2026 0:00"),
    ({"dtstart": "20260312T220000Z", "duration": "PT2H", "freq": "WEEKLY", "interval": "2"},
     "every 2 weeks on Thu 22:00–24:00 UTC"),
    ({"dtstart": "20260101T000000", "duration": "P1D", "freq": "yearly"}, "every year on 1 Jan"),
    ({"dtstart": "20260101T000000", "duration": "P1D", "freq": "monthly", "byday": "1MO,-1FR"},
     "every month on first Mon, last Fri"),
    ({"dtstart": "20260101T080000", "duration": "PT30M", "freq": "yearly", "bymonth": "6,7,8", "bymonthday": "1, 15",
      "until": "20270503T000000"}, "every year on day 1, 15 in Jun–Aug 8:00–8:30, until 3 May 2027"),
    ({"dtstart": "20260101T080000", "duration": "P1DT2H", "freq": "weekly", "byday": "MO,WE", "count": "4"},
     "Mon, Wed from 8:00 for 1 day 2 hours, 4 times"),
    ({"dtstart": "soon", "duration": "PT1H"}, "soon to PT1H"),
    ({"dtstart": "99991231T230000", "duration": "P999999W"}, "31 Dec 9999 23:00–23:59:59"),
    ({"dtstart": "20260101T080000", "duration": "PT1H", "freq": "hourly", "byday": "XX", "bysetpos": "-1"},
     "every hour on XX of these number -1 8:00–9:00"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "words"), TIMES, ids=[words for _, words in TIMES])
def test_times_in_words(attributes, words):
    assert when(attributes) == words


LIT = b"""<cpl>
 <subaction id="vm"><location url="sip:bob@vm.example.com"><proxy/></location></subaction>
 <incoming>
  <address-switch field="origin" subfield="user">
   <address is="boss"><reject status="busy"/></address>
   <address is="alice">
    <lookup source="registration">
     <success><proxy><busy><sub ref="vm"/></busy><noanswer><sub ref="vm"/></noanswer></proxy></success>
    </lookup>
   </address>
  </address-switch>
 </incoming>
</cpl>"""


def lit(svg: str) -> list[str]:
    """The texts of what is not pale."""
    shown = [group for group in groups(svg) if group.node.get("opacity") is None]
    return [(group.texts[0].text or "") for group in shown]


def walked(source: bytes, user: str, *answers) -> str:
    trace: Trace = []
    run(compile(source), facts(from_=f"sip:{user}@example.com"), answers, trace)
    return draw(source, way_of(trace))


FOUND = LookupResult("success", (target("sip:bob@192.0.2.7"),))


def test_the_way_of_a_call_is_lit_through_a_subaction():
    svg = walked(LIT, "alice", FOUND, ProxyResult("busy"))
    assert faults(svg) == []
    assert set(lit(svg)) == {
        "incoming, line 3", "1. address-switch, line 4", "is alice", "2. lookup, line 7", "found", "3. proxy, line 8",
        "busy", "sub, line 8", "subaction, line 2", "4. location, line 2", "5. proxy, line 2",
    }  # fmt: skip
    thick = [path for path in re.findall(r"<path [^>]*>", svg) if 'stroke-width="3.5"' in path]
    assert len(thick) == 6 + 1  # edges, and the line of the legend
    assert "The way of one call: 1. caller’s user name?; 2. look up phones" in svg


def test_what_the_script_says_nothing_about_is_lit_as_the_default():
    assert lit(walked(LIT, "carol"))[-2:] == ["1. address-switch, line 4", "as without a script"]
    assert "otherwise" in lit(walked(LIT, "carol"))
    svg = walked(LIT, "alice", FOUND, ProxyResult("failure"))
    assert {"fails", "ends with the best answer"} <= set(lit(svg))
    assert "ends with the best answer" not in lit(walked(LIT, "alice", FOUND)[:0] or draw(LIT, way_until_rung()))
    assert "none found, fails" in lit(walked(LIT, "alice", LookupResult("notfound")))


def way_until_rung() -> list[str]:
    """The trace of a call whose phone was answered: nothing came after the proxy."""
    where = "/cpl/incoming/address-switch[1]"
    lookup = f"{where}/address[2]/lookup[1]"
    return [f"{where} line 4", f"{lookup} line 7", f"{lookup}/success[1]/proxy[1] line 8"]


def test_the_output_is_found_from_the_node_after_it():
    way = [*way_until_rung(), "cpl /cpl/subaction[1]/location[1] line 2"]
    svg = draw(LIT, way)
    assert "found" in lit(svg)
    assert "is alice" in lit(svg)
    assert "sub, line 8" not in lit(svg)  # it may be either of the two


def test_places_of_another_script_light_nothing():
    assert draw(LIT, ["/cpl/outgoing/proxy[1] line 9", "nonsense", ""]) == draw(LIT)


def test_hostile_words_stay_words():
    source = """<cpl><incoming><string-switch field="subject">
      <string is="&lt;/text>&lt;script>alert(1)&lt;/script>">
        <reject status="busy" reason="]]&gt;&amp;#x26;&#x202e;"/>
      </string>
    </string-switch></incoming></cpl>"""
    svg = draw(source.encode())
    root = ElementTree.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg", "title", "desc", "rect", "g", "text", "path",
    }  # fmt: skip
    assert "\u202e" not in svg
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|href|url\(|@import|on\w+=", svg)


def test_it_can_be_heard():
    root = ElementTree.fromstring(draw(LIT))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "CPL script: incoming calls, subaction “vm”"
    assert "from left to right" in (root.findtext(f"{SVG}desc") or "")
    assert root[2].get("fill") == "#ffffff"  # its own ground, whatever it lies on


LARGEST = [
    '<string-switch field="subject">' + "".join(f'<string is="{n}"/>' for n in range(1990)) + "</string-switch>",
    '<string-switch field="subject">'
    + "".join(f'<string is="{n}&lt;漢字&lt;"/>' for n in range(1400))
    + "</string-switch>",
    '<language-switch><language matches="de">' * 30 + "</language></language-switch>" * 30,
    f'<reject status="busy" reason="{"&amp;" * 200}"/>',
]


@pytest.mark.parametrize("body", LARGEST, ids=["wide", "wordy", "deep", "long"])
def test_the_largest_scripts_are_drawn_soon_and_small(body):
    source = f"<cpl><incoming>{body}</incoming></cpl>".encode()
    compile(source)
    begun = time.process_time()
    svg = draw(source)
    assert time.process_time() - begun < 5
    assert len(svg.encode()) < 2_000_000


def test_errors_are_those_of_the_compiler_but_for_what_others_permit():
    with pytest.raises(CplError) as raised:
        draw(b"<cpl><incoming><prox/></incoming></cpl>")
    assert raised.value.findings[0].code == "CPL-TAG"
    assert "look up" in draw(b'<cpl><incoming><lookup source="http://example.com/"/></incoming></cpl>')
    assert "<title>CPL script: nothing</title>" in draw(b"<cpl/>")


def test_long_texts_are_wrapped_and_then_cut():
    assert wrapped("", 100) == [""]
    assert wrapped("one two three", 60) == ["one two", "three"]
    assert wrapped("sip:somebody@example.com", 130) == ["sip:somebody@", "example.com"]
    cut = wrapped("word " * 50, 100)
    assert len(cut) == 3
    assert cut[-1].endswith("…")
    assert all(width_of(line) <= 100 for line in wrapped("漢" * 99, 100))
    assert width_of("e\u0301") == width_of("é")


def test_a_shallow_branch_moves_up_beside_a_deep_one():
    def box(*after: Box) -> Box:
        return Box("other", "", ["x"], [], "", "", [Edge([], "", "", each) for each in after])

    leaf = box()
    root = box(box(box(), box(), box()), leaf)
    place(root, 0, 0)
    deep = root.edges[0].box
    assert deep.y == root.y
    assert deep.edges[1].box.y == leaf.y
    assert leaf.y < deep.edges[2].box.y
