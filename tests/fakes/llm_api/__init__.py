"""A strict stand-in for Groq's, OpenAI's and a local server's API on 127.0.0.1.

    async with FakeLlmApi("groq") as groq:
        groq.plays("openai/gpt-oss-20b", Say("Hello there."), Cut("A long answer ...", after=5), rate_limited("TPM"))
        provider = GroqProvider(KEY, base_url=groq.base_url)

Each request takes the next script of its model ("*" for any model); with none left the model says `default`. It refuses
what the API refuses, counts what it counts and sends the headers it sends; every request is in `requests`.
"""

from tests.fakes.llm_api.refusals import (
    bad_request,
    busy,
    decommissioned,
    forbidden,
    html_page,
    json_validate_failed,
    model_not_found,
    output_parse_failed,
    over_capacity,
    rate_limited,
    spend_limit,
    too_large,
    tool_use_failed,
    unauthorised,
    unprocessable,
)
from tests.fakes.llm_api.scripts import Cut, Disconnect, Fail, Say, Script, Stall, Strange
from tests.fakes.llm_api.server import KEY, FakeLlmApi, Heard, Recorded

__all__ = [
    "KEY",
    "Cut",
    "Disconnect",
    "Fail",
    "FakeLlmApi",
    "Heard",
    "Recorded",
    "Say",
    "Script",
    "Stall",
    "Strange",
    "bad_request",
    "busy",
    "decommissioned",
    "forbidden",
    "html_page",
    "json_validate_failed",
    "model_not_found",
    "output_parse_failed",
    "over_capacity",
    "rate_limited",
    "spend_limit",
    "too_large",
    "tool_use_failed",
    "unauthorised",
    "unprocessable",
]
