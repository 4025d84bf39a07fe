"""Pages that scripts have fetched, from a real web server: whom from, how much, and what goes along (T48)."""

from __future__ import annotations

import gzip
import ssl
import time

import pytest
import trio
import trustme

from sipd.cpl.sources import hosts_from_text
from sipd.net.dns import Dns
from sipd.net.fetch import AT_ONCE, AT_ONCE_OF_ONE, MOST, REDIRECTIONS, NoPage, Page, Web
from tests.net.web_server import URI_LIST, WebServer

HOSTS_FILE = "127.0.0.1 www.example.test other.example.test inside.example.test\n"
ALICE, BOB = "alice@example.com", "bob@example.com"


@pytest.fixture
def server():
    with WebServer() as made:
        yield made


def dns(tmp_path) -> Dns:
    hosts = tmp_path / "hosts"
    hosts.write_text(HOSTS_FILE)
    return Dns(resolv_conf=tmp_path / "none", hosts=hosts, nameserver=("127.0.0.1", 9), clock=time.monotonic)


@pytest.fixture
def web(server, tmp_path):
    """`www.example.test` may be asked at the server's port, and nobody else."""
    hosts = hosts_from_text(f"www.example.test:{server.port}")
    return Web(dns(tmp_path), lambda: hosts, lambda: "")


def url(server, path: str, host: str = "www.example.test") -> str:
    return f"http://{host}:{server.port}{path}"


async def get(web, url: str, owner: str = ALICE) -> Page:
    with trio.fail_after(5):
        page: Page = await web.get(owner, url, "text/uri-list")
        return page


async def until(condition) -> None:
    """Wait for the server's threads."""
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - they know no trio.Event
            await trio.sleep(0.01)


async def test_a_page_comes_as_it_is(server, web):
    server.page("/where?user=bob&x=%20;y", "sip:bob@192.0.2.1", "# home")
    assert await get(web, url(server, "/where?user=bob&x=%20;y")) == Page(
        200, "text/uri-list", b"sip:bob@192.0.2.1\r\n# home"
    )


@pytest.mark.parametrize("path", ["/a;b=c?d;e", "/?", "/%2e%2e/x", "/a//b", "/x?http://other.example.test/"])
async def test_the_query_is_verbatim(server, web, path):
    """RFC 3880 §5.2: performed verbatim, with no additional information."""
    await get(web, url(server, path))
    assert server.asked[0][0] == path


async def test_nothing_of_us_goes_along(server, web, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.page("/x", "sip:bob@192.0.2.1", **{"Set-Cookie": "a=b; Path=/"})
    await get(web, url(server, "/x"))
    await get(web, url(server, "/x"))
    for _, headers in server.asked:
        assert headers == {
            "Host": f"www.example.test:{server.port}",
            "Accept": "text/uri-list",
            "Accept-Encoding": "identity",
            "User-Agent": "sipd",
            "Connection": "close",
        }


@pytest.mark.parametrize(
    "where",
    [
        "http://other.example.test:{port}/",
        "http://127.0.0.1:{port}/",
        "http://[::1]:{port}/",
        "http://localhost:{port}/",
        "http://169.254.169.254/latest/meta-data",
        "http://www.example.test/",
        "http://www.example.test:{port}@other.example.test/",
        "http://www.example.test:{port}\\@other.example.test/",
        "http://www.example.test.other.example.test:{port}/",
        "file:///etc/passwd",
        "gopher://www.example.test:{port}/",
    ],
)
async def test_nobody_else_is_asked(server, web, where):
    with pytest.raises(NoPage):
        await get(web, where.format(port=server.port))
    assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_what_has_moved_is_fetched_where_it_is(server, web, status):
    server.pages["/old"] = (status, {"Location": "new?x"}, b"moved")
    server.page("/new?x", "sip:bob@192.0.2.1")
    assert (await get(web, url(server, "/old"))).body == b"sip:bob@192.0.2.1"


@pytest.mark.parametrize(
    "where",
    ["http://other.example.test:{port}/secret", "http://127.0.0.1:{port}/secret", "//other.example.test:{port}/secret",
     "file:///etc/passwd", "javascript:alert(1)", "http://[", "\x80", ""],
)  # fmt: skip
async def test_what_has_moved_to_others_is_not_fetched(server, web, where):
    """Else whoever runs a listed host could have the server ask anybody (SSRF)."""
    server.page("/secret", "sip:secret@192.0.2.1")
    server.pages["/old"] = (302, {"Location": where.format(port=server.port)}, b"")
    try:
        page = await get(web, url(server, "/old"))
    except NoPage:
        pass
    else:
        assert page.status == 302
    assert [path for path, _ in server.asked if path != "/old"] == []


async def test_what_moves_in_circles_ends(server, web):
    server.pages["/a"] = (302, {"Location": "/a"}, b"")
    with pytest.raises(NoPage, match="too often"):
        await get(web, url(server, "/a"))
    assert len(server.asked) == REDIRECTIONS + 1


async def test_a_page_may_be_so_large_and_no_larger(server, web):
    server.pages["/large"] = (200, URI_LIST, b"x" * MOST)
    server.pages["/larger"] = (200, URI_LIST, b"x" * (MOST + 1))

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 10_000)

    server.pages["/endless"] = endless
    assert len((await get(web, url(server, "/large"))).body) == MOST
    for path in ("/larger", "/endless"):
        with pytest.raises(NoPage, match="more than"):
            await get(web, url(server, path))


async def test_what_is_compressed_is_not_blown_up(server, web):
    server.pages["/bomb"] = (200, {**URI_LIST, "Content-Encoding": "gzip"}, gzip.compress(b"x" * 10_000_000))
    with pytest.raises(NoPage, match="compressed"):
        await get(web, url(server, "/bomb"))


@pytest.mark.parametrize(
    "said",
    [b"", b"\x00\x01\x02", b"HTTP/1.1 2", b"SIP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 200 OK\r\n X\r\n\r\n",
     b"HTTP/1.1 100 Continue\r\n\r\n" * 1000],
)  # fmt: skip
async def test_what_is_no_http_is_no_page(server, web, said):
    def say(handler):
        handler.close_connection = True
        handler.wfile.write(said)

    server.pages["/odd"] = say
    with pytest.raises(NoPage):
        await get(web, url(server, "/odd"))


async def test_who_only_says_that_a_page_will_come_is_left(server, web):
    """Interim responses without end: nobody listens until the time of the lookup is over."""

    def say(handler):
        handler.close_connection = True
        for _ in range(10_000):
            handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            time.sleep(0.01)

    server.pages["/soon"] = say
    with pytest.raises(NoPage, match="no page comes"):
        await get(web, url(server, "/soon"))


async def test_nobody_there_is_no_page(server, tmp_path):
    hosts = hosts_from_text("www.example.test:1 nowhere.invalid")
    web = Web(dns(tmp_path), lambda: hosts, lambda: "")
    with pytest.raises(NoPage):
        await get(web, "http://www.example.test:1/")
    with pytest.raises(NoPage, match="looked up"):
        await get(web, "http://nowhere.invalid/")


async def test_so_many_pages_are_fetched_at_once_for_one_user_and_in_all(server, web):
    """T48, T84: a slow web server takes no more than its share."""
    server.waits("/slow")
    server.page("/quick", "sip:bob@192.0.2.1")
    slow = url(server, "/slow")
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(get, web, slow)
        await until(lambda: server.at_once == AT_ONCE_OF_ONE)
        assert (await get(web, url(server, "/quick"), BOB)).status == 200
        assert server.most_at_once == AT_ONCE_OF_ONE + 1
        for number in range(AT_ONCE + 10):
            nursery.start_soon(get, web, slow, f"user{number}@example.com")
        await until(lambda: server.at_once == AT_ONCE)
        await trio.sleep(0.1)
        assert server.most_at_once == AT_ONCE
        assert len(web) == AT_ONCE + 11
        server.gate.set()
    assert len(web) == 0, "nothing is kept of who has been served"


async def test_who_gives_up_leaves_nothing_behind(server, web):
    server.waits("/slow")
    for _ in range(2 * AT_ONCE_OF_ONE):
        with trio.move_on_after(0.05):
            await web.get(ALICE, url(server, "/slow"), "*/*")
    assert len(web) == 0
    server.page("/quick", "sip:bob@192.0.2.1")
    assert (await get(web, url(server, "/quick"))).status == 200


@pytest.fixture
def authority():
    return trustme.CA()


def https(authority, *names: str) -> WebServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return WebServer(context)


@pytest.mark.parametrize(("names", "good"), [(["www.example.test"], True), (["other.example.test"], False)])
async def test_https_servers_prove_their_name(authority, tmp_path, names, good):
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    with https(authority, *names) as server:
        server.page("/x", "sip:bob@192.0.2.1")
        hosts = hosts_from_text(f"www.example.test:{server.port}")
        web = Web(dns(tmp_path), lambda: hosts, lambda: str(pem))
        where = f"https://www.example.test:{server.port}/x"
        if good:
            assert (await get(web, where)).body == b"sip:bob@192.0.2.1"
            server.pages["/down"] = (302, {"Location": f"http://www.example.test:{server.port}/x"}, b"")
            with pytest.raises(NoPage, match="from https to http"):
                await get(web, where.replace("/x", "/down"))
        else:
            with pytest.raises(NoPage, match=r"(?i)certificate"):
                await get(web, where)
            assert server.asked == []


async def test_a_certificate_of_nobody_we_know_is_not_good(authority, tmp_path):
    with https(authority, "www.example.test") as server:
        hosts = hosts_from_text(f"www.example.test:{server.port}")
        web = Web(dns(tmp_path), lambda: hosts, lambda: "")
        with pytest.raises(NoPage, match=r"(?i)certificate"):
            await get(web, f"https://www.example.test:{server.port}/x")
