"""What makes the bot answer, through the real library."""

from __future__ import annotations

from core.incoming import ConversationKey, UserKey
from tests.adapters.discord.conftest import Bot, StartBot


async def test_mention_in_a_channel_is_taken_in(bot: Bot) -> None:
    """A mention becomes a message of its own conversation, the mention removed."""
    asked = await bot.discord.say(bot.channel, bot.ada, "what is a tern?", mention=True)

    incoming = await bot.accepted()

    assert incoming.text == "what is a tern?"
    assert incoming.user == UserKey("discord", "", str(bot.ada.id))
    assert incoming.conversation == ConversationKey("discord", str(bot.guild.id), str(bot.channel.id), str(asked.id))
    assert incoming.speaker == "Ada"
