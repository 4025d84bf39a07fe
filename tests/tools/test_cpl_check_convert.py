"""cpl-check --convert: what is written, what is said beside it, and the exit status."""

from __future__ import annotations

import pytest

from sipd.tools.cpl_check import COULD_NOT_RUN, REFUSED, SOUND, main

POLICY = """<cpl xmlns="urn:ietf:params:xml:ns:cpl" xmlns:taa="http://www.tandberg.net/cpl-extensions"><taa:routed>
<taa:rule-switch><taa:rule origin=".*@annoying\\.example" destination=".*"><reject status="403"/></taa:rule>
</taa:rule-switch></taa:routed></cpl>
"""
DRAFT = "<!DOCTYPE cpl SYSTEM 'cpl.dtd'><cpl><incoming><proxy timeout='9'><no-answer/></proxy></incoming></cpl>\n"


@pytest.fixture
def old(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {"policy.cpl": POLICY, "draft.cpl": DRAFT, "bad.cpl": "<cpl><incomming/></cpl>"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_draft_is_written_out_and_the_notes_beside_it(old, capsys):
    assert main(["--convert", "draft.cpl"]) == SOUND
    out, err = capsys.readouterr()
    assert out.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<cpl xmlns="urn:ietf:params:xml:ns:cpl">\n')
    assert "<noanswer/>" in out
    assert err.splitlines() == [
        "draft.cpl:1:1: changed: the DOCTYPE is left out: the namespace says it all",
        "draft.cpl:1:66: changed: <no-answer> in <proxy> is <noanswer>",
    ]


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ([], REFUSED, "policy.cpl:2:18: lost: "),
        (["--proven"], SOUND, "policy.cpl:1:92: check: "),
        (["--outgoing"], SOUND, "outgoing calls of one user"),
    ],
)
def test_what_is_lost_shows_in_the_exit_status(old, capsys, more, status, words):
    assert main(["--convert", "policy.cpl", "-o", "new.cpl", *more]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    text = (old / "new.cpl").read_text()
    assert ("<outgoing>" in text) == (more == ["--outgoing"])
    assert ("annoying.example" in text.replace("origin=&quot;", "").partition("<!--")[0]) == (status == SOUND)
    assert main(["new.cpl"]) == SOUND


def test_a_script_with_errors_is_not_converted(old, capsys):
    assert main(["--convert", "bad.cpl", "-o", "new.cpl"]) == REFUSED
    assert "bad.cpl:1:6:" in capsys.readouterr().out
    assert not (old / "new.cpl").exists()


def test_proven_says_something_of_a_conversion_only(old, capsys):
    assert main(["--proven", "draft.cpl"]) == COULD_NOT_RUN
    assert "--convert" in capsys.readouterr().err
