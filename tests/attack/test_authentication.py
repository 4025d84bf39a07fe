"""An outsider who tries to be somebody: everything he may send to prove it, over real sockets (T10-T13, T67, T117)."""

from __future__ import annotations

import base64
import re
import secrets
import time
from typing import TYPE_CHECKING

import pytest

from sipd.message import Response, parse, parse_auth
from tests.attack.foe import Foe, status_of
from tests.core.tables import credentials
from tests.e2e.house import DOMAIN, USERS, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = f"sip:{DOMAIN}"
EMPTY = '""'


class Intruder(Foe):
    """One at an address of his own: what he fails at is not counted against others."""

    def __init__(self, port: int) -> None:
        places = (secrets.randbelow(200) + 20, secrets.randbelow(250) + 1, secrets.randbelow(250) + 1)
        super().__init__(port, "127.{}.{}.{}".format(*places))

    def __enter__(self) -> Intruder:
        return self

    def request(self, method: str, name: str, *more: str, uri: str = "", **other: str) -> bytes:
        """One from name@DOMAIN: a REGISTER of him, else a call to bob."""
        who = f"sip:{name}@{DOMAIN}"
        uri = uri or (HOME if method == "REGISTER" else f"sip:bob@{DOMAIN}")
        given = {
            "from_": f"<{who}>;tag=1",
            "to": f"<{who if method == 'REGISTER' else uri}>",
        }
        contact = f"Contact: <sip:{name}@{self.host}:{self.port}>"
        return self.message(contact, *more, method=method, uri=uri, **{**given, **other})  # type: ignore[arg-type]

    def said(self, method: str, name: str, *more: str, **other: str) -> Response:
        """The answer to it."""
        found = self.answer(self.request(method, name, *more, **other))
        assert found is not None, "no answer"
        response = parse(found)
        assert isinstance(response, Response)
        return response

    def challenge(self, name: str, number: int = 0) -> str:
        """The challenge to a REGISTER of that name: the first, or another one."""
        return self.said("REGISTER", name).values("WWW-Authenticate")[number]

    def registers(self, name: str, challenge: str, *, as_: str = "", password: str = "", **more: object) -> Response:
        """The answer to a REGISTER of `name` with the credentials of `as_`."""
        as_ = as_ or name
        password = password or USERS.get(as_, "none")
        text = credentials(challenge, "REGISTER", HOME, username=as_, password=password, **more)  # type: ignore[arg-type]
        return self.said("REGISTER", name, f"Authorization: {text}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As it comes, with two users more: erin, who never registers, and dora, whose password is guessed at."""
    house = Server(tmp_path_factory.mktemp("attacked"))
    house.prepare()
    house.add_user("dora", "open sesame")
    house.add_user("erin", "open sesame")
    house.start()
    yield house
    house.stop()


@pytest.fixture
def intruder(server: Server) -> Iterator[Intruder]:
    with Intruder(server.port) as made:
        yield made
        made.others_are_served()


def is_stale(response: Response) -> bool:
    return parse_auth(response.values("WWW-Authenticate")[0]).params.get("stale") == "true"


# -- T117: guessing -------------------------------------------------------------------------------------------


def test_guesses_by_the_dozen_are_slow_and_shut_nobody_else_out(server, intruder):
    """[T117] Thirty at once, the right one among them: it is not even looked at. She herself comes in meanwhile."""
    challenge = intruder.challenge("dora")
    guesses = [f"guess{n}" for n in range(30)]
    guesses[20] = "open sesame"
    for guess in guesses:
        text = credentials(challenge, "REGISTER", HOME, username="dora", password=guess)
        intruder.send(intruder.request("REGISTER", "dora", f"Authorization: {text}"))
    begun = time.monotonic()
    with Intruder(server.port) as dora:
        assert dora.registers("dora", dora.challenge("dora"), password="open sesame").status == 200
        assert time.monotonic() - begun < 1
    statuses = []
    while (got := intruder.hear(2.0)) is not None:
        statuses.append(status_of(got))
    assert statuses == [401] * 30
    assert time.monotonic() - begun >= 1
    line = server.child.wait_for(rf"event=login_failed source={intruder.host} username=dora n=5").string
    assert "guess" not in line


# -- T10: what can't be read, and what is merely wrong --------------------------------------------------------

GOOD = {
    "username": '"alice"',
    "realm": f'"{DOMAIN}"',
    "nonce": '"0"',
    "uri": f'"{HOME}"',
    "response": f'"{"0" * 64}"',
    "algorithm": "SHA-256",
    "qop": "auth",
    "cnonce": '"c"',
    "nc": "00000001",
}


def written(**changed: str | None) -> str:
    """Digest credentials that can be read, and are wrong; None: without that parameter. `username__`: username*."""
    params = {**GOOD, "username": f'"x{secrets.token_hex(4)}"', **changed}
    pairs = [f"{name.replace('__', '*')}={value}" for name, value in params.items() if value is not None]
    return f"Digest {', '.join(pairs)}"


UNREADABLE = {
    "nothing": "",
    "the scheme alone": "Digest",
    "the scheme and a blank": "Digest ",
    "a comma": "Digest ,",
    "a name alone": "Digest username",
    "an open quote": 'Digest username="alice',
    "text after a quote": 'Digest username="alice"x',
    "an empty parameter": 'Digest username="a",,realm="b"',
    "a comma at the end": written() + ",",
    "no name": 'Digest ="a"',
    "no value": "Digest username=, realm=x",
    "blanks for commas": 'Digest username="a" realm="b"',
    "semicolons for commas": 'Digest username="a"; realm="b"',
    "a parameter twice": written() + ', realm="other"',
    "the same in capitals": written() + ', REALM="other"',
    "no username": written(username=None),
    "no realm": written(realm=None),
    "no nonce": written(nonce=None),
    "no uri": written(uri=None),
    "no response": written(response=None),
    "qop without nc": written(nc=None),
    "qop without cnonce": written(cnonce=None),
    "nc of seven digits": written(nc="0000001"),
    "nc of nine digits": written(nc="000000001"),
    "nc that is no number": written(nc="0000000g"),
    "a negative nc": written(nc="-0000001"),
    "an empty nc": written(nc='""'),
    "two user names": written(username__="UTF-8''alice"),
    "username* that is none": written(username=None, username__="alice"),
    "username* with a line end": written(username=None, username__="UTF-8''a%0d%0aX:%20y"),
    "an empty uri": written(uri='""'),
    "a uri that is none": written(uri='"sip:"'),
    "a uri elsewhere": written(uri='"sip:elsewhere.example"'),
}

WRONG = {
    "an empty response": written(response='""'),
    "a short response": written(response='"00"'),
    "a response of 4 KiB": written(response=f'"{"0" * 4096}"'),
    "a response that is no hex": written(response='"zz"'),
    "a response that is no ASCII": written(response='"\xfc"'),
    "a response of another length": written(response=f'"{"0" * 32}"'),
    "an unknown algorithm": written(algorithm="FOO"),
    "an empty algorithm": written(algorithm='""'),
    "a session algorithm": written(algorithm="SHA-256-sess"),
    "one not offered": written(algorithm="SHA-512-256"),
    "a qop not offered": written(qop="auth-int"),
    "an unknown qop": written(qop="auth-conf"),
    "an empty nonce": written(nonce='""'),
    "a nonce of 4 KiB": written(nonce=f'"{"0" * 4096}"'),
    "a nonce of letters": written(nonce=f'"{"z" * 40}"'),
    "nc of nothing": written(nc="00000000"),
    "the highest nc": written(nc="ffffffff"),
    "an empty cnonce": written(cnonce='""'),
    "an empty user name": written(username='""'),
    "a user name of @": written(username='"@"'),
    "a user name of another domain": written(username='"alice@elsewhere.example"'),
    "a user name of 4 KiB": written(username=f'"{"a" * 4096}"'),
    "a user name in SQL": written(username='"\' OR 1=1 --"'),
    "username* that is fine": written(username=None, username__="UTF-8''n%C3%B8body"),
    "another realm": written(realm='"elsewhere.example"'),
    "an empty realm": written(realm='""'),
    "a hash for a user name": written() + ", userhash=true",
    "an opaque": written() + ', opaque="x"',
    "Basic": "Basic " + base64.b64encode(f"alice:{USERS['alice']}".encode()).decode(),
    "Basic with nothing": "Basic x",
    "another scheme": "PGP version=5",
    "an unknown one": "Bearer 00",
}


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_can_not_be_read_is_400(intruder, method, text):
    """[T10]"""
    name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    assert intruder.said(method, "alice", f"{name}: {text}").status == 400


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_what_is_merely_wrong_is_asked_for_again(intruder, method, text):
    """[T10]"""
    name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    response = intruder.said(method, "alice", f"{name}: {text}")
    assert response.status == (401 if method == "REGISTER" else 407)
    asked = response.values("WWW-Authenticate" if method == "REGISTER" else "Proxy-Authenticate")
    assert [parse_auth(one).params["algorithm"] for one in asked] == ["SHA-256", "MD5"]


# -- T11: what was seen before --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1], ids=["SHA-256", "MD5"])
def test_what_was_overheard_is_worth_nothing(server, intruder, number):
    """[T11] Used again, with another Contact; with a lower count; a count far ahead leaves 64 behind it."""
    with Intruder(server.port) as alice:
        challenge = alice.challenge("alice", number)
        assert alice.registers("alice", challenge, count=1).status == 200
        overheard = credentials(challenge, "REGISTER", HOME, username="alice", password=USERS["alice"], count=1)
        response = intruder.said("REGISTER", "alice", f"Authorization: {overheard}")
        assert (response.status, is_stale(response)) == (401, True)
        for count, fine in [(100, True), (36, True), (35, False), (36, False), (99, True), (100, False)]:
            response = alice.registers("alice", challenge, count=count)
            assert (response.status == 200) == fine
            assert fine or is_stale(response)
    assert f"{intruder.host}:" not in server.ctl("ul", "show"), "nothing of his was stored"


def test_without_qop_a_nonce_counts_once(intruder):
    """[T11] The way of RFC 2069."""
    challenge = intruder.challenge("carol")
    assert intruder.registers("carol", challenge, qop="").status == 200
    again = intruder.registers("carol", challenge, qop="")
    assert (again.status, is_stale(again)) == (401, True)
    assert intruder.registers("carol", challenge, count=7).status == 401


def test_credentials_of_one_request_prove_no_other(intruder):
    """[T12] Neither another method nor another place; and a nonce of one algorithm is none of the other."""
    challenge = intruder.challenge("alice")
    text = credentials(challenge, "REGISTER", HOME, username="alice", password=USERS["alice"])
    assert intruder.said("INVITE", "alice", f"Proxy-Authorization: {text}").status == 407
    nonce = parse_auth(challenge).params["nonce"]
    answer = intruder.registers("alice", f'Digest realm="{DOMAIN}", nonce="{nonce}", algorithm=MD5')
    assert (answer.status, is_stale(answer)) == (401, True)


def test_the_same_datagram_again_has_the_same_answer(intruder):
    """A phone that did not hear its 200 is no replay (§17.2.2)."""
    text = credentials(intruder.challenge("alice"), "REGISTER", HOME, username="alice", password=USERS["alice"])
    sent = intruder.request("REGISTER", "alice", f"Authorization: {text}")
    assert [intruder.ask(sent) for _ in range(3)] == [200, 200, 200]


# -- T13, T16: who may register whom --------------------------------------------------------------------------


def test_the_credentials_of_another_register_nobody_but_him(server, intruder):
    """[T13] 403; and where she has named him, 200."""
    assert intruder.registers("voicemail", intruder.challenge("voicemail"), as_="bob").status == 403
    assert f"{intruder.host}:" not in server.ctl("ul", "show")
    assert intruder.registers("bob", intruder.challenge("bob"), as_="carol").status == 403
    server.ctl("user", "allow", f"voicemail@{DOMAIN}", f"bob@{DOMAIN}")
    deadline = time.monotonic() + 5
    while (response := intruder.registers("voicemail", intruder.challenge("voicemail"), as_="bob")).status != 200:
        assert response.status == 403
        assert time.monotonic() < deadline, "the server notices within a second"
    assert f"{intruder.host}:" in server.ctl("ul", "show", f"voicemail@{DOMAIN}")
    server.child.wait_for(rf"event=reg_denied who=bob@{DOMAIN} aor=voicemail@{DOMAIN}")


# -- T67: who is there ----------------------------------------------------------------------------------------


def shape(response: Response, name: str) -> str:
    """The response without what is new in each: the nonce, tags and ids; the name asked for is masked."""
    text = bytes(response).decode()
    text = re.sub(r'nonce="[0-9a-f]{40}"', "nonce", text)
    text = re.sub(r"(?m)^(Via|Call-ID|CSeq|From|To): .*$", r"\1", text)
    return text.replace(name, "NAME")


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "SUBSCRIBE", "OPTIONS", "MESSAGE", "PUBLISH", "BYE"])
@pytest.mark.parametrize("proof", ["none", "wrong", "malformed", "no nonce"])
def test_no_answer_tells_whether_there_is_a_user(intruder, method, proof):
    """[T67] Byte for byte the same, whoever he says he is."""
    name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    seen = {}
    for user in ("alice", "alicf"):
        challenge = intruder.challenge(user)
        uri = HOME if method == "REGISTER" else f"sip:bob@{DOMAIN}"
        texts = {
            "none": [],
            "wrong": [f"{name}: {credentials(challenge, method, uri, username=user, password='wrong')}"],
            "malformed": [f"{name}: Digest username={user}"],
            "no nonce": [f"{name}: {credentials(challenge, method, uri, username=user, nonce=EMPTY)}"],
        }
        response = intruder.said(method, user, *texts[proof])
        seen[user] = response.status, shape(response, user)
    assert seen["alice"] == seen["alicf"]
    assert seen["alice"][0] == (400 if proof == "malformed" else 401 if method == "REGISTER" else 407)


def test_a_stranger_does_not_learn_whom_he_can_call(intruder):
    """[T67] Neither of them is registered: the same, whether he exists or not."""
    answers = {
        user: intruder.said("INVITE", user, uri=f"sip:{user}@{DOMAIN}", from_="<sip:foe@far.example>;tag=1")
        for user in ("erin", "erim")
    }
    assert {(response.status, shape(response, name)) for name, response in answers.items()} == {
        (480, shape(answers["erim"], "erim"))
    }
