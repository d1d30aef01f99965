"""The audio routes with the real `openai` and `groq` packages, over the whole house and a strict Groq."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import groq
import openai
import pytest

from adapters.web import WebSettings
from core.domain.requests import TranscribeRequest, Transcript
from tests.adapters.web.house import a_house
from tests.bot.box import Box, keyed, open_box
from tests.core.files import samples
from tests.fakes.llm_api import FakeLlmApi, Heard, Say

CLIP = ("clip.wav", samples.tone(2.0), "audio/wav")


@pytest.fixture
async def api() -> AsyncIterator[FakeLlmApi]:
    async with FakeLlmApi("groq") as fake:
        yield fake


@pytest.fixture
async def box(tmp_path: Path, api: FakeLlmApi) -> AsyncIterator[Box]:
    async with open_box(tmp_path, keyed(api)) as opened:
        yield opened


@pytest.fixture
async def client(box: Box) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{box.app.url}/v1", api_key="any", max_retries=0) as made:
        yield made


async def test_openai_gets_a_transcript(client: openai.AsyncOpenAI, api: FakeLlmApi) -> None:
    """openai's client sends a clip and reads its words; auto means Groq's turbo model."""
    api.hears(Heard("Where do terns sleep?"))

    heard = await client.audio.transcriptions.create(model="auto", file=CLIP, language="en", prompt="birds")

    assert heard.text == "Where do terns sleep?"
    asked = api.requests[-1]
    assert (asked.model, asked.body["language"], asked.body["prompt"]) == ("whisper-large-v3-turbo", "en", "birds")


async def test_groq_gets_a_transcript(box: Box, api: FakeLlmApi) -> None:
    """groq's client looks under /openai/v1 and finds the same."""
    api.hears(Heard("Hello."))

    async with groq.AsyncGroq(base_url=box.app.url, api_key="any", max_retries=0) as client:
        heard = await client.audio.transcriptions.create(model="whisper-large-v3", file=CLIP)

    assert (heard.text, api.requests[-1].model) == ("Hello.", "whisper-large-v3")


async def test_verbose_json_has_times(client: openai.AsyncOpenAI, api: FakeLlmApi) -> None:
    """verbose_json carries language, length and segments as OpenAI's type reads them."""
    api.hears(Heard("One. Two.", segments=({"start": 0.0, "end": 1.0, "text": "One."},)))

    heard = await client.audio.transcriptions.create(
        model="auto", file=CLIP, response_format="verbose_json", timestamp_granularities=["segment"]
    )

    assert (heard.task, heard.language, heard.duration) == ("transcribe", "en", 2.0)
    assert [(segment.start, segment.end, segment.text) for segment in heard.segments or ()] == [(0.0, 1.0, "One.")]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("text", "Hello.\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:02,000\nHello.\n\n"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nHello.\n\n"),
    ],
)
async def test_plain_forms(client: openai.AsyncOpenAI, api: FakeLlmApi, shape: str, expected: str) -> None:
    """text, srt and vtt are what their names say."""
    api.hears(Heard("Hello.", duration_s=2.0))

    heard = await client.audio.transcriptions.create(model="auto", file=CLIP, response_format=shape)  # type: ignore[call-overload]

    assert heard == expected


async def test_words_have_times_where_they_are_asked_for(client: openai.AsyncOpenAI, api: FakeLlmApi) -> None:
    """Granularity word is passed on to Groq, and its words come back."""
    word = {"word": "Hello", "start": 0.1, "end": 0.4}
    body = {"text": "Hello", "language": "en", "duration": 2.0, "segments": [], "words": [word]}
    api.hears(Heard(body=body))

    heard = await client.audio.transcriptions.create(
        model="auto", file=CLIP, response_format="verbose_json", timestamp_granularities=["word"]
    )

    assert [(word.word, word.start, word.end) for word in heard.words or ()] == [("Hello", 0.1, 0.4)]


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_translation_goes_to_the_model_that_translates(client: openai.AsyncOpenAI, api: FakeLlmApi) -> None:
    """openai's client sends whisper-1; whisper-large-v3 translates, as turbo does not."""
    api.hears(Heard("Good day."))

    heard = await client.audio.translations.create(model="whisper-1", file=CLIP)

    assert heard.text == "Good day."
    assert (api.requests[-1].model, api.requests[-1].path.rsplit("/", 1)[1]) == ("whisper-large-v3", "translations")


async def test_silence_is_no_words(client: openai.AsyncOpenAI, api: FakeLlmApi) -> None:
    """A silent recording is an empty text, and no model is asked."""
    silent = ("silence.wav", samples.tone(2.0, amplitude=0), "audio/wav")

    heard = await client.audio.transcriptions.create(model="auto", file=silent)

    assert heard.text == ""
    assert not [one for one in api.requests if "audio" in one.path]


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"model": "auto"}, "file"),
        ({"file": b"x"}, "model"),
        ({"file": b"", "model": "auto"}, "file"),
        ({"file": b"x", "model": "auto", "response_format": "diarized_json"}, "response_format"),
        ({"file": b"x", "model": "auto", "stream": "true"}, "stream"),
        ({"file": b"x", "model": "auto", "language": "Klingon, please"}, "language"),
        ({"file": b"x", "model": "auto", "temperature": "0.7"}, "temperature"),
        ({"file": b"x", "model": "auto", "timestamp_granularities[]": "word"}, "timestamp_granularities"),
        ({"model": "auto", "url": "https://example.org/a.mp3"}, "file"),
    ],
)
async def test_mistakes_name_their_field(box: Box, form: dict[str, str | bytes], param: str) -> None:
    """A wrong form is a 400 in OpenAI's form that names the field; nothing is ignored in silence."""
    body = aiohttp.FormData(default_to_multipart=True)
    for name, value in form.items():
        if isinstance(value, bytes):
            body.add_field(name, value, filename="a.wav", content_type="audio/wav")
        else:
            body.add_field(name, value)
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{box.app.url}/v1/audio/transcriptions", data=body) as response,
    ):
        error = (await response.json())["error"]

    assert (response.status, error["type"], error["param"]) == (400, "invalid_request_error", param)


async def test_unknown_model_and_unplayable_file(client: openai.AsyncOpenAI) -> None:
    """A model nobody knows, a model that cannot hear and a file that is no recording are bad requests."""
    for requested_model, clip in (
        ("ear-9000", CLIP),
        ("openai/gpt-oss-20b", CLIP),
        ("auto", ("a.mp3", b"no sound", "audio/mpeg")),
    ):
        with pytest.raises(openai.BadRequestError):
            await client.audio.transcriptions.create(model=requested_model, file=clip)


async def test_recording_larger_than_a_json_body_is_taken(client: openai.AsyncOpenAI, api: FakeLlmApi) -> None:
    """The limit of JSON bodies does not hold for recordings: nine megabytes are heard."""
    long = ("long.wav", samples.bursts(300, every_s=5.0, pause_s=0.5), "audio/wav")

    heard = await client.audio.transcriptions.create(model="auto", file=long)

    assert len(long[1]) > 9_000_000
    assert heard.text


async def test_limits_hold_for_recordings(tmp_path: Path, api: FakeLlmApi) -> None:
    """What a recording would cost is checked by its length before anything is uploaded: 429 in OpenAI's form."""
    async with (
        open_box(tmp_path, keyed(api), "[limits]\ncost_per_day_usd = 0.0001\n") as box,
        openai.AsyncOpenAI(base_url=f"{box.app.url}/v1", api_key="any", max_retries=0) as client,
    ):
        with pytest.raises(openai.RateLimitError):
            await client.audio.transcriptions.create(model="auto", file=CLIP)

    assert not [one for one in api.requests if "audio" in one.path]


async def test_nobody_can_hear(tmp_path: Path) -> None:
    """Without a key and without a local speech model the sentence says so; a retry would not help."""
    async with (
        open_box(tmp_path, {}) as box,
        openai.AsyncOpenAI(base_url=f"{box.app.url}/v1", api_key="any", max_retries=0) as client,
    ):
        with pytest.raises(openai.BadRequestError, match="hear"):
            await client.audio.transcriptions.create(model="auto", file=CLIP)


async def test_hearing_is_counted_with_its_asker(client: openai.AsyncOpenAI, box: Box, api: FakeLlmApi) -> None:
    """The seconds and their price are in the usage of whoever asked."""
    await client.audio.transcriptions.create(model="auto", file=CLIP)
    async with aiohttp.ClientSession() as http, http.get(f"{box.app.url}/metrics") as response:
        metrics = await response.text()

    assert 'tern_requests_total{kind="transcribe",model="whisper-large-v3-turbo",outcome="ok"} 1.0' in metrics


def question(url: str) -> list[dict[str, object]]:
    return [
        {
            "role": "user",
            "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": url}}],
        }
    ]


async def test_picture_is_turned_and_stripped_before_a_model_sees_it(
    client: openai.AsyncOpenAI, api: FakeLlmApi
) -> None:
    """A data: picture is opened by us: upright, without the phone's name, and sent to the vision model."""
    api.plays("qwen/qwen3.8-27b", Say("A white corner."))
    photo = samples.picture(size=(600, 400), orientation=6)

    answer = await client.chat.completions.create(
        model="auto",
        messages=question(f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}"),  # type: ignore[arg-type]
    )

    sent = api.asked()[-1].body["messages"][-1]["content"][-1]["image_url"]["url"]
    content = base64.b64decode(sent.partition(",")[2])
    assert answer.choices[0].message.content == "A white corner."
    assert b"SecretPhoneMaker" not in content
    assert await asyncio.to_thread(samples.size_of, content) == (400, 600)


@pytest.mark.parametrize("url", ["data:image/png;base64,AAAA", "data:image/png;base64,%%%"])
async def test_picture_that_is_none_is_a_bad_request(client: openai.AsyncOpenAI, api: FakeLlmApi, url: str) -> None:
    """Broken pictures are refused here, before a provider is asked."""
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="auto", messages=question(url))  # type: ignore[arg-type]

    assert refused.value.param == "messages"
    assert api.asked() == []


async def test_address_of_a_picture_is_the_providers_to_fetch(client: openai.AsyncOpenAI, api: FakeLlmApi) -> None:
    """An https address is passed on as it is; this server opens none for a caller."""
    await client.chat.completions.create(model="auto", messages=question("https://example.org/tern.jpg"))  # type: ignore[arg-type]

    assert "https://example.org/tern.jpg" in json.dumps(api.asked()[-1].body)


async def _without_end(part: bytes) -> AsyncIterator[bytes]:
    while True:
        yield part


_SMALL_FIELD = b'--edge\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n'


@pytest.mark.parametrize(
    ("part", "status"),
    [
        (_SMALL_FIELD, 400),
        (_SMALL_FIELD.replace(b"prompt", b"unheard-of"), 400),
        (b'--edge\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n', 400),
        (b"--edge\r\n" + b"X-Head: x\r\n" * 1_000, 400),
        (b"a line before the first edge\r\n", 413),
        (b"x" * 4_096, 400),
    ],
    ids=["small fields", "unknown fields", "files", "heads", "no edge", "no line"],
)
async def test_a_form_without_end_is_bounded(part: bytes, status: int) -> None:
    """Whatever a form goes on with, it is refused after 64 fields or a megabyte beside the recording's limit."""
    async with a_house(replace(WebSettings(), max_audio_bytes=100_000), listener=_Deaf()) as house:
        headers = {"Content-Type": "multipart/form-data; boundary=edge"}
        url = f"{house.url}/v1/audio/transcriptions"
        async with house.http.post(url, data=_without_end(part), headers=headers) as answer:
            assert answer.status == status


async def test_only_known_fields_are_kept() -> None:
    """Fields of 60 KB that nobody asked for are read over."""
    form = aiohttp.FormData(default_to_multipart=True)
    for number in range(15):
        form.add_field(f"field-{number}", "x" * 60_000)
    form.add_field("model", "auto")
    async with (
        a_house(listener=_Deaf()) as house,
        house.http.post(f"{house.url}/v1/audio/transcriptions", data=form) as answer,
    ):
        assert (await answer.json())["error"]["param"] == "file"


async def test_sound_and_files_inside_a_message_are_heard_and_read(client: openai.AsyncOpenAI, api: FakeLlmApi) -> None:
    """input_audio becomes its words; a file its text under its name, a sound sent as a file its words as well."""
    api.hears(Heard("Where do terns sleep?"))
    api.hears(Heard("On the wing?"))
    sound = base64.b64encode(CLIP[1]).decode()
    text = base64.b64encode("Bräuche der Küste".encode()).decode()

    await client.chat.completions.create(
        model="speed",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}},
                    {"type": "file", "file": {"file_data": f"data:text/plain;base64,{text}", "filename": 'a"b.txt'}},
                    {"type": "file", "file": {"file_data": f"data:audio/wav;base64,{sound}", "filename": "b.wav"}},
                ],
            }
        ],
    )

    told = json.dumps(api.asked()[-1].body["messages"], ensure_ascii=False)
    assert "Where do terns sleep?" in told
    assert "Bräuche der Küste" in told
    assert "ab.txt" in told


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "file", "file": {"file_id": "file-1"}}, ".file"),
        ({"type": "file", "file": {"file_data": "!!"}}, ".file.file_data"),
        ({"type": "file", "file": {"file_data": base64.b64encode(b"MZ" + bytes(99)).decode()}}, ".file"),
        ({"type": "file", "file": {"file_data": base64.b64encode(b"%PDF-1.7 torn").decode()}}, ".file"),
        ({"type": "input_audio", "input_audio": {"data": "!!", "format": "wav"}}, ".input_audio.data"),
    ],
)
async def test_parts_that_cannot_be_read_are_refused(box: Box, api: FakeLlmApi, part: object, param: str) -> None:
    """A 400 that names the part; no model is asked."""
    body = {"model": "auto", "messages": [{"role": "user", "content": [part]}]}
    async with aiohttp.ClientSession() as http, http.post(f"{box.app.url}/v1/chat/completions", json=body) as answer:
        error = (await answer.json())["error"]

    assert (answer.status, error["param"]) == (400, f"messages[0].content[0]{param}")
    assert api.asked() == []


class _Deaf:
    async def transcribe(self, request: TranscribeRequest, *, name: str = "") -> Transcript:
        raise AssertionError("nothing was to be heard")
