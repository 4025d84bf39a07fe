"""cpl-check tries calls on scripts: what it prints, as JSON, as a week, as a picture, and what it refuses to try."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from sipd.errors import SetupError
from sipd.tools.checking import times
from sipd.tools.cpl_check import COULD_NOT_RUN, REFUSED, SOUND, main
from tests.running import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

VOICEMAIL = """<cpl xmlns="urn:ietf:params:xml:ns:cpl">
  <subaction id="voicemail">
    <location url="sip:vm@192.0.2.9"><log name="missed" comment="one"><proxy/></log></location>
  </subaction>
  <incoming>
    <string-switch field="subject">
      <string contains="offer"><reject status="reject" reason="No offers"/></string>
      <otherwise>
        <lookup source="registration">
          <success>
            <proxy timeout="20" ordering="sequential">
              <busy><sub ref="voicemail"/></busy>
              <noanswer><sub ref="voicemail"/></noanswer>
            </proxy>
          </success>
        </lookup>
      </otherwise>
    </string-switch>
  </incoming>
</cpl>
"""
HOURS = """<cpl><incoming><time-switch>
  <time dtstart="20260105T090000" duration="PT8H" freq="weekly" byday="MO,TU,WE,TH,FR">
    <lookup source="registration"><success><proxy><noanswer/></proxy></success></lookup>
  </time>
  <otherwise><reject status="busy" reason="Closed"/></otherwise>
</time-switch></incoming></cpl>"""
OUT = '<cpl><outgoing><address-switch field="destination" subfield="host"><address subdomain-of="example.org">'
OUT += '<reject status="reject"/></address></address-switch></outgoing></cpl>'
BROKEN = "<cpl><incoming><proxi/></incoming></cpl>"
LINE = "one (incoming, from sip:alice@example.net)"
AT = ["--at", "2026-11-24T10:00", "--tz", "Europe/Paris"]


@pytest.fixture(autouse=True)
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in {"vm": VOICEMAIL, "hours": HOURS, "out": OUT, "broken": BROKEN}.items():
        (tmp_path / f"{name}.cpl").write_text(text)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = SOUND) -> str:
    """What it prints for that command line, which ends with that status."""
    assert main(words) == status
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Why it can't be tried, in one line."""
    assert main(words) == COULD_NOT_RUN
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), err[:11]) == ("", 1, "cpl-check: ")
    return err.removeprefix("cpl-check: ").rstrip()


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The simulation as JSON."""
    [each] = json.loads(said(capsys, *words, "--simulate", "--json"))
    simulation: dict[str, Any] = each["simulation"]
    return simulation


def test_the_path_is_told_with_values_seen_and_wanted_rounds_and_the_answer(capsys):
    out = said(capsys, "vm.cpl", "--simulate", *AT, "--header", "Subject: Lunch", "--outcome", "noanswer,answer@4.5")
    assert out.splitlines() == [
        "vm.cpl: sound",
        "",
        "  when        Tue 24 Nov 2026 10:00 Europe/Paris",
        "  from        sip:alice@example.net",
        "  to          sip:bob@example.com",
        "  header      Subject: Lunch",
        "  registered  sip:bob@192.0.2.10  (made up: see --registered)",
        "  phones do   rings and nobody answers, then answers after 4.5 s",
        "",
        "    0 s           server           the script of bob@example.com for calls to him is run",
        "    0 s  line 6   string-switch    subject is “lunch”",
        "                                   → otherwise (not string[1] contains “offer”)",
        "    0 s  line 9   lookup           registration: success",
        "                                   → success; locations {sip:bob@192.0.2.10}",
        "    0 s  line 11  proxy            locations {sip:bob@192.0.2.10}",
        "                                   → proxy, sequential, for 20 s at most",
        "                                     sip:bob@192.0.2.10  0 s to 20 s: cancelled",
        "   20 s  line 11  proxy            outcome noanswer",
        "                                   → noanswer; locations {}, after 20 s",
        "   20 s  line 3   location         sip:vm@192.0.2.9",
        "                                   → locations {sip:vm@192.0.2.9}",
        "   20 s  line 3   log              “missed”",
        "                                   → “one”",
        "   20 s  line 3   proxy            locations {sip:vm@192.0.2.9}",
        "                                   → proxy, parallel",
        "                                     sip:vm@192.0.2.9  20 s to 24.5 s: answers",
        "",
        "After 24.5 s sip:vm@192.0.2.9 answers.",
    ]


@pytest.mark.parametrize(
    ("words", "last"),
    [
        (["vm.cpl", "--header", "subject: An Offer"], "At once the caller is refused: 603 No offers."),
        (["vm.cpl", "--registered", "none"], "At once the caller is refused: 480 Temporarily Unavailable."),
        (["vm.cpl", "--outcome", "silent"], "After 52 s the caller is refused: 408 Request Timeout."),
        (["out.cpl", "--outgoing", "--to", "sip:x@www.example.org"], "At once the caller is refused: 603 Decline."),
        (
            ["out.cpl", "--outgoing", "--to", "x@b.net", "--outcome", "answer"],
            "At once sip:x@b.net answers.",
        ),
    ],
)
def test_how_it_ends(capsys, words, last):
    assert said(capsys, *words, "--simulate").splitlines()[-1] == last


def test_phones_with_names_q_and_outcomes_of_their_own(capsys):
    phones = ["--registered", "sip:desk@192.0.2.1;q=0.9", "--registered", "<sip:cell@192.0.2.2;ob>;q=0.5"]
    outcomes = ["--outcome", "sip:desk@192.0.2.1=busy@2", "--outcome", "sip:cell@192.0.2.2;ob=redirect:sip:a@192.0.2.3"]
    simulation = told(capsys, "vm.cpl", *phones, *outcomes, "--outcome", "answer@1")
    assert simulation["registered"] == [
        {"uri": "sip:desk@192.0.2.1", "q": 0.9},
        {"uri": "sip:cell@192.0.2.2;ob", "q": 0.5},
    ]
    rung = [(each["uri"], each["at"], each["status"]) for each in simulation["rounds"][0]["rung"]]
    assert rung == [("sip:desk@192.0.2.1", 0, 486), ("sip:cell@192.0.2.2;ob", 2, 302), ("sip:a@192.0.2.3", 2, 200)]


def test_json_has_the_path_the_rounds_and_what_was_written(capsys):
    simulation = told(capsys, "vm.cpl", *AT, "--outcome", "busy,answer")
    assert simulation["at"] == "2026-11-24T10:00:00+01:00"
    assert (simulation["status"], simulation["answered_by"]) == (200, "sip:vm@192.0.2.9")
    assert [(step["node"], step["line"]) for step in simulation["path"]][1:4] == [
        ("string-switch", 6), ("lookup", 9), ("proxy", 11)
    ]  # fmt: skip
    assert [each["outcome"] for each in simulation["rounds"]] == ["busy", ""]
    assert simulation["written"] == [
        {
            "seconds": 0,
            "owner": "bob@example.com",
            "log": "missed",
            "line": LINE,
        }
    ]


def test_a_target_that_is_never_called_is_told(capsys):
    out = said(capsys, "vm.cpl", "--simulate", "--outcome", "sip:typo@192.0.2.9=busy")
    assert out.splitlines()[-1] == "note: sip:typo@192.0.2.9 of --outcome was never called"


def test_a_week_shows_what_happens_when(capsys):
    out = said(capsys, "hours.cpl", "--week", "--at", "2026-11-23", "--tz", "Europe/Paris", "--outcome", "answer@3")
    assert out.splitlines()[-7:] == [
        "             Mon 23  Tue 24  Wed 25  Thu 26  Fri 27  Sat 28  Sun 29",
        "00:00–09:00    A       A       A       A       A       A       A",
        "09:00–17:00    B       B       B       B       B       A       A",
        "17:00–24:00    A       A       A       A       A       A       A",
        "",
        "A  486 Closed",
        "B  rings bob@192.0.2.10 for 3 s, bob@192.0.2.10 answers",
    ]
    [each] = json.loads(said(capsys, "hours.cpl", "--week", "--at", "2026-11-23", "--tz", "Asia/Tokyo", "--json"))
    assert [(row["begins"], row["cells"][0]) for row in each["week"]["rows"]] == [
        ("00:00", "A"), ("09:00", "B"), ("17:00", "A")
    ]  # fmt: skip


def test_a_week_says_whose_hours_it_shows(capsys, scripts):
    week = ["--week", "--at", "2026-11-23", "--tz", "Europe/Paris"]

    def hours(*words: str) -> list[str]:
        return [line.strip() for line in said(capsys, *words, *week).splitlines() if "hours in" in line]

    (scripts / "abroad.cpl").write_text(
        (scripts / "hours.cpl").read_text().replace("<time-switch", '<time-switch tzid="Asia/Tokyo"')
    )
    assert hours("hours.cpl") == ["hours in    Europe/Paris"]
    assert hours("abroad.cpl") == ["hours in    Europe/Paris; the script's times are of Asia/Tokyo"]
    assert hours("hours.cpl", "--time-zone", "Asia/Tokyo") == [
        "hours in    Europe/Paris; the script's times are of Asia/Tokyo"
    ]
    assert json.loads(said(capsys, "hours.cpl", "--json", *week))[0]["week"]["zone"] == "Europe/Paris"


def test_times_without_a_zone_are_in_that_of_the_server(capsys):
    words = ["hours.cpl", "--at", "2026-11-24T16:30", "--tz", "Europe/Paris", "--outcome", "busy"]
    assert told(capsys, *words)["reason"] == "Busy Here"
    assert told(capsys, *words, "--time-zone", "Asia/Tokyo")["reason"] == "Closed"


def test_the_picture_has_the_way_of_the_call_lit(capsys, scripts):
    said(capsys, "vm.cpl", "--graph", "plain.svg")
    said(capsys, "vm.cpl", "--graph", "lit.svg", "--simulate", "--outcome", "busy,answer")
    plain, lit = (scripts / name for name in ("plain.svg", "lit.svg"))
    assert plain.read_text().startswith("<svg")
    assert plain.read_text() != lit.read_text()
    assert main(["broken.cpl", "--graph", "none.svg"]) == REFUSED
    assert not (scripts / "none.svg").exists()


def test_a_draft_is_converted_and_what_is_lost_is_named(capsys, scripts):
    (scripts / "old.cpl").write_text(
        '<cpl><incoming><lookup source="registration" ignore="x"><success><proxy/></success></lookup></incoming></cpl>'
    )
    assert main(["old.cpl", "--convert", "-o", "new.cpl"]) == REFUSED
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("old.cpl:1:")
    assert "lost" in err
    assert said(capsys, "new.cpl") == "new.cpl: sound\n"
    assert main(["new.cpl", "--convert", "-o", "same.cpl"]) == SOUND
    assert (scripts / "same.cpl").read_bytes() == (scripts / "new.cpl").read_bytes()
    assert main(["broken.cpl", "--convert"]) == REFUSED
    assert "CPL-TAG" in capsys.readouterr().out
    assert main(["absent.cpl", "--convert"]) == COULD_NOT_RUN


def test_converted_to_standard_output(scripts):
    words = [sys.executable, "-m", "sipd.tools.cpl_check", "vm.cpl", "--convert"]
    done = subprocess.run(words, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    assert done.stdout.startswith(b"<?xml")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "no script is named. Give a FILE, - for standard input, or --from-db"),
        (["vm.cpl", "--outcome", "busy"], "--outcome says something of a call. It needs --simulate or --week"),
        (["vm.cpl", "--from", "a@b"], "--from says something of a call. It needs --simulate or --week"),
        (["vm.cpl", "--simulate", "--outcome", "bussy"], "--outcome: 'bussy' is no outcome: there are answer, busy,"),
        (["vm.cpl", "--simulate", "--at", "tomorrow"], "--at 'tomorrow' is no time. Write it as 2026-12-24T18:00"),
        (["vm.cpl", "--simulate", "--at", "01/02/2026"], "--at '01/02/2026' is no time. Write it as 2026-12-24T18:00"),
        (["vm.cpl", "--simulate", "--at", "24 Dec 18:00 XYZ"], "--at '24 Dec 18:00 XYZ' is no time. Write it as"),
        (["vm.cpl", "--simulate", "--at", "Dec " * 50], "--at 'Dec Dec"),
        (["vm.cpl", "--simulate", "--at", "9" * 20 + " Dec"], "--at '99999999999999999999 Dec' is no time"),
        (["vm.cpl", "--week", "--at", "9999-12-31T23:59"], "--at '9999-12-31T23:59' is too far away. Write it as 2026"),
        (
            ["vm.cpl", "--week", "--at", "0001-01-01T00:00", "--tz", "Asia/Tokyo"],
            "--at '0001-01-01T00:00' is too far away",
        ),
        (["vm.cpl", "--simulate", "--at", "9999-12-31T23:59-05:00"], "--at '9999-12-31T23:59-05:00' is too far away"),
        (["vm.cpl", "--simulate", "--tz", "Europe/Pariss"], "there is no time zone 'Europe/Pariss'. did you mean"),
        (
            ["vm.cpl", "--simulate", "--at", "2026-03-29T02:30", "--tz", "Europe/Paris"],
            "--at 2026-03-29T02:30: clocks are put forward then, in Europe/Paris there is no such time",
        ),
        (["vm.cpl", "--simulate", "--header", "Subject"], "--header 'Subject' is no header field"),
        (
            ["vm.cpl", "--simulate", "--header", "Subject: a\r\nVia: b"],
            "--header 'Subject: a\\r\\nVia: b' is no header",
        ),
        (["vm.cpl", "--simulate", "--header", "From: x"], "--header: From is made of the other options"),
        (["vm.cpl", "--simulate", "--from", "nonsense"], "--from 'nonsense' is no address"),
        (["vm.cpl", "--simulate", "--to", "sip:", "--user", "a@b"], "--to 'sip:' is no URI"),
        (["vm.cpl", "--simulate", "--user", "bob"], "'bob' names no user. Write --user alice@example.com"),
        (["vm.cpl", "--simulate", "--registered", "sip:a@b;q=3"], "--registered 'sip:a@b;q=3' is no contact"),
        (["vm.cpl", "--simulate", "--lookup", "x"], "--lookup 'x' says nothing"),
        (["vm.cpl", "out.cpl", "--graph", "x.svg"], "--graph takes one script"),
        (["vm.cpl", "out.cpl", "--convert"], "--convert takes one script"),
        (["vm.cpl", "-o", "x"], "-o is where --convert writes"),
        (["vm.cpl", "--max-bytes", "0"], "--max-bytes is a number from 1 on"),
        (["vm.cpl", "--operations", "dance"], "no CPL operations: dance"),
        (["vm.cpl", "--hosts", "http://x"], "not host or host:port: 'http://x'"),
        (["vm.cpl", "--from-db", "sqlite:x.db"], "a FILE with --from-db is tried as the script of a user"),
        (["--from-db", "sqlite:absent.db"], "there is no database"),
        (["--from-db", "sql://user:secret@host/db"], "sql://user:***@host/db"),
        (["vm.cpl", "--convert", "-o", "absent/x"], "can't write absent/x: No such file or directory"),
    ],
)
def test_what_can_not_be_tried_is_told_in_a_line(capsys, words, why):
    assert refused(capsys, *words).startswith(why)


def test_a_broken_script_is_not_tried(capsys):
    out = said(capsys, "broken.cpl", "--simulate", "--week", status=REFUSED)
    assert out.splitlines()[-1].startswith("broken.cpl: refused")


def test_what_is_hostile_steers_no_terminal(capsys, scripts):
    (scripts / "a\x1b[31m.cpl").write_text(VOICEMAIL)
    out = said(capsys, "a\x1b[31m.cpl", "--simulate", "--registered", "sip:a@192.0.2.1", "--outcome", "302")
    assert out.isascii() or "\x1b" not in out
    assert out.startswith("a\\x1b[31m.cpl: sound")
    assert main(["a\0b"]) == COULD_NOT_RUN
    assert "null" in capsys.readouterr().err


def test_colours_are_for_terminals_alone(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for environ, coloured in (({"NO_COLOR": "", "TERM": "xterm"}, True), ({"NO_COLOR": "1", "TERM": "xterm"}, False)):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        main(["vm.cpl", "--simulate"])
        assert ("\x1b[" in terminal.getvalue()) is coloured


def test_a_reader_who_has_gone_is_no_error(scripts):
    words = f"{sys.executable} -m sipd.tools.cpl_check vm.cpl --week --json | true"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, env=environment, check=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("24 Dec 2026 18:00", (2026, 12, 24, 18, 0)),
        ("December 24, 6pm", (2026, 12, 24, 18, 0)),
        ("Fri 6:30pm", (2026, 11, 27, 18, 30)),
        ("9am", (2026, 11, 25, 9, 0)),
        ("24 dec", (2026, 12, 24, 0, 0)),
    ],
)
def test_moments_in_words(text, meant):
    paris = ZoneInfo("Europe/Paris")
    now = datetime(2026, 11, 25, 12, 34, 56, tzinfo=paris)  # a Wednesday
    assert times.moment(text, paris, now) == datetime(*meant).replace(tzinfo=paris)


def test_moments_as_they_are_written():
    paris, now = ZoneInfo("Europe/Paris"), datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
    assert times.moment("18:05", paris, now) == datetime(2026, 11, 25, 18, 5, tzinfo=paris)
    assert times.moment("2026-12-24", paris, now) == datetime(2026, 12, 24, tzinfo=paris)
    assert times.moment("2026-12-24T18:00Z", paris, now).isoformat() == "2026-12-24T19:00:00+01:00"
    assert times.shown(times.moment("2026-12-24 18:00:30", paris, now)) == "Thu 24 Dec 2026 18:00:30 Europe/Paris"
    assert times.moment("2026-10-25T02:30", paris, now).isoformat() == "2026-10-25T02:30:00+02:00"  # the first of two
    with pytest.raises(SetupError, match="no time"):
        times.moment("25:00", paris, now)
