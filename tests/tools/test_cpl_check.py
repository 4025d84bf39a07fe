"""cpl-check: exit status, formats, and what a user reads."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from sipd import __version__
from sipd.tools.cpl_check import COULD_NOT_RUN, REFUSED, SOUND, main

GOOD = '<cpl><incoming><location url="sip:a@b"><proxy/></location></incoming></cpl>\n'
WARNED = "<cpl>\n  <incoming>\n    <proxy/>\n  </incoming>\n</cpl>\n"
BAD = '<cpl>\n  <incoming>\n    <reject  status="200"/>\n  </incoming>\n</cpl>\n'


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {"good.cpl": GOOD, "warned.cpl": WARNED, "bad.cpl": BAD}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("files", "status"),
    [
        (["good.cpl"], SOUND),
        (["warned.cpl"], SOUND),
        (["bad.cpl"], REFUSED),
        (["good.cpl", "bad.cpl"], REFUSED),
        (["absent.cpl"], COULD_NOT_RUN),
        (["bad.cpl", "absent.cpl"], COULD_NOT_RUN),
        (["."], COULD_NOT_RUN),
    ],
)
@pytest.mark.parametrize("how", [[], ["--json"], ["--format=gcc"], ["--quiet"]])
def test_exit_status(scripts, capsys, files, status, how):
    assert main([*how, *files]) == status


@pytest.mark.parametrize("argv", [["--format=html", "x"], ["--no-such-option", "x"]])
def test_a_wrong_command_line_could_not_run(capsys, argv):
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == COULD_NOT_RUN


def test_human_output_shows_the_line_with_a_caret_the_rule_and_a_hint(scripts, capsys):
    main(["bad.cpl"])
    assert capsys.readouterr().out.splitlines() == [
        "bad.cpl:3:14: error: status=“200”: it is busy, notfound, reject, error, or a number from 400 to 699",
        '    3 |     <reject  status="200"/>',
        "      |              ^",
        "        hint: a call is refused with 4xx, 5xx or 6xx only",
        "        CPL-VALUE, RFC 3880 §6.3.1 at /cpl/incoming/reject[1]",
        "bad.cpl: refused (1 error)",
    ]


def test_several_files_get_a_summary(scripts, capsys):
    main(["good.cpl", "warned.cpl", "bad.cpl", "absent.cpl"])
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "4 files: 2 sound, 1 refused, 1 unreadable"
    assert err == "absent.cpl: No such file or directory\n"


def test_gcc_format_is_one_line_a_finding(scripts, capsys):
    main(["--format=gcc", "warned.cpl", "bad.cpl"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("warned.cpl:3:5: warning: no location is set")
    assert lines[1].startswith("bad.cpl:3:14: error: status=")
    assert [line.rpartition(" ")[2] for line in lines] == ["[CPL-EMPTY-SET]", "[CPL-VALUE]"]


def test_json_has_an_object_for_each_file(scripts, capsys):
    main(["--json", "good.cpl", "bad.cpl", "absent.cpl"])
    good, bad, absent = json.loads(capsys.readouterr().out)
    assert (good["verdict"], bad["verdict"], absent["verdict"]) == ("sound", "refused", "unreadable")
    (error,) = bad["errors"]
    assert (error["line"], error["column"], error["code"]) == (3, 14, "CPL-VALUE")
    assert error["path"] == "/cpl/incoming/reject[1]"
    assert absent["trouble"]


def test_standard_input_is_read(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BAD.encode())))
    assert main(["-"]) == REFUSED
    assert capsys.readouterr().out.startswith("<stdin>:3:14: error")


def test_quiet_says_nothing_of_sound_scripts(scripts, capsys):
    assert main(["-q", "good.cpl", "good.cpl"]) == SOUND
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_on_a_terminal_only(scripts, monkeypatch, environment, coloured):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    main(["bad.cpl"])
    assert ("\x1b[" in terminal.getvalue()) == coloured


def test_no_colours_elsewhere(scripts, capsys):
    main(["bad.cpl"])
    assert "\x1b[" not in capsys.readouterr().out


def test_a_script_can_not_write_to_the_terminal(scripts, capsys):
    (scripts / "evil.cpl").write_bytes("<cpl><x\u009b31m/><!-- \x7f\u202e --></cpl>".encode())
    main(["evil.cpl"])
    assert all(c.isprintable() or c == "\n" for c in capsys.readouterr().out)


def test_long_lines_are_cut_around_the_place(scripts, capsys):
    (scripts / "long.cpl").write_text(f"<cpl><!-- {'x' * 5000} --><evil/></cpl>")
    main(["long.cpl"])
    source, caret = capsys.readouterr().out.splitlines()[1:3]
    assert len(source) < 120
    assert source[caret.index("^") :].startswith("<evil/>")


def test_a_script_too_large_is_not_read_to_its_end(scripts, capsys):
    assert main(["--max-bytes=20", "good.cpl"]) == REFUSED
    assert "larger than 20 bytes" in capsys.readouterr().out


def test_operations_of_the_server_can_be_given(scripts, capsys):
    assert main(["--operations=location", "good.cpl"]) == REFUSED
    assert main(["--operations=location proxy", "good.cpl"]) == SOUND
    assert main(["--operations=everything", "good.cpl"]) == COULD_NOT_RUN


def test_it_runs_as_a_program_and_tells_its_version(scripts):
    command = [sys.executable, "-m", "sipd.tools.cpl_check"]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    told = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout == f"cpl-check {__version__}\n"
    # No server comes along: neither its network nor its database.
    watched = "import sys, sipd.tools.cpl_check as c; sys.exit('trio' in sys.modules or 'lxml' in sys.modules)"
    subprocess.run([sys.executable, "-c", watched], check=True, env=environment)


def test_a_terminal_without_utf_8_still_gets_the_findings(scripts):
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-m", "sipd.tools.cpl_check", "bad.cpl"]
    told = subprocess.run(command, capture_output=True, check=False, env=environment, cwd=scripts)
    assert told.returncode == REFUSED
    assert b"bad.cpl:3:14: error" in told.stdout
