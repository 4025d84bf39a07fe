"""Completion as shells do it, with the text that the installed tools print."""

import shutil
import subprocess
import sys

import pytest

from sipd.control.verbs import NOUNS, VERBS
from sipd.tools import addsipuser, completion, sipdctl, sippasswd
from tests.running import REPOSITORY

ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
complete -p "$1" | grep -q "_shtab_$1" || exit 3
"_shtab_$1" "$1" "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def printed(directory, tool, shell):
    path = directory / f"{tool}.{shell}"
    done = subprocess.run(
        [sys.executable, "-m", f"sipd.tools.{tool}", "--print-completion", shell],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    path.write_text(done.stdout)
    return path


@pytest.fixture(scope="module")
def bash(tmp_path_factory):
    """What bash offers after these words."""
    made = printed(tmp_path_factory.mktemp("bash"), "sipdctl", "bash")

    def offered(*words):
        done = subprocess.run(
            ["bash", "-c", ASK_BASH, "bash", made, "sipdctl", *words],
            cwd=made.parent, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()

    return offered


def test_bash_completes_nouns_verbs_and_options(bash):
    assert bash("us") == ["user"]
    assert set(NOUNS) <= set(bash(""))
    for noun in NOUNS:
        assert {verb.name for verb in VERBS if verb.noun == noun} <= set(bash(noun, "")), noun
    assert bash("user", "add", "--pa") == ["--password-file"]
    assert bash("-D", "sqlite:x", "db", "in") == ["init"], "an option's value is no noun"
    assert set(bash("--print-completion", "")) == set(completion.SHELLS)


def test_bash_completes_names_of_files_where_one_is_wanted(bash):
    assert bash("script", "put", "alice@example.com", "sipdctl.b") == ["sipdctl.bash"]
    assert bash("user", "add", "--password-file", "sipdctl.b") == ["sipdctl.bash"]


@pytest.mark.parametrize("tool", ["sipdctl", "addsipuser", "sippasswd"])
def test_every_shell_that_is_here_can_read_its_text(tmp_path, tool):
    for shell in completion.SHELLS:
        made = printed(tmp_path, tool, shell)
        assert made.stat().st_size > 500
        if shutil.which(shell):
            done = subprocess.run([shell, "-n", made], capture_output=True, text=True, timeout=30, check=False)
            assert (done.returncode, done.stderr) == (0, ""), shell


@pytest.mark.parametrize("parser", [sipdctl.parser, addsipuser.parser, sippasswd.parser])
@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_parser_can_be_asked_twice(parser, shell):
    made = parser()
    assert completion.text(made, shell) == completion.text(made, shell)
    assert made.prog in completion.text(made, shell)
