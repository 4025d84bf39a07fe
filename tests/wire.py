"""A few SIP requests over UDP, with digest: to set a scene up, and to ask a server how it stands."""

from __future__ import annotations

import re
import select
import socket
import time
from hashlib import md5, sha256
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.running import HERE

if TYPE_CHECKING:
    from tests.running import Child


def ha1(user: str, realm: str, password: str) -> str:
    """H(user:realm:password), RFC 7616 §3.4.2, with MD5."""
    return md5(f"{user}:{realm}:{password}".encode()).hexdigest()


def request(method: str, uri: str, port: int, *, user: str = "probe", cseq: int = 1, headers: str = "",
            body: str = "", to: str = "", domain: str = HERE) -> bytes:  # fmt: skip
    """A request from `port` of this host, in a transaction and a call of its own. `headers`: whole lines."""
    unique = uuid4().hex
    address = to or f"<{uri}>"
    return (
        f"{method} {uri} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {HERE}:{port};branch=z9hG4bK{unique};rport\r\n"
        "Max-Forwards: 70\r\n"
        f"From: <sip:{user}@{domain}>;tag={unique[:8]}\r\n"
        f"To: {address}\r\n"
        f"Call-ID: {unique}@{HERE}\r\n"
        f"CSeq: {cseq} {method}\r\n"
        f"{headers}"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
    ).encode()


class Asker:
    """A socket that asks a server things and waits for the answer, sending again like RFC 3261 §17.1.2.2."""

    def __init__(self, server: int, port: int = 0) -> None:
        self._server = (HERE, server)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HERE, port))
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, message: bytes, *, seconds: float = 8.0) -> str | None:
        """The final response to `message`; None when there is none in time."""
        branch = re.search(rb"branch=([^;\r\n]+)", message)
        assert branch is not None
        deadline = time.monotonic() + seconds
        again = 0.5
        self._socket.sendto(message, self._server)
        resend = time.monotonic() + again
        while (now := time.monotonic()) < deadline:
            if select.select([self._socket], [], [], max(0.0, min(resend, deadline) - now))[0]:
                try:
                    data = self._socket.recv(65535)
                except ConnectionRefusedError:  # ICMP: nobody listens there yet
                    continue
                if branch[1] in data and not data.startswith(b"SIP/2.0 1"):
                    return data.decode(errors="replace")
            elif time.monotonic() >= resend:
                self._socket.sendto(message, self._server)
                again = min(2 * again, 4.0)
                resend = time.monotonic() + again
        return None


def wait_until_answering(port: int, child: Child, *, seconds: float = 20.0) -> None:
    """Return once the server answers OPTIONS. Raises AssertionError when it ends, or doesn't in time."""
    deadline = time.monotonic() + seconds
    with Asker(port) as asker:
        while time.monotonic() < deadline and child.alive:
            if asker.ask(request("OPTIONS", f"sip:{HERE}:{port}", asker.port), seconds=0.3):
                return
    raise AssertionError(f"{child.name} doesn't answer\n{child.output}")


def register(server: int, user: str, contact_port: int, *, password: str | None = None) -> None:
    """Bind `user` to a phone on `contact_port` of this host. Raises AssertionError when refused."""
    uri = f"sip:{HERE}:{server}"
    aor = f"<sip:{user}@{HERE}>"
    contact = f"Contact: <sip:{user}@{HERE}:{contact_port}>\r\nExpires: 3600\r\n"
    with Asker(server) as asker:
        answer = asker.ask(request("REGISTER", uri, asker.port, user=user, to=aor, headers=contact))
        if password is not None and answer is not None and answer.startswith("SIP/2.0 401"):
            proof = authorization(answer, "REGISTER", uri, user, password)
            message = request("REGISTER", uri, asker.port, user=user, to=aor, headers=contact + proof, cseq=2)
            answer = asker.ask(message)
    if answer is None or not answer.startswith("SIP/2.0 200"):
        raise AssertionError(f"{user} can't register: {answer}")


def unregister(server: int, user: str) -> None:
    """Take all bindings of `user` away. Raises AssertionError when refused."""
    with Asker(server) as asker:
        message = request("REGISTER", f"sip:{HERE}:{server}", asker.port, user=user, to=f"<sip:{user}@{HERE}>",
                          headers="Contact: *\r\nExpires: 0\r\n")  # fmt: skip
        answer = asker.ask(message)
    if answer is None or not answer.startswith("SIP/2.0 200"):
        raise AssertionError(f"{user} can't unregister: {answer}")


def upload(server: int, user: str, script: str) -> None:
    """Store a CPL script by REGISTER (draft-lennox-sip-reg-payload-01). Raises AssertionError when refused."""
    headers = "Content-Type: application/cpl+xml\r\nContent-Disposition: script;action=store\r\n"
    with Asker(server) as asker:
        message = request("REGISTER", f"sip:{HERE}:{server}", asker.port, user=user, to=f"<sip:{user}@{HERE}>",
                          headers=headers, body=script)  # fmt: skip
        answer = asker.ask(message)
    if answer is None or not answer.startswith("SIP/2.0 200"):
        raise AssertionError(f"the script of {user} is refused: {answer}")


ALGORITHMS = {"MD5": md5, "SHA-256": sha256}


def authorization(challenge: str, method: str, uri: str, user: str, password: str) -> str:
    """The Authorization line that answers the first challenge of a 401 that we know (RFC 7616, RFC 8760 §2.4)."""
    for line in challenge.split("\r\n"):
        if not line.lower().startswith("www-authenticate: digest"):
            continue
        said = dict(re.findall(r'(\w+)="?([^",]+)', line))
        algorithm = said.get("algorithm", "MD5")
        if algorithm in ALGORITHMS:
            break
    else:
        raise AssertionError(f"no challenge that can be answered in {challenge}")

    def hashed(*parts: str) -> str:
        return ALGORITHMS[algorithm](":".join(parts).encode()).hexdigest()

    fields = f'username="{user}", realm="{said["realm"]}", nonce="{said["nonce"]}", uri="{uri}", algorithm={algorithm}'
    secret, what = hashed(user, said["realm"], password), hashed(method, uri)
    if "qop" in said:
        cnonce = uuid4().hex[:8]
        proof = hashed(secret, said["nonce"], "00000001", cnonce, "auth", what)
        fields += f', qop=auth, nc=00000001, cnonce="{cnonce}"'
    else:
        proof = hashed(secret, said["nonce"], what)
    if "opaque" in said:
        fields += f', opaque="{said["opaque"]}"'
    return f'Authorization: Digest {fields}, response="{proof}"\r\n'
