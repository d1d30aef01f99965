"""What an operator may set about the page and the API; bot/config/mapping.py fills it in."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where to listen, who may enter, and what a single caller may take."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 lets the system choose; `WebServer.url` then tells."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    public_hosts: tuple[str, ...] = ()
    """Names under which a proxy offers this server ("bot.example.org", without a port): what may stand in Host and
    Origin beside this machine's own names. Where they are set, no other name is answered to."""
    max_body_bytes: int = 8 * 1024 * 1024
    """Of one API request. Groq takes 4 MB of base64 pictures, so this is room for those and a long history."""
    max_message_chars: int = 400_000
    """Of one message typed into the page; the models' own limits cut earlier, with a notice."""
    max_upload_bytes: int = 25 * 1024 * 1024
    """Of one file dropped on the page: Groq's audio limit on the free tier (facts/groq.md 2, read 2026-11-22)."""
    max_audio_bytes: int = 100 * 1024 * 1024
    """Of one recording sent to the API: Groq's limit on its paid tier; longer ones are cut in the pauses anyway."""
    upload_timeout_s: float = 300.0
    """How long a recording or a file may take to arrive."""
    audio_deadline_s: float = 600.0
    """How long hearing one may take; openai's client waits as long (facts/groq.md 5)."""
    api_deadline_s: float = 120.0
    """How long one API request may take from its arrival to its last word."""
    max_streams: int = 256
    """Open answers and page connections at once, over all callers."""
    max_streams_per_key: int = 32
    max_connections: int = 1_000
    """Open sockets in all; beyond, the one that has done nothing for longest is closed. Less where the system lets the
    process open fewer files."""
    max_connections_per_address: int = 400
    """Of one address. Everybody behind a proxy has the same one, so it is above `max_streams`."""
    write_timeout_s: float = 30.0
    """A reader who takes nothing for this long is let go."""
    first_request_s: float = 30.0
    """A connection on which no whole request head came by then is let go; browsers open some ahead of need."""
    keepalive_s: float = 10.0
    """Silence on a stream is broken by a comment line this often, so that no proxy cuts it."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def off_because(self) -> str:
        """Why page, API and metrics are off; empty when they are on."""
        if self.loopback or self.api_keys:
            return ""
        return (
            f"The server is bound to {self.host}, which others can reach, and API_KEYS is not set. "
            "Set API_KEYS to one or more long random keys, separated by commas, make one with "
            "`python -m bot keys add NAME`, or bind HOST=127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether *host* names this machine alone; an unknown name counts as reachable by others."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
