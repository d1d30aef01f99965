"""The guarded download: what it fetches, what it refuses, and that it never touches a forbidden address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from core.domain.errors import TooLarge, Unfetchable
from core.net.guarded_fetch import FetchPolicy, GuardedFetcher, is_public
from tests.fakes.names import Names


@asynccontextmanager
async def server(**routes: object) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A web server on loopback; yields its origin and the requests it saw."""
    seen: list[web.Request] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        handler = routes[request.path.strip("/")]
        return await handler(request)  # type: ignore[operator]

    app = web.Application()
    app.router.add_get("/{tail:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}", seen
    finally:
        await runner.cleanup()


def trusting(origin: str, **changes: object) -> FetchPolicy:
    settings: dict[str, object] = {
        "max_bytes": 1000,
        "deadline_s": 5.0,
        "schemes": frozenset({"http", "https"}),
        "trusted_origins": frozenset({origin}),
    }
    return FetchPolicy(**{**settings, **changes})  # type: ignore[arg-type]


async def hello(request: web.Request) -> web.Response:
    return web.Response(body=b"hello", content_type="text/plain")


async def test_content_and_type_come_back() -> None:
    """An allowed address yields its bytes and the type the server named."""
    async with server(file=hello) as (origin, _), GuardedFetcher() as fetcher:
        fetched = await fetcher.fetch(f"{origin}/file", trusting(origin))

    assert (fetched.content, fetched.mime) == (b"hello", "text/plain")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://localhost/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://[64:ff9b::a9fe:a9fe]/x",
        "http://2130706433/x",
        "http://0x7f.1/x",
        "http://127.1/x",
        "http://10.0.0.7/x",
        "http://192.168.1.1/x",
        "http://0.0.0.0/x",
        "http://inner.example/x",
        "ftp://files.example/x",
        "file:///etc/passwd",
        "http://files.example:22/x",
        "http://user:pass@files.example/x",
        "http://",
        "not an address",
        "http://[broken/x",
    ],
)
async def test_forbidden_addresses_are_refused(url: str) -> None:
    """Private, odd and malformed addresses end in one error, before any connection."""
    names = Names(localhost=["127.0.0.1"], inner_example=["10.1.2.3"], files_example=["93.184.216.34"])
    policy = FetchPolicy(max_bytes=10, deadline_s=1.0, schemes=frozenset({"http"}))

    async with GuardedFetcher(resolver=names) as fetcher:
        with pytest.raises(Unfetchable):
            await fetcher.fetch(url, policy)


async def test_redirect_into_the_private_network_is_refused() -> None:
    """A trusted page that points at a private address is not followed there."""

    async def lure(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})

    async with server(lure=lure) as (origin, seen), GuardedFetcher() as fetcher:
        with pytest.raises(Unfetchable, match="private"):
            await fetcher.fetch(f"{origin}/lure", trusting(origin))

    assert len(seen) == 1


async def test_trust_ends_with_the_policy_that_gave_it() -> None:
    """An origin one download may use is closed to the next download that does not trust it."""
    async with server(file=hello) as (origin, seen), GuardedFetcher(resolver=Names(localhost=["127.0.0.1"])) as fetcher:
        named = origin.replace("127.0.0.1", "localhost")
        await fetcher.fetch(f"{named}/file", trusting(named))
        port = int(origin.rsplit(":", 1)[1])
        with pytest.raises(Unfetchable):
            await fetcher.fetch(f"{named}/file", trusting("http://x", ports=frozenset({port})))

    assert len(seen) == 1


async def test_name_that_changes_its_answer_gains_nothing() -> None:
    """DNS rebinding: the address that was checked is the address that is connected to, and each hop asks again."""
    names = Names(rebind_example=["10.0.0.1"])

    async with GuardedFetcher(resolver=names) as fetcher:
        with pytest.raises(Unfetchable):
            await fetcher.fetch("https://rebind.example/", FetchPolicy(max_bytes=10, deadline_s=1.0))

    assert names.asked == ["rebind.example"]


async def test_secret_headers_stay_with_their_hosts() -> None:
    """A token goes to the hosts it belongs to and is left out after a redirect to another."""

    async def away(request: web.Request) -> web.Response:
        port = request.url.port
        return web.Response(status=302, headers={"Location": f"http://other.example:{port}/file"})

    names = Names(own_example=["127.0.0.1"], other_example=["127.0.0.1"])
    async with server(away=away, file=hello) as (origin, seen), GuardedFetcher(resolver=names) as fetcher:
        port = origin.rsplit(":", 1)[1]
        origins = frozenset({f"http://own.example:{port}", f"http://other.example:{port}"})
        policy = trusting(origin, trusted_origins=origins, secret_hosts=frozenset({"own.example"}))
        await fetcher.fetch(f"http://own.example:{port}/away", policy, headers={"Authorization": "Bearer t"})

    assert [request.headers.get("Authorization") for request in seen] == ["Bearer t", None]


@pytest.mark.parametrize("announced", [True, False])
async def test_too_much_is_cut_off(announced: bool) -> None:
    """The size limit holds whether the server announces the size or streams without end."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if announced:
            response.content_length = 10_000
        await response.prepare(request)
        for _ in range(10):
            await response.write(b"x" * 1000)
        return response

    async with server(big=endless) as (origin, _), GuardedFetcher() as fetcher:
        with pytest.raises(TooLarge):
            await fetcher.fetch(f"{origin}/big", trusting(origin))


async def test_compressed_answers_are_refused() -> None:
    """A body packed against our wish is not unpacked."""

    async def packed(request: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    async with server(packed=packed) as (origin, _), GuardedFetcher() as fetcher:
        with pytest.raises(Unfetchable, match="compress"):
            await fetcher.fetch(f"{origin}/packed", trusting(origin))


async def test_silence_ends_at_the_deadline() -> None:
    """A server that never finishes its answer is left at the deadline."""
    release = asyncio.Event()

    async def silent(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    async with server(silent=silent) as (origin, _), GuardedFetcher() as fetcher:
        with pytest.raises(Unfetchable, match="longer"):
            await fetcher.fetch(f"{origin}/silent", trusting(origin, deadline_s=0.01))
        release.set()


async def test_redirect_circles_end() -> None:
    """An address that redirects to itself is given up."""

    async def again(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/again"})

    async with server(again=again) as (origin, _), GuardedFetcher() as fetcher:
        with pytest.raises(Unfetchable, match="too often"):
            await fetcher.fetch(f"{origin}/again", trusting(origin))


async def test_errors_hold_no_token_of_the_address() -> None:
    """What is raised names the host and nothing after it."""
    async with GuardedFetcher(resolver=Names()) as fetcher:
        with pytest.raises(Unfetchable) as caught:
            await fetcher.fetch("https://files.example/x?sig=SECRET", FetchPolicy(max_bytes=10, deadline_s=1.0))

    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("files.slack.com", True), ("slack.com", False), ("evilslack.com", False), ("slack.com.evil.example", False)],
)
async def test_only_the_platforms_own_hosts(host: str, allowed: bool) -> None:
    """A leading dot allows the names below and no look-alike."""
    policy = FetchPolicy(max_bytes=10, deadline_s=1.0, hosts=frozenset({".slack.com"}))
    names = Names()

    async with GuardedFetcher(resolver=names) as fetcher:
        with pytest.raises(Unfetchable):
            await fetcher.fetch(f"https://{host}/x", policy)

    assert bool(names.asked) is allowed


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("fe80::1%eth0", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("x", False),
        ("::10.0.0.1", False),
        ("::ffff:0:10.0.0.1", False),
        ("::ffff:0:93.184.216.34", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b:1::5db8:d822", False),
        ("fec0::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("192.88.99.1", False),
        ("168.63.129.16", False),
        ("::ffff:168.63.129.16", False),
        ("2606:2800:220:1:0:5efe:a00:1", False),
        ("2606:2800:220:1:200:5efe:7f00:1", False),
        ("fd00:ec2::254", False),
        ("100.100.100.200", False),
        ("::", False),
        ("::1", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    """Only addresses of the public internet count as public, whatever coat they wear."""
    assert is_public(address) is public


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://wiki/",
        "https://printer.local/",
        "https://router.lan./",
        "https://nas.home.arpa/",
        "https://a.localhost/",
        "https://127.1/",
        "https://[::ffff:0:10.0.0.1]/",
        "https://wiki.ours.example/",
    ],
)
async def test_private_names_are_refused_before_a_proxy_is_asked(url: str) -> None:
    """With a proxy, which would look the name up inside the house, it is not even connected to."""
    names = Names(wiki_ours_example=["10.1.2.3"])
    async with GuardedFetcher(proxy="http://127.0.0.1:1", resolver=names) as fetcher:
        with pytest.raises(Unfetchable, match="private"):
            await fetcher.fetch(url, FetchPolicy(max_bytes=10, deadline_s=1))


async def test_names_that_only_the_proxy_knows_are_left_to_it() -> None:
    """Where there is no DNS, or the name is public, the proxy is asked."""
    async with GuardedFetcher(proxy="http://127.0.0.1:1", resolver=Names(a_example=["93.184.216.34"])) as fetcher:
        for host in ("unknown.example", "a.example"):
            with pytest.raises(Unfetchable, match="connection"):
                await fetcher.fetch(f"https://{host}/", FetchPolicy(max_bytes=10, deadline_s=1))


@pytest.mark.parametrize(
    "url",
    [
        *("http://[::1", "//host/x", "http://xn--/", "https://a.example/\x00", "https://[your-domain].com/page"),
        *(
            "https://[example",
            "",
            "https://",
            "http://\ud800/",
            "https://a b/",
            "https://a.example:99999/",
            "x" * 9_000,
        ),
    ],
)
async def test_what_is_no_address_is_said(url: str) -> None:
    """Whatever a model or a page takes for an address ends in our own error."""
    async with GuardedFetcher(resolver=Names()) as fetcher:
        with pytest.raises(Unfetchable):
            await fetcher.fetch(url, FetchPolicy(max_bytes=10, deadline_s=1))


async def test_body_comes_as_it_arrives() -> None:
    """The first bytes are there while the server still holds the rest back."""
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await go_on.wait()
        await response.write(b"rest")
        return response

    async with (
        server(slow=slow) as (origin, _),
        GuardedFetcher() as fetcher,
        fetcher.open(f"{origin}/slow", trusting(origin)) as download,
    ):
        chunks = download.chunks()
        first = await anext(chunks)
        go_on.set()
        rest = b"".join([chunk async for chunk in chunks])

    assert (first, rest) == (b"first", b"rest")


async def test_deadline_holds_while_the_body_comes() -> None:
    """A body that never ends its last stretch is left at the deadline, however lively it began."""
    never = asyncio.Event()

    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await never.wait()
        return response

    async with server(drips=drips) as (origin, _), GuardedFetcher() as fetcher:
        with pytest.raises(Unfetchable, match="longer") as caught:
            await fetcher.fetch(f"{origin}/drips", trusting(origin, deadline_s=0.05))
        never.set()

    assert caught.value.passing


@pytest.mark.parametrize(("status", "passing"), [(404, False), (403, False), (429, True), (503, True)])
async def test_what_may_pass_is_told_apart(status: int, passing: bool) -> None:
    """Whether a later try may help is known from the status."""

    async def refuses(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with server(file=refuses) as (origin, _), GuardedFetcher() as fetcher:
        with pytest.raises(Unfetchable) as caught:
            await fetcher.fetch(f"{origin}/file", trusting(origin))

    assert caught.value.passing is passing


async def test_closed_fetcher_asks_nobody() -> None:
    """What is asked for while an adapter leaves may be asked for again later."""
    with pytest.raises(Unfetchable) as caught:
        await GuardedFetcher().fetch("https://files.example/x", FetchPolicy(max_bytes=10, deadline_s=1.0))

    assert caught.value.passing
