"""Slash and context-menu commands: what each is called and takes. What they do is the desk's.

Installable to servers and to users (facts/discord.md 1.5); answers that are only the asker's business are private.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any, Protocol

import discord
from discord import app_commands

from core.domain.incoming import Action, UserKey
from core.ports.platform import Commands, Said
from core.ports.storage import NoteStore

log = logging.getLogger(__name__)

MAX_QUESTION = 6_000
"""A slash command's text, facts/discord.md 1.8."""

MAX_CHOICES = 25

FORGET_ALL = "all"
FORGET_HERE = "here"


class Interactions(Protocol):
    """Who carries the commands out: the adapter."""

    async def asked(
        self,
        interaction: discord.Interaction[Any],
        text: str,
        *,
        action: Action,
        private: bool,
        files: tuple[discord.Attachment, ...] = (),
        target: discord.Message | None = None,
        options: dict[str, str] | None = None,
    ) -> None: ...

    async def said(self, interaction: discord.Interaction[Any], name: str, argument: str = "") -> None: ...

    async def offered(self, interaction: discord.Interaction[Any], name: str) -> list[tuple[str, str]]:
        """(id, description) of what an option may be, [] where nothing can be said."""
        ...


def choices(offered: list[tuple[str, str]], typed: str) -> list[app_commands.Choice[str]]:
    """What autocomplete shows for what is typed so far."""
    found = [entry for entry in offered if typed.lower() in f"{entry[0]} {entry[1]}".lower()]
    return [
        app_commands.Choice(name=(f"{name}: {text}" if text else name)[:100], value=name[:100])
        for name, text in found[:MAX_CHOICES]
    ]


def build(tree: app_commands.CommandTree[Any], interactions: Interactions) -> None:
    """Add every command to *tree*."""

    async def models(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return choices(await interactions.offered(interaction, "model"), typed)

    async def personas(interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return choices(await interactions.offered(interaction, "persona"), typed)

    @tree.command(name="ask", description="Ask a question, with a picture or a voice clip if you like")
    @app_commands.describe(
        question="What you want to know",
        image="A picture to ask about",
        voice="A voice clip to listen to",
        private="Only you see the answer",
        model="Who answers; auto chooses",
    )
    @app_commands.autocomplete(model=models)
    async def ask(
        interaction: discord.Interaction[Any],
        question: app_commands.Range[str, 1, MAX_QUESTION],
        image: discord.Attachment | None = None,
        voice: discord.Attachment | None = None,
        private: bool = False,
        model: str | None = None,
    ) -> None:
        await interactions.asked(
            interaction,
            question,
            action="ask",
            private=private,
            files=tuple(file for file in (image, voice) if file is not None),
            options={"model": model} if model else {},
        )

    @tree.command(name="model", description="Choose which model answers you, or see who does")
    @app_commands.describe(name="auto, speed, quality or a model's id")
    @app_commands.autocomplete(name=models)
    async def model(interaction: discord.Interaction[Any], name: str = "") -> None:
        await interactions.said(interaction, "model", name)

    @tree.command(name="persona", description="Choose how you are answered, or see how you are")
    @app_commands.describe(name="One of the personas")
    @app_commands.autocomplete(name=personas)
    async def persona(interaction: discord.Interaction[Any], name: str = "") -> None:
        await interactions.said(interaction, "persona", name)

    @tree.command(name="usage", description="See what you have used")
    async def usage(interaction: discord.Interaction[Any]) -> None:
        await interactions.said(interaction, "usage")

    scope = [
        app_commands.Choice(name="everything about me", value=FORGET_ALL),
        app_commands.Choice(name="this thread or direct message", value=FORGET_HERE),
    ]

    @tree.command(name="forget", description="Delete what is stored")
    @app_commands.describe(what="How much to delete; it cannot be undone")
    @app_commands.choices(what=scope)
    async def forget(interaction: discord.Interaction[Any], what: str) -> None:
        await interactions.said(interaction, "forget", what)

    @tree.command(name="stop", description="End the answers you are being given here")
    async def stop(interaction: discord.Interaction[Any]) -> None:
        await interactions.said(interaction, "stop")

    @tree.command(name="export", description="Get everything that is stored about you, as a file")
    async def export(interaction: discord.Interaction[Any]) -> None:
        await interactions.said(interaction, "export")

    @tree.command(name="help", description="What I can do")
    async def help_(interaction: discord.Interaction[Any]) -> None:
        await interactions.said(interaction, "help")

    @tree.context_menu(name="Explain this")
    async def explain(interaction: discord.Interaction[Any], message: discord.Message) -> None:
        await interactions.asked(interaction, "", action="explain", private=True, target=message)

    @tree.context_menu(name="Summarise from here")
    async def summarise(interaction: discord.Interaction[Any], message: discord.Message) -> None:
        await interactions.asked(interaction, "", action="summarise", private=True, target=message)

    @tree.context_menu(name="Transcribe")
    async def transcribe(interaction: discord.Interaction[Any], message: discord.Message) -> None:
        await interactions.asked(interaction, "", action="transcribe", private=True, target=message)

    @tree.context_menu(name="Transcribe with times")
    async def transcribe_with_times(interaction: discord.Interaction[Any], message: discord.Message) -> None:
        timed = {"verbose": "on"}
        await interactions.asked(interaction, "", action="transcribe", private=True, target=message, options=timed)

    @tree.context_menu(name="Extract ...")
    async def extract(interaction: discord.Interaction[Any], message: discord.Message) -> None:
        await interactions.asked(interaction, "", action="extract", private=True, target=message)

    everywhere = app_commands.AppInstallationType(guild=True, user=True)
    contexts = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True)
    for command in (*tree.get_commands(),):
        command.allowed_installs = everywhere
        command.allowed_contexts = contexts


ORDERS = ("ask", "model", "persona", "usage", "stop", "forget", "export", "help")
"""The slash commands, in the order of the help; `build` registers the same."""


async def carry_out(commands: Commands, name: str, argument: str, user: UserKey, here: Any, channel: str) -> Said:
    """Do what a private command says. Raises RequestError and StorageError."""
    match name:
        case "model" if argument:
            return await commands.set_model(user, argument)
        case "persona" if argument:
            return await commands.set_persona(user, argument)
        case "model":
            offered = dict(await commands.models())
            requested_model = (await commands.choice(user))[0]
            return Said(_list(requested_model, offered))
        case "persona":
            offered = dict(await commands.personas())
            return Said(_list((await commands.choice(user))[1], offered))
        case "usage":
            return await commands.usage(user)
        case "forget":
            return await commands.forget(user, here if argument == FORGET_HERE else None)
        case "export":
            return await commands.export(user)
        case "stop":
            return await commands.stop(user, channel=channel)
    return commands.help("discord", ORDERS)


def _list(chosen: str, offered: dict[str, str]) -> str:
    return "\n".join(
        f"- {'**' + name + '**' if name == chosen else name}{': ' + text if text else ''}"
        for name, text in offered.items()
    )


async def sync(client: discord.AutoShardedClient, tree: app_commands.CommandTree[Any], notes: NoteStore) -> bool:
    """Tell Discord about the commands where they changed since the last time; returns whether it did.

    A sync replaces the whole list and new commands count to 200 a day (facts/discord.md 1.5): never without need,
    never in on_ready. Failing is a warning: the old commands go on working.
    """
    payload = [command.to_dict(tree) for command in tree.get_commands()]
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    key = f"discord:commands:{client.application_id}"
    if await notes.get(key) == digest:
        return False
    try:
        await tree.sync()
    except (discord.HTTPException, app_commands.AppCommandError) as error:
        log.warning("the slash commands could not be registered; trying again at the next start: %s", error)
        return False
    await notes.set(key, digest)
    return True
