"""The fake as an HTTP server on 127.0.0.1, port chosen by the system."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import struct
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from core.base.clock import Clock
from tests.fakes.llm_api import windows
from tests.fakes.llm_api.batches import Batches
from tests.fakes.llm_api.chunks import Chunks, said
from tests.fakes.llm_api.refusals import bad_request, model_not_found, rate_limited, too_large, unauthorised
from tests.fakes.llm_api.rules import (
    GROQ_MODELS,
    LOCAL_MODELS,
    OPENAI_MODELS,
    FakeModel,
    Flavour,
    output_tokens,
    prompt_tokens,
    refused,
)
from tests.fakes.llm_api.scripts import Cut, Disconnect, Fail, Say, Script, Stall, Strange

KEY = "the-key-of-the-fake"
"""The one key that is accepted."""

_MODELS = {"groq": GROQ_MODELS, "openai": OPENAI_MODELS, "local": LOCAL_MODELS}
_PREFIX = {"groq": "/openai/v1", "openai": "/v1", "local": "/v1"}
_AUDIO_FIELDS = {
    *("file", "model", "language", "prompt", "response_format", "temperature", "url", "timestamp_granularities[]"),
}
_AUDIO_ENDINGS = {"flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"}


_log = logging.getLogger(__name__)
_log.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], _Leaving)))


class _Leaving(ConnectionResetError):
    """The fake ends while an answer waits: no error of anybody's."""


@dataclass(slots=True)
class Recorded:
    """One request and how it ended."""

    path: str
    body: Any
    headers: Mapping[str, str]
    model: str = ""
    status: int = 0
    prompt_tokens: int = 0
    reported: bool = False
    """Whether the client was told what the request used."""
    refusal: str = ""
    """Message of a refusal that no script asked for: the request was wrong, or a window full."""
    tokens_sent: int = 0
    began_at: float = 0.0
    """Loop time."""
    refused_at: float = 0.0
    """Loop time at which it was answered with a 429, 0 otherwise."""
    refused_for: str = ""
    """What that 429 says was used up: "TPM" ..."""
    wait_s: float = 0.0
    """How long that 429 told the client to wait, 0 where it did not say."""
    peer_port: int = 0
    hung_up: bool = False
    """Whether the client closed the connection before the end."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the next transcription says; `body` replaces the whole answer."""

    text: str = ""
    language: str = "en"
    duration_s: float = 3.0
    segments: tuple[dict[str, Any], ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)


class FakeLlmApi:
    """One provider's API; an async context manager.

    Args:
        flavour: Whose rules and paths: "groq", "openai" or "local".
        plan: Whose limits Groq counts by: "developer" (hardly ever in the way) or "free".
        clock: Moves the limits' windows; the machine's own by default.
    """

    def __init__(self, flavour: Flavour = "groq", *, plan: str = "developer", clock: Clock | None = None) -> None:
        self.flavour: Flavour = flavour
        self.models: dict[str, FakeModel] = {model.id: model for model in _MODELS[flavour]}
        self.key = KEY
        self.default: Script = Say("All right.")
        self.requests: list[Recorded] = []
        self.limits: dict[str, Mapping[str, int]] = {}
        """Model id -> its windows, where they differ from the plan's."""
        self.dead: set[str] = set()
        """Models that vanish from the list and answer 404 from now on."""
        self._plan = plan
        self._scripts: dict[str, deque[Script]] = defaultdict(deque)
        self._answer: Callable[[dict[str, Any]], Script | None] = lambda body: None
        self._hearings: deque[Heard | Fail] = deque()
        self.batches = Batches(self._in_a_batch)
        """Groq's Batch API; a line is answered by the same scripts, whole."""
        self._windows = windows.Windows(self._limits_of, clock.monotonic if clock else time.monotonic)
        self._runner: web.AppRunner | None = None
        self._leaving = asyncio.Event()
        self.port = 0

    # --- scripting ---

    def plays(self, model: str, *scripts: Script) -> None:
        """Queue what *model* ("*": whichever is asked) does with its next requests."""
        self._scripts[model].extend(scripts)

    def answers(self, answer: Callable[[dict[str, Any]], Script | None]) -> None:
        """Decide by the request's body; None leaves it to the queues and the default."""
        self._answer = answer

    def hears(self, *hearings: Heard | Fail) -> None:
        """Queue what the next transcriptions give."""
        self._hearings.extend(hearings)

    def asked(self, model: str | None = None) -> list[Recorded]:
        """The chat requests so far, of one model or of all."""
        chats = [one for one in self.requests if one.path.endswith("/chat/completions")]
        return [one for one in chats if model in (None, one.model)]

    @property
    def base_url(self) -> str:
        """What GROQ_BASE_URL, OPENAI_BASE_URL or LOCAL_MODEL would be."""
        root = f"http://127.0.0.1:{self.port}"
        return root if self.flavour == "groq" else root + _PREFIX[self.flavour]

    # --- life ---

    async def __aenter__(self) -> Self:
        prefix = _PREFIX[self.flavour]
        app = web.Application(client_max_size=200_000_000)
        app.router.add_post(prefix + "/chat/completions", self._chat)
        app.router.add_get(prefix + "/models", self._list)
        app.router.add_post(prefix + "/audio/transcriptions", self._hear)
        app.router.add_post(prefix + "/audio/translations", self._hear)
        app.router.add_post(prefix + "/audio/speech", self._speak)
        if self.flavour == "groq":
            app.router.add_post(prefix + "/files", self._upload)
            app.router.add_get(prefix + "/files/{id}/content", self._download)
            app.router.add_post(prefix + "/batches", self._make_batch)
            app.router.add_get(prefix + "/batches/{id}", self._look_at_batch)
        app.router.add_route("*", "/{rest:.*}", self._unknown_url)
        self._runner = web.AppRunner(app, access_log=None, logger=_log, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._leaving.set()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- chat ---

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        record = await self._recorded(request)
        if (refusal := self._refusal(request, record)) is not None:
            return self._refuse(record, refusal, scripted=False)
        body: dict[str, Any] = record.body
        script = self._answer(body) or self._next(record.model)
        model = self.models.get(record.model) or FakeModel(record.model, 8_192, 8_192)
        prompt, output = prompt_tokens(body), output_tokens(body, model)
        record.prompt_tokens = prompt
        if self.flavour == "groq" and (full := self._windows.take(record.model, prompt=prompt, output=output)):
            return self._refuse(record, self._window_full(record.model, full), scripted=False)
        match script:
            case Fail():
                self._windows.give_back(record.model, prompt=prompt, output=output)
                return self._refuse(record, script, scripted=True)
            case Disconnect():
                return self._hang_up(request)
            case Strange():
                record.status = 200
                return web.Response(body=script.body, content_type=script.content_type, headers=self._headers(record))
            case _:
                pass
        try:
            if body.get("stream"):
                return await self._stream(request, record, script, prompt)
            return await self._whole(request, record, script, prompt)
        finally:
            self._windows.give_back(record.model, prompt=0, output=max(0, output - record.tokens_sent))

    async def _stream(
        self, request: web.Request, record: Recorded, script: Say | Cut | Stall, prompt: int
    ) -> web.StreamResponse:
        chunks = Chunks(self.flavour, record.model, self._request_id())
        response = web.StreamResponse(headers={**self._headers(record), "content-type": "text/event-stream"})
        record.status = 200
        if isinstance(script, Say) and script.headers:
            response.headers.update(script.headers)
        await response.prepare(request)
        try:
            if isinstance(script, Say) and script.first_after_s:
                await self._wait(script.first_after_s)
            await response.write(chunks.role())
            if not isinstance(script, Stall) and script.reasoning:
                await response.write(chunks.reasoning(script.reasoning))
            await self._write_tokens(response, record, script, chunks)
            return await self._end_stream(request, response, record, script, chunks, prompt)
        except (ConnectionError, asyncio.CancelledError):
            record.hung_up = True
            raise

    async def _write_tokens(
        self, response: web.StreamResponse, record: Recorded, script: Say | Cut | Stall, chunks: Chunks
    ) -> None:
        tokens = said(script)
        burst = 1 if isinstance(script, Stall) else script.burst
        pace_s = 0.0
        if not isinstance(script, Stall) and script.tokens_per_s:
            pace_s = burst / script.tokens_per_s
        for start in range(0, len(tokens), burst):
            group = tokens[start : start + burst]
            await response.write(b"".join(map(chunks.text, group)))
            record.tokens_sent += len(group)
            await self._wait(pace_s)

    async def _end_stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        record: Recorded,
        script: Say | Cut | Stall,
        chunks: Chunks,
        prompt: int,
    ) -> web.StreamResponse:
        match script:
            case Say():
                for piece in chunks.calls(list(script.calls)):
                    await response.write(piece)
                if script.finish != "none":
                    asked = bool(record.body.get("stream_options", {}).get("include_usage"))
                    usage = _usage(script, prompt, record.tokens_sent) if script.usage else None
                    await response.write(chunks.end(_finish(script), usage, asked_for_usage=asked))
                    record.reported = usage is not None
            case Stall():
                while not self._leaving.is_set():
                    if script.keepalive:
                        await response.write(b": keep-alive\n\n")
                    await self._wait(0.05 if script.keepalive else 3_600.0)
            case Cut(how="socket"):
                await asyncio.sleep(0)
                return self._hang_up(request)
            case Cut(how="half"):
                await self._close_half(request)
                return response
            case Cut(how="error_event"):
                await response.write(chunks.error_event(dict(script.error)))
            case Cut(how="x_groq_error"):
                await response.write(chunks.x_groq_error(str(script.error.get("message", "over capacity"))))
            case Cut(how="garbage"):
                await response.write(b'data: {"id":"chatcmpl-1","choices":[{"ind\n\n')
            case Cut():
                pass
        await response.write_eof()
        return response

    async def _whole(
        self, request: web.Request, record: Recorded, script: Say | Cut | Stall, prompt: int
    ) -> web.StreamResponse:
        if isinstance(script, Stall):
            await self._wait(3_600.0)
        if not isinstance(script, Say):
            return self._hang_up(request)
        await self._wait(script.first_after_s)
        record.tokens_sent = len(script.pieces)
        answer = self._completion(script, record.model, prompt)
        record.reported = script.usage
        record.status = 200
        return web.json_response(answer, headers={**self._headers(record), **script.headers})

    def _completion(self, script: Say, model: str, prompt: int) -> dict[str, Any]:
        """A whole chat completion."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(script.pieces)}
        if script.reasoning:
            message["reasoning_content" if self.flavour == "local" else "reasoning"] = script.reasoning
        if script.calls:
            message["tool_calls"] = [
                {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for index, (name, arguments) in enumerate(script.calls)
            ]
        request_id = self._request_id()
        return {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion",
            "created": 1_795_000_000,
            "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(script)}],
            "usage": _usage(script, prompt, len(script.pieces)) if script.usage else None,
            **({"x_groq": {"id": request_id}} if self.flavour == "groq" else {}),
        }

    # --- the other routes ---

    async def _list(self, request: web.Request) -> web.Response:
        record = await self._recorded(request)
        if not self._known_key(request):
            return self._refuse(record, unauthorised(), scripted=False)
        alive = [model for model in self.models.values() if model.id not in self.dead]
        return web.json_response({"object": "list", "data": [self._listed(model) for model in alive]})

    def _listed(self, model: FakeModel) -> dict[str, Any]:
        """Groq lists far more than its SDK types (facts/groq.md 1b); OpenAI only this and a shutdown date."""
        plain = {"id": model.id, "object": "model", "created": 1_790_000_000, "owned_by": model.id.split("/")[0]}
        if self.flavour != "groq":
            return plain | ({"shutdown_date": None} if self.flavour == "openai" else {})
        features = ["tools", "json_mode", *(["structured_outputs"] if model.schema else [])]
        return plain | {
            "active": True,
            "context_window": model.context,
            "context_length": model.context,
            "max_completion_tokens": model.max_output,
            "max_output_length": model.max_output,
            "input_modalities": ["text", *(["image"] if model.sees else [])],
            "output_modalities": ["text"],
            "pricing": dict(model.price),
            "supported_features": features,
            "public_apps": None,
        }

    async def _hear(self, request: web.Request) -> web.StreamResponse:
        record = Recorded(request.path, {}, dict(request.headers))
        self.requests.append(record)
        form = await request.post()
        file = form.get("file")
        record.model = str(form.get("model", ""))
        record.body = {name: value for name, value in form.items() if name != "file"}
        if not self._known_key(request):
            return self._refuse(record, unauthorised(), scripted=False)
        refusal = self._bad_audio(request, record, file)
        if refusal is not None:
            return self._refuse(record, refusal, scripted=False)
        assert isinstance(file, web.FileField)
        content = file.file.read()
        record.body["file"] = {"name": file.filename, "type": file.content_type, "bytes": len(content)}
        if len(content) > 25_000_000:  # facts/groq.md 2: 25 MB by attachment on every plan
            return self._refuse(record, Fail(413, {"error": {"message": "file too large"}}), scripted=False)
        heard = self._hearings.popleft() if self._hearings else Heard("Hello from the fake.")
        if isinstance(heard, Fail):
            return self._refuse(record, heard, scripted=True)
        record.status = 200
        return web.json_response(_transcription(heard, record.body), headers=self._headers(record))

    def _bad_audio(self, request: web.Request, record: Recorded, file: object) -> Fail | None:
        model = self.models.get(record.model)
        if model is None or not model.audio or record.model in self.dead:
            return model_not_found(record.model)
        if not isinstance(file, web.FileField):
            return bad_request("one of `file` or `url` must be provided", param="file")
        unknown = sorted(
            set(record.body) - _AUDIO_FIELDS - ({"languages", "keywords"} if self.flavour == "openai" else set())
        )
        if unknown:
            return bad_request(f"unknown field {unknown[0]}", param=unknown[0])
        if file.filename.rpartition(".")[2].lower() not in _AUDIO_ENDINGS:
            return bad_request("file must be one of flac mp3 mp4 mpeg mpga m4a ogg wav webm", param="file")
        if request.path.endswith("/translations") and record.model != "whisper-large-v3":
            return bad_request(f"model `{record.model}` does not support translation", param="model")
        style = record.body.get("response_format", "json")
        if style not in (("json", "text") if self.flavour == "openai" else ("json", "verbose_json", "text")):
            return bad_request(f"response_format {style} is not supported", param="response_format")
        if len(str(record.body.get("prompt", ""))) > 224 * 4:
            return bad_request("prompt is longer than 224 tokens", param="prompt")
        return None

    async def _speak(self, request: web.Request) -> web.StreamResponse:
        record = await self._recorded(request)
        if not self._known_key(request):
            return self._refuse(record, unauthorised(), scripted=False)
        model = self.models.get(record.model)
        if model is None or not model.speech:
            return self._refuse(record, model_not_found(record.model), scripted=False)
        body = record.body
        if not body.get("voice") or not body.get("input"):
            return self._refuse(record, bad_request("`voice` and `input` are required"), scripted=False)
        if body.get("response_format") != "wav":
            return self._refuse(record, bad_request("`response_format` must be one of [wav]"), scripted=False)
        if len(body["input"]) > 200:  # seen in user code only (facts/groq.md 9)
            return self._refuse(record, bad_request("input exceeds 200 characters", param="input"), scripted=False)
        record.status = 200
        return web.Response(body=_wav(len(body["input"])), content_type="audio/wav", headers=self._headers(record))

    async def _upload(self, request: web.Request) -> web.Response:
        record = Recorded(request.path, {}, dict(request.headers))
        self.requests.append(record)
        form = await request.post()
        file = form.get("file")
        content = file.file.read() if isinstance(file, web.FileField) else b""
        return self._batch_answer(request, record, self.batches.upload(str(form.get("purpose")), content))

    async def _make_batch(self, request: web.Request) -> web.Response:
        record = await self._recorded(request)
        return self._batch_answer(request, record, self.batches.create(record.body))

    async def _look_at_batch(self, request: web.Request) -> web.Response:
        record = await self._recorded(request)
        return self._batch_answer(request, record, self.batches.look(request.match_info["id"]))

    async def _download(self, request: web.Request) -> web.Response:
        record = await self._recorded(request)
        content = self.batches.files.get(request.match_info["id"])
        if content is None or not self._known_key(request):
            return self._batch_answer(request, record, None)
        record.status = 200
        return web.Response(body=content, content_type="application/jsonl")

    def _batch_answer(
        self, request: web.Request, record: Recorded, answer: Mapping[str, Any] | Fail | None
    ) -> web.Response:
        if not self._known_key(request):
            return self._refuse(record, unauthorised(), scripted=False)
        if answer is None or isinstance(answer, Fail):
            gone = Fail(404, {"error": {"message": "not found", "type": "invalid_request_error"}})
            return self._refuse(record, answer or gone, scripted=False)
        record.status = 200
        return web.json_response(answer)

    def _in_a_batch(self, body: dict[str, Any]) -> Mapping[str, Any] | Fail:
        if (refusal := refused(body, self.flavour, self.models)) is not None:
            return refusal
        script = self._answer(body) or self._next(str(body["model"]))
        if isinstance(script, Fail):
            return script
        assert isinstance(script, Say)
        return self._completion(script, str(body["model"]), prompt_tokens(body))

    async def _unknown_url(self, request: web.Request) -> web.Response:
        record = await self._recorded(request)
        message = f"Unknown request URL: {request.method} {request.path}. Please check the URL for typos."
        body = {"error": {"message": message, "type": "invalid_request_error", "code": "unknown_url"}}
        return self._refuse(record, Fail(404, body), scripted=False)

    # --- what they share ---

    async def _recorded(self, request: web.Request) -> Recorded:
        raw = await request.read()
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            body = None
        model = str(body.get("model", "")) if isinstance(body, dict) else ""
        record = Recorded(request.path, body, dict(request.headers), model, peer_port=_peer_port(request))
        record.began_at = asyncio.get_running_loop().time()
        self.requests.append(record)
        return record

    def _refusal(self, request: web.Request, record: Recorded) -> Fail | None:
        if not self._known_key(request):
            return unauthorised()
        if record.model in self.dead:
            return model_not_found(record.model)
        return refused(record.body, self.flavour, self.models)

    def _known_key(self, request: web.Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def _next(self, model: str) -> Script:
        for name in (model, "*"):
            if self._scripts[name]:
                return self._scripts[name].popleft()
        return self.default

    def _limits_of(self, model: str) -> Mapping[str, int]:
        if model in self.limits:
            return self.limits[model]
        if self._plan == "free":
            return windows.FREE_VISION if model.startswith("qwen/") else windows.FREE
        return windows.DEVELOPER

    def _window_full(self, model: str, full: windows.Full) -> Fail:
        if full.wait_s is None:
            return too_large(full.kind, model=model, limit=full.limit, requested=full.requested)
        wait = windows.go_duration(full.wait_s)
        used = full.used
        return rate_limited(full.kind, model=model, limit=full.limit, used=used, requested=full.requested, wait=wait)

    def _headers(self, record: Recorded) -> dict[str, str]:
        headers = {"x-request-id": self._request_id()}
        if self.flavour == "groq":
            headers |= {"x-groq-region": "us-west-1", **self._windows.headers(record.model)}
        return headers

    def _request_id(self) -> str:
        return f"req_{len(self.requests):08d}"

    def _refuse(self, record: Recorded, refusal: Fail, *, scripted: bool) -> web.Response:
        record.status = refusal.status
        if not scripted:
            inner = refusal.body.get("error", {}) if isinstance(refusal.body, Mapping) else {}
            record.refusal = str(inner.get("message", refusal.body))
        headers = {**self._headers(record), **refusal.headers}
        if refusal.status == 429 and str(headers.get("retry-after", "")).isdigit():
            record.refused_at, record.wait_s = asyncio.get_running_loop().time(), float(headers["retry-after"])
            kind = re.search(r"\(([A-Z]+)\)", str(refusal.body))
            record.refused_for = kind[1] if kind else ""
        if isinstance(refusal.body, str):
            return web.Response(status=refusal.status, text=refusal.body, content_type="text/html", headers=headers)
        return web.json_response(refusal.body, status=refusal.status, headers=headers)

    @staticmethod
    def _hang_up(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.close()
        return web.Response()

    async def _close_half(self, request: web.Request) -> None:
        """Send the end of the connection, but not of the body; then wait for the client to leave."""
        transport = request.transport
        if transport is None:
            return
        transport.write_eof()
        while not transport.is_closing():
            await self._wait(0.05)

    async def _wait(self, seconds: float) -> None:
        """Wait, but not beyond the fake's own end."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            await asyncio.wait_for(self._leaving.wait(), seconds)
        except TimeoutError:
            return
        raise _Leaving


def _peer_port(request: web.Request) -> int:
    """Equal for two requests on one connection."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return int(peer[1]) if peer else 0


def _finish(script: Say) -> str:
    return script.finish or ("tool_calls" if script.calls else "stop")


def _usage(script: Say, prompt: int, said_tokens: int) -> dict[str, Any]:
    thought = len(script.reasoning) // 4
    return {
        "queue_time": 0.001,
        "prompt_tokens": prompt,
        "prompt_time": 0.01,
        "completion_tokens": said_tokens + thought,
        "completion_time": 0.1,
        "total_tokens": prompt + said_tokens + thought,
        "total_time": 0.11,
        **({"prompt_tokens_details": {"cached_tokens": script.cached_tokens}} if script.cached_tokens else {}),
        **({"completion_tokens_details": {"reasoning_tokens": thought}} if thought else {}),
    }


def _transcription(heard: Heard, asked: Mapping[str, Any]) -> Any:
    if heard.body:
        return dict(heard.body)
    if asked.get("response_format", "json") != "verbose_json":
        return {"text": heard.text, "x_groq": {"id": "req_audio"}}
    segments = heard.segments or ({"id": 0, "start": 0.0, "end": heard.duration_s, "text": heard.text},)
    doubts = {"no_speech_prob": 0.01, "avg_logprob": -0.2, "compression_ratio": 1.1, "tokens": [], "temperature": 0}
    return {
        "task": "transcribe",
        "language": heard.language,
        "duration": heard.duration_s,
        "text": heard.text,
        "segments": [{**doubts, **segment} for segment in segments],
        "x_groq": {"id": "req_audio"},
    }


def _wav(seconds_tenth: int) -> bytes:
    """Silence, 16 kHz mono."""
    samples = b"\0\0" * 1_600 * max(1, seconds_tenth // 10)
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(samples),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        16_000,
        32_000,
        2,
        16,
        b"data",
        len(samples),
    )
    return header + samples
