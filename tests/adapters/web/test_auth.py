"""Who may come in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from adapters.web import WebSettings
from adapters.web.guessing import Brake
from adapters.web.keys import Keys
from adapters.web.settings import is_loopback
from core.domain.api_keys import ApiKey, digest_of
from core.domain.errors import StorageBusy, StorageError
from tests.adapters.web.house import House, a_house
from tests.fakes.clock import FakeClock

KEY = "a-long-and-random-key"
ELSEWHERE = WebSettings(host="0.0.0.0", api_keys=(KEY, "another-long-key"))
HERE = replace(ELSEWHERE, host="127.0.0.1")
CHAT = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}


async def status_of(house: House, method: str, path: str, **given) -> int:
    async with house.http.request(method, house.url + path, **given) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.com", False),
        ("192.168.1.2", False),
        ("127.0.0.1.example.com", False),
    ],
)
def test_loopback_is_this_machine_alone(host, answer):
    """Only loopback addresses and localhost count; every other name could be reached by others."""
    assert is_loopback(host) is answer


def test_a_key_is_known_by_its_fingerprint_only():
    """A valid key gives a stable id that does not hold it; a wrong one gives none; neither shows in a repr."""
    keys = Keys([KEY, ""])

    assert keys.holder(KEY) == Keys(["other", KEY]).holder(KEY)
    assert KEY not in (keys.holder(KEY) or "")
    assert keys.holder("") is None
    assert keys.holder(KEY[:-1]) is None
    assert KEY not in repr(WebSettings(api_keys=(KEY,)))
    assert KEY not in repr(vars(keys))


@pytest.mark.parametrize("path", ["/v1/models", "/page/state", "/page/conversations", "/page/export", "/metrics"])
@pytest.mark.parametrize("settings", [ELSEWHERE, HERE], ids=["elsewhere", "loopback"])
async def test_keys_that_are_set_are_needed(path, settings):
    """Without a key, with a wrong one or with one in the wrong form it is a 401; with a right one it is open. On
    loopback as well: a proxy on this machine brings everybody."""
    async with a_house(settings) as house:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}, {"Authorization": "Bearer "}):
            assert await status_of(house, "GET", path, headers=headers) == 401

        assert await status_of(house, "GET", path, headers={"Authorization": f"Bearer {KEY}"}) == 200


@pytest.mark.parametrize(
    ("path", "says"),
    [("/page/state", "not one of this server's API keys"), ("/v1/models", "Authorization: Bearer KEY")],
)
async def test_people_and_programs_are_told_in_their_own_words(path, says):
    """The page has a field for the key; a program sets a header."""
    async with (
        a_house(HERE) as house,
        house.http.get(house.url + path, headers={"Authorization": "Bearer wrong-key"}) as response,
    ):
        assert says in (await response.json())["error"]["message"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/favicon.ico"])
async def test_health_and_the_pages_own_files_need_no_key(path):
    """Probes and the page's code are open: the page asks for the key by itself."""
    async with a_house(ELSEWHERE) as house:
        assert await status_of(house, "GET", path) == 200


async def test_each_key_is_a_user_of_its_own():
    """Two keys never see one another's conversations, limits or usage."""
    async with a_house(ELSEWHERE) as house:
        for key in ELSEWHERE.api_keys:
            headers = {"Authorization": f"Bearer {key}"}
            assert await status_of(house, "POST", "/v1/chat/completions", json=CHAT, headers=headers) == 200

    first, second = (request.user for request in house.handler.requests)
    assert first != second
    assert first.platform == "api"
    assert first.user.startswith("key-")


async def test_bound_elsewhere_without_keys_is_off_and_says_why():
    """Page, API and metrics are off and say what to set; health is not."""
    async with a_house(WebSettings(host="0.0.0.0")) as house:
        async with house.http.get(house.url) as response:
            page = await response.text()
        async with house.http.post(f"{house.url}/v1/chat/completions", json=CHAT) as response:
            error = (await response.json())["error"]

        assert "API_KEYS" in page
        assert (error["code"], "API_KEYS" in error["message"]) == ("api_keys_not_set", True)
        assert await status_of(house, "GET", "/metrics") == 403
        assert await status_of(house, "GET", "/readyz") == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:8080", 200),
        ("LOCALHOST", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:8080", 421),
        ("[bad", 421),
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/page/state", "/metrics"])
async def test_on_loopback_a_foreign_host_is_turned_away(house, path, host, status):
    """A name that somebody pointed at 127.0.0.1 gets nothing (DNS rebinding)."""
    assert await status_of(house, "GET", path, headers={"Host": host}) == status


class Stored:
    """Keys with names, as another process changes them."""

    def __init__(self, **keys: str) -> None:
        self.keys = [ApiKey(name, digest_of(key), 0.0) for name, key in keys.items()]
        self.looks = 0
        self.fails: StorageError | None = None

    async def all(self) -> Sequence[ApiKey]:
        self.looks += 1
        if self.fails:
            raise self.fails
        return tuple(self.keys)

    async def put(self, key: ApiKey) -> None:
        self.keys.append(key)

    async def revoke(self, name: str) -> bool:
        raise NotImplementedError


async def test_keys_with_names_come_and_go_without_a_restart():
    """Made by another process a key opens within two seconds, and its holder is known by its name; revoked it opens
    nothing. On loopback the first key closes the page to everybody else."""
    clock, stored = FakeClock(), Stored()
    async with a_house(clock=clock, keys=stored) as house:

        async def asks(key: str = "") -> int:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            return await status_of(house, "POST", "/v1/chat/completions", json=CHAT, headers=headers)

        assert await asks() == 200
        stored.keys = [ApiKey("ann", digest_of(KEY), 0.0)]
        await clock.advance(2)
        assert (await asks(), await asks("wrong-key"), await asks(KEY)) == (401, 401, 200)
        assert house.handler.last.user.user == "key:ann"
        stored.keys = [ApiKey("ann", digest_of("another-long-key"), 1.0)]
        await clock.advance(2)

        assert (await asks(KEY), await asks("another-long-key")) == (401, 200)
        assert house.handler.last.user.user == "key:ann"


async def test_a_store_that_fails_leaves_the_known_keys():
    """A locked database neither opens the page nor closes it, and is not asked for every request."""
    clock, stored = FakeClock(), Stored(ann=KEY)
    async with a_house(clock=clock, keys=stored) as house:
        headers = {"Authorization": f"Bearer {KEY}"}
        assert await status_of(house, "GET", "/v1/models", headers=headers) == 200
        assert await status_of(house, "GET", "/v1/models", headers=headers) == 200
        assert stored.looks == 1

        stored.fails = StorageBusy("locked")
        await clock.advance(2)

        assert await status_of(house, "GET", "/v1/models", headers=headers) == 200
        assert await status_of(house, "GET", "/v1/models") == 401


async def test_a_key_with_a_name_opens_what_is_bound_elsewhere():
    """API_KEYS need not be set where there is one."""
    async with a_house(WebSettings(host="0.0.0.0"), keys=Stored(ann=KEY)) as house:
        assert await status_of(house, "GET", "/") == 200
        assert await status_of(house, "GET", "/v1/models", headers={"Authorization": f"Bearer {KEY}"}) == 200


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Prefix": "/tern"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "203.0.113.9"},
        {"CF-Connecting-IP": "203.0.113.9"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/page/state", "/page/export", "/metrics"])
async def test_what_a_proxy_passed_on_needs_keys(house, path, header):
    """Without keys a request that came through a proxy is somebody else's; it is refused and says what to set."""
    async with house.http.get(house.url + path, headers=header) as response:
        assert (response.status, "Set API_KEYS" in await response.text()) == (403, True)

    async with a_house(HERE) as keyed:
        assert await status_of(keyed, "GET", path, headers=header | {"Authorization": f"Bearer {KEY}"}) == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("bot.example.org", 200),
        ("Bot.Example.org:443", 200),
        ("127.0.0.1:8080", 200),
        ("evil.example", 421),
        ("bot.example.org.evil.example", 421),
    ],
)
@pytest.mark.parametrize("bound_to", ["127.0.0.1", "0.0.0.0"])
async def test_public_hosts_name_who_may_be_asked_for(bound_to, host, status):
    """Behind a proxy the page answers to the names that are set, and to this machine's own."""
    async with a_house(replace(ELSEWHERE, host=bound_to, public_hosts=("bot.example.org",))) as house:
        headers = {"Host": host, "Authorization": f"Bearer {KEY}"}
        assert await status_of(house, "GET", "/v1/models", headers=headers) == status


async def test_a_public_host_is_the_pages_own_origin():
    """A proxy that does not hand on the Host leaves the browser's Origin with the public name: it is ours."""
    async with a_house(replace(HERE, public_hosts=("bot.example.org",))) as house:
        headers = {"Authorization": f"Bearer {KEY}", "Sec-Fetch-Site": "same-origin"}
        for origin, status in [("https://bot.example.org", 200), ("https://evil.example", 403)]:
            given = headers | {"Origin": origin}
            assert await status_of(house, "POST", "/v1/chat/completions", json=CHAT, headers=given) == status


async def test_guessing_is_braked_by_address():
    """After ten wrong keys an address is not listened to for a minute, but for whoever has shown a right key before."""
    clock = FakeClock()
    async with a_house(HERE, clock=clock) as house:

        async def asks_with(key: str) -> int:
            return await status_of(house, "GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})

        assert await asks_with(KEY) == 200
        assert [await asks_with(f"wrong-{number}") for number in range(10)] == [401] * 10

        assert await asks_with("another-long-key") == 429
        assert await status_of(house, "GET", "/v1/models") == 401
        assert await asks_with(KEY) == 200
        await clock.advance(60)
        assert await asks_with("another-long-key") == 200


def test_the_brake_counts_an_ipv6_network_as_one():
    """A household has 2^64 addresses; another network is not held up, and only so many are remembered."""
    brake = Brake(FakeClock())
    for number in range(10):
        brake.wrong(f"2001:db8:0:1::{number:x}")

    assert brake.wait_s("2001:db8:0:1::ffff") == 60
    assert brake.wait_s("2001:db8:0:2::1") == 0
    for number in range(5_000):
        brake.wrong(f"10.0.{number // 256}.{number % 256}")
    assert brake.wait_s("2001:db8:0:1::ffff") == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/v1/models", "/page/export", "/page/usage", "/metrics", "/readyz", "/favicon.ico"])
async def test_another_site_cannot_make_us_read(house, path, site):
    """A GET that a browser sends for another site is not carried out; a link to the page itself is followed."""
    headers = {"Sec-Fetch-Site": site}

    assert await status_of(house, "GET", path, headers=headers) == 403
    assert await status_of(house, "GET", "/", headers=headers) == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x-anything"])
async def test_packed_bodies_are_refused(house, coding):
    """A body is bounded as it arrives; packed it would be without bound, and nobody's client packs one."""
    headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
    body = gzip.compress(json.dumps(CHAT).encode())

    assert await status_of(house, "POST", "/v1/chat/completions", data=body, headers=headers) == 415


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_origin_cannot_make_requests(house, headers):
    """What a browser sends on behalf of another site is refused, on the page as on the API."""
    assert await status_of(house, "POST", "/v1/chat/completions", json=CHAT, headers=headers) == 403
    assert await status_of(house, "POST", "/page/forget", json={}, headers=headers) == 403
    assert await status_of(house, "DELETE", "/page/conversations/conversation-1", headers=headers) == 403
    assert house.handler.requests == []
    assert house.commands.calls == []


async def test_the_pages_own_origin_may(house):
    """The page's own requests carry our origin and pass."""
    headers = {"Origin": house.url, "Sec-Fetch-Site": "same-origin"}

    assert await status_of(house, "POST", "/v1/chat/completions", json=CHAT, headers=headers) == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_only_json_is_read(house, kind):
    """The content types that a foreign page may send without asking are refused."""
    status = await status_of(
        house, "POST", "/v1/chat/completions", data=json.dumps(CHAT).encode(), headers={"Content-Type": kind}
    )

    assert status == 415


async def test_cors_is_off(house):
    """A preflight gets no permission, and no answer carries one."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with house.http.options(f"{house.url}/v1/chat/completions", headers=headers) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.lower().startswith("access-control")]


async def test_every_answer_carries_the_security_headers(house):
    """Page, API, errors and streams alike."""
    for path in ("/", "/v1/models", "/v1/nothing", "/page/conversations/conversation-1/events", "/healthz"):
        async with house.http.get(house.url + path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert "Server" not in response.headers
            assert "Set-Cookie" not in response.headers


async def test_oversized_headers_are_refused(house):
    """A header beyond the bound is a 400, before any of our code runs."""
    assert await status_of(house, "GET", "/v1/models", headers={"X-Long": "x" * 20_000}) == 400


async def test_assets_are_cached_by_their_content(house):
    """The page names its files under a version; that version may be kept for ever, another may not."""
    async with house.http.get(house.url) as response:
        page = await response.text()
    path = page.split('src="')[1].split('"')[0]
    async with house.http.get(house.url + path) as response:
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["Content-Type"].startswith("text/javascript")
    async with house.http.get(f"{house.url}/assets/old/theme.js") as response:
        assert response.headers["Cache-Control"] == "no-cache"

    for path in ("/assets/x/no.js", "/assets/x/..%2fapp.py", "/assets/x/index.html%00"):
        assert await status_of(house, "GET", path) == 404
