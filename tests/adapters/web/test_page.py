"""The page in a real browser: what a person does, and what they then see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from adapters.web import WebSettings
from core.wording import LOCAL_MODEL
from tests.adapters.web.house import FakeConversations, House, a_house
from tests.adapters.web.stage import AnsweringIntake, ForgettingCommands

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed (apt-get install chromium)"),
]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = """<script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">

[click](javascript:window.hacked=3) ![x](https://tracker.example/pixel.png) <svg onload=window.hacked=4>

```html"><script>window.hacked = 5</script>
<script>window.hacked = 6</script>
</code></pre><img src=x onerror=window.hacked=7>
```

| <b onclick=window.hacked=8>a</b> |
|---|
| <iframe src="javascript:parent.hacked=9"> |
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield launched
        await launched.close()


class Stage:
    """A house that answers, and a page opened on it."""

    def __init__(self, house: House, intake: AnsweringIntake, page: Page) -> None:
        self.house = house
        self.intake = intake
        self.page = page
        self.complaints: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, line: ConsoleMessage) -> None:
        """What the browser complains of; but for its own lines about being offline, which may come late."""
        if line.type in ("error", "warning") and "ERR_INTERNET_DISCONNECTED" not in line.text:
            self.complaints.append(line.text)

    async def ask(self, text: str) -> None:
        await self.page.fill("#question", text)
        await self.page.press("#question", "Enter")

    @property
    def answers(self):
        return self.page.locator(".answer .prose")


@pytest_asyncio.fixture(loop_scope="module")
async def stage(browser: Browser) -> AsyncIterator[Stage]:
    async with _a_stage(browser) as built:
        yield built
        assert built.complaints == []


def _a_stage(browser: Browser, settings: WebSettings | None = None, **context):
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def build() -> AsyncIterator[Stage]:
        conversations = FakeConversations()
        intake = AnsweringIntake(conversations=conversations)
        commands = ForgettingCommands(conversations=conversations)
        async with a_house(settings, intake=intake, commands=commands, conversations=conversations) as house:
            intake.adapter = house.adapter
            opened = await browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **context})
            opened.set_default_timeout(8_000)
            page = await opened.new_page()
            stage = Stage(house, intake, page)
            await page.goto(house.url)
            yield stage
            await opened.close()
            await intake.close()

    return build()


async def test_an_answer_streams_into_the_page_with_its_figures(stage):
    """A question is answered word by word; then model, time to first words, speed and cost stand under the answer."""
    gate = asyncio.Event()
    stage.intake.script = lambda _: ["Hello **wor", gate, "ld**."]

    await stage.ask("hi")
    await expect(stage.answers).to_have_text("Hello **wor")
    await expect(stage.page.locator("#stop")).to_be_visible()
    gate.set()

    await expect(stage.answers.locator("strong")).to_have_text("world")
    await expect(stage.page.locator(".figures")).to_have_text("gpt-oss-20b212 ms to first words968 tokens/s$0.00012")
    await expect(stage.page.locator("#stop")).to_be_hidden()
    await expect(stage.page.locator(".question .said")).to_have_text("hi")


async def test_stop_keeps_what_was_said(stage):
    """Escape stops the answer; what was written stays and says that it was stopped."""
    stage.intake.script = lambda _: ["Half an answer", asyncio.Event()]
    await stage.ask("hi")
    await expect(stage.answers).to_have_text("Half an answer")

    await stage.page.keyboard.press("Escape")

    await expect(stage.page.locator(".badge")).to_have_text("stopped")
    await expect(stage.answers).to_have_text("Half an answer")


async def test_regenerate_replaces_the_answer_in_place(stage):
    """Regenerate writes another answer where the first one stood."""
    stage.intake.script = lambda _: ["First."]
    await stage.ask("hi")
    await expect(stage.answers).to_have_text("First.")
    stage.intake.script = lambda _: ["Second."]

    await stage.page.get_by_role("button", name="Regenerate").click()

    await expect(stage.answers).to_have_text("Second.")
    assert await stage.page.locator(".answer").count() == 1
    assert [pressed.action for pressed in stage.intake.pressed] == ["regenerate"]


async def test_two_conversations_stay_apart_and_survive_a_reload(stage):
    """Each conversation shows its own turns when it is selected; a reload shows the selected one again."""
    await stage.ask("about gulls")
    await expect(stage.answers).to_have_text("You asked: about gulls")
    await stage.page.keyboard.press("Control+k")
    await expect(stage.page.locator("#welcome")).to_be_visible()
    await stage.ask("about terns")
    await expect(stage.answers).to_have_text("You asked: about terns")

    await stage.page.get_by_role("link", name="about gulls").click()
    await expect(stage.answers).to_have_text("You asked: about gulls")
    await stage.page.reload()

    await expect(stage.answers).to_have_text("You asked: about gulls")
    await expect(stage.page.locator("#conversations li")).to_have_count(2)
    await expect(stage.page.locator("#title")).to_have_text("about gulls")


async def test_a_reload_in_mid_answer_shows_what_stands_and_goes_on(stage):
    """Who reloads while an answer grows sees all of it so far, and the rest as it comes."""
    gate = asyncio.Event()
    stage.intake.script = lambda _: ["First half,", gate, " second half."]
    await stage.ask("hi")
    await expect(stage.answers).to_have_text("First half,")

    await stage.page.reload()
    await expect(stage.answers).to_have_text("First half,")
    gate.set()

    await expect(stage.answers).to_have_text("First half, second half.")


async def test_a_second_tab_sees_the_same_conversation(stage):
    """A question asked in one tab and its answer appear in another that has the conversation open."""
    await stage.ask("first")
    await expect(stage.answers).to_have_count(1)
    other = await stage.page.context.new_page()
    await other.goto(stage.page.url)
    await expect(other.locator(".answer .prose")).to_have_text("You asked: first")

    await stage.ask("second")

    await expect(other.locator(".question .said")).to_have_text(["first", "second"])
    await expect(other.locator(".answer .prose")).to_have_text(["You asked: first", "You asked: second"])


async def test_hostile_markdown_runs_nothing_and_loads_nothing(stage):
    """Scripts, event handlers, script links, frames and remote pictures in an answer stay text or become links."""
    requests: list[str] = []
    stage.page.on("request", lambda request: requests.append(request.url))
    stage.intake.script = lambda _: [HOSTILE[:70], HOSTILE[70:]]

    await stage.ask("attack")
    await expect(stage.page.locator(".figures")).to_be_visible()

    assert await stage.page.evaluate("window.hacked") is None
    assert await stage.page.locator(".prose script, .prose img, .prose iframe, .prose svg").count() == 0
    assert await stage.page.locator(".prose [onclick], .prose [onerror], .prose [style]").count() == 0
    assert await stage.page.locator(".prose a").get_attribute("href") == "https://tracker.example/pixel.png"
    assert all(url.startswith((stage.house.url, "blob:")) for url in requests)


async def test_code_is_coloured_and_copied(stage):
    """A code block has colours, a label and a button that copies exactly the code."""
    code = "def f(x):\n    return '<b>'"
    stage.intake.script = lambda _: [f"```python\n{code}\n```\n"]
    await stage.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await stage.ask("code")
    await expect(stage.page.locator(".prose .k-k").first).to_have_text("def")

    await stage.page.get_by_role("button", name="Copy this code").click()
    await expect(stage.page.locator(".copy-code")).to_have_text("Copied")

    assert await stage.page.evaluate("navigator.clipboard.readText()") == code


async def test_copy_takes_the_answers_markdown(stage):
    """Copy puts the answer as the model wrote it on the clipboard."""
    stage.intake.script = lambda _: ["**bold** words"]
    await stage.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await stage.ask("hi")
    await expect(stage.page.locator(".figures")).to_be_visible()

    await stage.page.get_by_role("button", name="Copy", exact=True).click()
    await expect(stage.page.locator(".actions .icon path").first).to_have_attribute("d", "M5 12.5l4.5 4.5L19 7.5")

    assert await stage.page.evaluate("navigator.clipboard.readText()") == "**bold** words"


async def test_a_refused_message_says_why_and_can_be_sent_again(stage):
    """A refusal stands under the question; trying again sends the same message under the same id."""
    stage.intake.refuse = "You have reached your limit. Please come back in 12 seconds."
    await stage.ask("hi")
    await expect(stage.page.locator(".failed span")).to_have_text(stage.intake.refuse)
    stage.intake.refuse = ""

    await stage.page.get_by_role("button", name="Try again").click()

    await expect(stage.answers).to_have_text("You asked: hi")
    assert stage.intake.refused[0].message_id == stage.intake.accepted[0].message_id
    assert await stage.page.locator(".question").count() == 1
    stage.complaints.clear()  # the browser's own line about the 429


async def test_a_waiting_message_says_its_place(stage):
    """A message behind others says how many are before it, until its answer begins."""
    gate = asyncio.Event()
    stage.intake.place = 3
    stage.intake.script = lambda _: [gate, "Now."]
    release = asyncio.Event()
    begin = stage.intake._begin
    stage.intake._begin = lambda *given: asyncio.get_running_loop().create_task(_after(release, begin, given))

    await stage.ask("hi")
    await expect(stage.page.locator(".answer .status")).to_have_text("Queued: 2 messages are before yours.")
    release.set()
    gate.set()

    await expect(stage.answers).to_have_text("Now.")
    await expect(stage.page.locator(".answer .status")).to_be_hidden()


async def _after(release, begin, given) -> None:
    await release.wait()
    begin(*given)


async def test_model_and_persona_are_picked_by_keyboard(stage):
    """The pickers work with arrows and Enter, tell the server and show the choice."""
    await stage.page.get_by_role("button", name="Model").focus()
    for key in ("Enter", "ArrowDown", "ArrowDown", "Enter"):
        await stage.page.keyboard.press(key)
    await expect(stage.page.locator("#pick-model button")).to_have_text("Quality")

    await stage.page.get_by_role("button", name="Persona").focus()
    for key in ("Enter", "ArrowDown", "Enter"):
        await stage.page.keyboard.press(key)
    await expect(stage.page.locator("#pick-persona button")).to_have_text("Pirate")

    assert list(stage.house.commands.choices.values()) == [("quality", "pirate")]


async def test_deleting_a_conversation_forgets_it(stage):
    """Delete asks first, then the conversation is gone from the list and from the screen."""
    await stage.ask("secret plans")
    await expect(stage.page.locator(".figures")).to_be_visible()

    await stage.page.locator("#conversations li").hover()
    await stage.page.get_by_role("button", name="Delete secret plans").click()
    await stage.page.get_by_role("button", name="Delete", exact=True).click()

    await expect(stage.page.locator("#conversations li")).to_have_count(0)
    await expect(stage.page.locator("#welcome")).to_be_visible()
    assert stage.house.commands.calls[-1][0] == "forget"


async def test_help_usage_export_and_forget_me(stage):
    """Help and usage open in a dialog, export is a file, forget me asks first and clears the page."""
    await stage.page.get_by_role("button", name="Help").click()
    await expect(stage.page.locator(".keys")).to_contain_text("Stop the answer")
    await stage.page.keyboard.press("Escape")

    await stage.page.get_by_role("button", name="Usage").click()
    await expect(stage.page.locator("#panel-body")).to_contain_text("3 requests")
    await stage.page.keyboard.press("Escape")

    async with stage.page.expect_download() as waiting:
        await stage.page.get_by_role("button", name="Export everything").click()
    assert (await waiting.value).suggested_filename == "tern-export.json"

    await stage.page.get_by_role("button", name="Forget me").click()
    await stage.page.locator("#panel").get_by_role("button", name="Forget me").click()
    await expect(stage.page.locator(".toast")).to_contain_text("Forgotten")
    assert [call[0] for call in stage.house.commands.calls] == [
        "usage",
        "export",
        "forget",
        "forget",
    ]  # on the page, and over the API


async def test_enter_sends_and_shift_enter_breaks_the_line(stage):
    """Shift and Enter make a new line; Enter alone sends both lines."""
    await stage.page.locator("#question").press_sequentially("one")
    await stage.page.keyboard.press("Shift+Enter")
    await stage.page.keyboard.type("two")
    await stage.page.keyboard.press("Enter")

    await expect(stage.page.locator(".question .said")).to_have_text("one\ntwo")


async def test_a_dropped_connection_is_picked_up_again(stage):
    """When the stream breaks, the page connects again and shows what happened meanwhile."""
    await stage.ask("first")
    await expect(stage.answers).to_have_count(1)

    await stage.page.context.set_offline(True)
    stage.intake.conversations.turns.clear()
    await stage.page.context.set_offline(False)

    await expect(stage.answers).to_have_count(0)


async def test_the_banner_says_that_the_small_local_model_answers(browser):
    """Without a key the page says plainly what answers and what to set."""
    async with _a_stage(browser) as stage:
        await expect(stage.page.locator("#banner")).to_be_hidden()
        stage.house.banner = LOCAL_MODEL
        await stage.page.reload()

        await expect(stage.page.locator("#banner")).to_have_text(LOCAL_MODEL)


async def test_what_the_banner_says_is_not_said_under_the_answer_again(browser):
    """With the banner on top the same sentence under each answer is left out; another one stands."""
    async with _a_stage(browser) as stage:
        stage.house.banner = stage.intake.footer = LOCAL_MODEL
        await stage.page.reload()
        await stage.ask("one")
        await expect(stage.page.locator(".answer .footer")).to_be_hidden()

        stage.intake.footer = "Your message was cut."
        await stage.ask("two")
        await expect(stage.page.locator(".answer .footer").last).to_have_text("Your message was cut.")


async def test_an_uploaded_file_travels_with_the_question(stage):
    """A file put into the composer is kept in the blobs and named in the message."""
    await stage.page.locator("#files").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"low tide at six"}
    )
    await expect(stage.page.locator(".upload.done")).to_contain_text("notes.txt")

    await stage.ask("read this")

    await expect(stage.page.locator(".question .files")).to_have_text("notes.txt")
    [attachment] = stage.intake.accepted[0].attachments
    assert (attachment.name, attachment.kind, attachment.mime) == ("notes.txt", "text", "text/plain")
    assert stage.house.blobs.kept[attachment.ref] == b"low tide at six"


async def test_the_page_asks_once_for_a_key(browser):
    """Bound elsewhere, the page asks for a key, says when it is wrong, keeps a right one over a reload."""
    settings = WebSettings(host="0.0.0.0", api_keys=("a-long-and-random-key",))
    async with _a_stage(browser, settings) as stage:
        field = stage.page.get_by_label("API key")
        await field.fill("wrong")
        await stage.page.get_by_role("button", name="Continue").click()
        await expect(stage.page.get_by_role("alert")).to_contain_text("API key")
        await field.fill("a-long-and-random-key")
        # Nobody types behind an open dialog; a test can, before the page has taken the new key.
        async with stage.page.expect_response(lambda response: "/page/" in response.url and response.ok):
            await stage.page.get_by_role("button", name="Continue").click()
        await stage.ask("hi")
        await expect(stage.answers).to_have_text("You asked: hi")

        await stage.page.reload()

        await expect(stage.answers).to_have_text("You asked: hi")
        assert stage.intake.accepted[0].user.user.startswith("key-")


async def test_late_refusal_of_an_older_key_is_passed_over(browser):
    """A refusal that arrives once a right key was given belongs to the key before it and asks for nothing; what was
    refused stays in sight and can be sent again."""
    settings = WebSettings(host="0.0.0.0", api_keys=("a-long-and-random-key",))
    async with _a_stage(browser, settings) as stage:
        page, held = stage.page, asyncio.Event()

        async def hold_the_first(route):
            if "one" in route.request.post_data:
                await held.wait()
            await route.continue_()

        await page.route("**/messages", hold_the_first)
        await page.get_by_label("API key").fill("a-long-and-random-key")
        async with page.expect_response(lambda response: "/page/" in response.url and response.ok):
            await page.get_by_role("button", name="Continue").click()
        await page.evaluate("localStorage.setItem('tern.key', 'an-older-key')")
        await stage.ask("one")  # its answer is held back; the event stream's refusal asks for the key
        await page.get_by_label("API key").fill("a-long-and-random-key")
        async with page.expect_response(lambda response: "/page/" in response.url and response.ok):
            await page.get_by_role("button", name="Continue").click()

        async with page.expect_response(lambda response: response.status == 401):
            held.set()

        await stage.ask("two")
        await expect(stage.answers).to_have_text("You asked: two")
        await expect(page.locator("#panel")).to_be_hidden()
        await page.locator(".question .failed button").click()
        await expect(stage.answers.filter(has_text="You asked: one")).to_have_count(1)


async def test_phone_width_has_a_drawer_and_no_sideways_scrolling(browser):
    """On a narrow screen the list is a drawer, and even a wide table does not make the page scroll sideways."""
    async with _a_stage(browser, viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True) as stage:
        stage.intake.script = lambda _: ["|" + " wide column |" * 12 + "\n|" + "---|" * 12 + "\n\n`" + "x" * 300 + "`"]
        await stage.page.fill("#question", "hi")
        await stage.page.locator("#send").tap()
        await expect(stage.page.locator(".figures")).to_be_visible()

        assert await stage.page.evaluate("document.documentElement.scrollWidth") == 360
        await expect(stage.page.locator("#sidebar")).to_be_hidden()
        await stage.page.get_by_role("button", name="Conversations").tap()
        await expect(stage.page.get_by_role("link", name="hi")).to_be_visible()
        await stage.page.keyboard.press("Escape")
        await expect(stage.page.locator("#sidebar")).to_be_hidden()


async def test_dark_follows_the_system_and_can_be_chosen(browser):
    """The page is dark where the system is; the button turns it, and the choice outlives a reload."""
    async with _a_stage(browser, color_scheme="dark") as stage:
        paper = "getComputedStyle(document.body).backgroundColor"
        assert await stage.page.evaluate(paper) == "rgb(18, 24, 28)"

        await stage.page.get_by_role("button", name="Dark or light").click()
        await stage.page.reload()

        assert await stage.page.evaluate(paper) == "rgb(251, 251, 248)"
