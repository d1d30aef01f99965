"""The allow-list: who may ask, and where. Pure; ids only, since names are anybody's to choose."""

from __future__ import annotations

from adapters.slack.events import Me
from adapters.slack.settings import SlackSettings
from adapters.slack.users import Person, is_external


def needs_person(settings: SlackSettings) -> bool:
    """Whether the decision needs to know more than ids."""
    return not (settings.allow_external and settings.allow_guests)


def refusal(settings: SlackSettings, me: Me, person: Person, *, channel: str, direct: bool, team: str = "") -> str:
    """Why this person may not ask here, as half a sentence for the asker; "" where they may.

    Somebody Slack tells us nothing about counts as a stranger: nobody outside the allowed circle spends tokens.
    """
    if settings.allow_channels and not direct and channel not in settings.allow_channels:
        return "this channel is not on my list"
    if person.id not in settings.allow_by_channel.get(channel, {person.id}):
        return "you are not on this channel's list"
    if settings.allow_users and person.id not in settings.allow_users:
        return "you are not on my list"
    if not person.known and needs_person(settings):
        return "Slack does not tell me who you are"
    if not settings.allow_external and is_external(person, me, team=team):
        return "you belong to another organisation"
    if not settings.allow_guests and person.guest:
        return "guests may not ask me"
    return ""
