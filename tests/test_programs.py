"""The programs of an installation, before they are what they will be."""

from __future__ import annotations

import pytest

from sipd import programs


@pytest.mark.parametrize("name", ["sipd", "sipdctl", "addsipuser", "sippasswd", "cpl_check"])
def test_ctrl_c_while_it_is_being_loaded_ends_it_without_a_word(name, monkeypatch, capsys):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(programs, "hide_passwords", pressed)
    assert getattr(programs, name)() == 130
    assert capsys.readouterr() == ("", "")
