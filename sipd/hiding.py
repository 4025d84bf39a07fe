"""Passwords on command lines: out of the list of processes, and out of messages (T123).

Every user of a machine can read the command lines of its programs. A program
of ours that finds a password in its own starts itself anew at once: the new
one's command line shows *** there, and the whole one goes over in a pipe,
which nobody else can read. The process stays the same one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE: Final = "SIPD_COMMAND_LINE"
"""Names, for the moment of starting anew, the descriptor that the command line comes by."""

URL: Final = re.compile(r"^(.*?[A-Za-z]:/{0,2}[^:@/]*):.*@", re.DOTALL)

_hidden = False


def hide_passwords(*options: str) -> None:
    """See that the list of processes shows no password of ours; `sys.argv` has it all the same.

    `options`: those whose value is a password, as `-p` and `--password`.
    Passwords in URLs are found anywhere. Where the system can't start a
    program in place of another, all stays as it is.
    """
    global _hidden
    if _hidden:
        return
    _hidden = True
    handed = os.environ.pop(VARIABLE, None)
    if handed is not None:
        sys.argv[1:] = _received(handed)
        return
    words = sys.argv[1:]
    shown = masked_words(words, options)
    head = sys.orig_argv[: len(sys.orig_argv) - len(words)]
    if shown != words and head + words == sys.orig_argv and os.name == "posix" and sys.executable:
        _start_anew([*head, *shown], words)


def masked_words(words: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """A command line with *** for its passwords."""
    shown: list[str] = []
    secret_next = False
    for word in words:
        name, equals, _ = word.partition("=")
        long = len(name) > 2 and any(option.startswith(name) for option in options)  # argparse takes beginnings
        short = any(len(option) == 2 and word.startswith(option) for option in options)
        if secret_next and word != "-":  # which stands for standard input
            shown.append("***")
        elif long and equals:
            shown.append(f"{name}=***")
        elif short and len(word) > 2:
            shown.append(f"{word[:2]}***")
        else:
            shown.append(masked(word))
        secret_next = word in options or (long and not equals)
    return shown


def masked(text: str) -> str:
    """A text with *** for the passwords of its URLs."""
    return URL.sub(r"\1:***@", text)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints show no password."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and exit with 2."""
        super().error(masked(message + _meant(message)))


def _meant(message: str) -> str:
    """What somebody may have meant whose word is none of those that can be said there."""
    found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)$", message)
    near = get_close_matches(found[1], re.findall(r"[\w-]+", found[2]), 1) if found else []
    return f". Did you mean {near[0]}?" if near else ""


def _start_anew(shown: list[str], words: list[str]) -> None:
    """This program with another command line; returns only where that can't be."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        text = json.dumps(words).encode()
        if os.write(writing, text) != len(text):  # more than a pipe holds
            return
        os.set_inheritable(reading, True)
        os.close(writing)
        writing = -1
        os.environ[VARIABLE] = str(reading)
        os.execv(sys.executable, shown)
    except OSError:
        os.environ.pop(VARIABLE, None)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def _received(handed: str) -> list[str]:
    """The command line that came by the descriptor of this number."""
    try:
        number = int(handed)
        if not stat.S_ISFIFO(os.fstat(number).st_mode):
            raise ValueError("no pipe")
        with os.fdopen(number, "rb") as pipe:
            words = json.loads(pipe.read())
    except (OSError, ValueError):
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise SystemExit(f"{VARIABLE} is set, and not by this program: remove it from the environment")
    return words
