"""Which models there are, and what is known about those that were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.domain.errors import SettingsError, UnknownModel
from core.domain.model_spec import Capability, ModelSpec
from core.gateway.registry import Registry, Resolved, load_registry
from core.ports.gateway import RemoteModel

SMALL = "openai/gpt-oss-20b"
BIG = "openai/gpt-oss-120b"
EYES = "qwen/qwen3.8-27b"
GROQ_CHAT = [SMALL, BIG, EYES]
GROQ_SOUND = ["whisper-large-v3-turbo", "whisper-large-v3", "canopylabs/orpheus-v1-english"]
LOCAL = ModelSpec("local-model", "local", "local", 8_192, 8_192, frozenset({Capability.TEXT}))


@pytest.fixture
def registry() -> Registry:
    return load_registry()


def listed(*ids: str) -> list[RemoteModel]:
    return [RemoteModel(model_id) for model_id in ids]


def test_the_line_up(registry: Registry) -> None:
    """One model or more for every tier that the house uses."""
    tiers = {model.tier for model in registry.all()}

    assert tiers == {"speed", "quality", "vision", "audio", "speech", "backup"}
    assert registry.get(SMALL).price.output == 0.30
    assert Capability.VISION in registry.get(EYES).capabilities


def test_every_fact_has_a_source(registry: Registry) -> None:
    """And the month it was read."""
    for facts in registry._facts.values():
        assert facts["source"]
        assert facts["as_of"] >= "2026-10"


@pytest.mark.parametrize(
    ("requested_model", "means"),
    [
        ("auto", "auto"),
        ("quality", "quality"),
        (SMALL, SMALL),
        ("gpt-oss-20b", SMALL),
        ("qwen3.8-27b", EYES),
        ("gpt-6-luna", "gpt-6-luna"),
    ],
)
def test_what_is_requested_is_a_tier_an_id_or_its_last_part(
    registry: Registry, requested_model: str, means: str
) -> None:
    """Nobody types the owner's name gladly."""
    assert registry.resolve(requested_model) == Resolved(means)


@pytest.mark.parametrize(
    ("requested_model", "successor"),
    [
        ("llama-3.1-8b-instant", SMALL),
        ("llama-3.3-70b-versatile", BIG),
        ("meta-llama/llama-4-scout-17b-16e-instruct", EYES),
        ("llama-4-scout", EYES),
        ("llama-4-scout-17b-16e-instruct", EYES),
        ("qwen/qwen3.6-27b", EYES),
        ("groq/compound", BIG),
        ("gpt-5", "gpt-6.1-sol"),
        ("gpt-5-mini", "gpt-6.1-terra"),
        ("o3", "gpt-6.1-sol"),
        ("gpt-4-turbo", "gpt-6-luna"),
        ("gpt-4o", "gpt-6-luna"),
        ("whisper-1", "gpt-transcribe"),
    ],
)
def test_a_retired_id_means_its_successor(registry: Registry, requested_model: str, successor: str) -> None:
    """And says what was asked for."""
    assert registry.resolve(requested_model) == Resolved(successor, retired_from=requested_model)


def test_every_successor_is_alive(registry: Registry) -> None:
    """qwen3.6, itself once a successor, died within three months."""
    for retirement in registry._retired.values():
        assert registry.get(retirement.successor).status in ("production", "preview")
        assert retirement.shutdown_at > "2026"


def test_a_long_prompt_costs_its_own_tariff(registry: Registry) -> None:
    """Above 272,000 tokens OpenAI takes twice as much in and half as much again out."""
    luna = registry.get("gpt-6-luna")

    assert luna.cost_usd(272_000, 0, 1_000) == pytest.approx((272_000 * 0.10 + 1_000 * 0.50) / 1e6)
    assert luna.cost_usd(300_000, 0, 1_000) == pytest.approx((300_000 * 0.20 + 1_000 * 0.75) / 1e6)


def test_a_prompt_may_have_less_room_than_the_window(registry: Registry) -> None:
    """OpenAI counts 922,000 tokens in and 128,000 out apart."""
    assert registry.get("gpt-6-luna").room(1_000) == 922_000
    assert registry.get(SMALL).room(1_000) == 130_072


def test_an_unknown_id_lists_the_known_ones(registry: Registry) -> None:
    """For the API's 400."""
    with pytest.raises(UnknownModel) as caught:
        registry.resolve("gpt-3")

    assert "auto" in caught.value.known
    assert SMALL in caught.value.known
    assert "whisper-large-v3" not in caught.value.known  # hears, but does not chat


def test_the_operator_overrides_any_field() -> None:
    """A price table is completed, a limits table replaced."""
    registry = load_registry({"gpt-oss-20b": {"price": {"output": 9.0}, "limits": {"TPM": 1}, "enabled": True}})

    assert registry.get(SMALL).price.output == 9.0
    assert registry.get(SMALL).price.prompt == 0.075
    assert registry.get(SMALL).limits == {"TPM": 1}


def test_the_operator_adds_a_model() -> None:
    """Described in full."""
    registry = load_registry(
        {
            "house/own": {
                "provider": "openai",
                "tier": "backup",
                "context_window": 1_000,
                "max_output": 100,
                "capabilities": ["text"],
            }
        }
    )

    assert registry.get("house/own").context_window == 1_000
    assert registry.ids()[-1] == "house/own"


def test_a_model_can_be_switched_off() -> None:
    """It is then on no list and no route."""
    registry = load_registry({SMALL: {"enabled": False}})

    assert SMALL not in registry.ids()


def test_every_bad_override_is_named_at_once() -> None:
    """With what would have been right."""
    with pytest.raises(SettingsError) as caught:
        load_registry(
            {
                SMALL: {"price_in": 1.0},
                BIG: {"max_output": "many"},
                EYES: {"capabilities": ["telepathy"]},
                "gpt-6-luna": {"shutdown_at": "soon"},
                "half/new": {"provider": "groq"},
                "gpt-transcribe": {"default_effort": "high"},
            }
        )

    assert len(caught.value.problems) == 6
    assert "unknown field price_in; known: builtin_tools" in caught.value.problems[0]
    assert "max_output" in caught.value.problems[1]
    assert "telepathy" in caught.value.problems[2]
    assert "shutdown_at" in caught.value.problems[3]
    assert "tier" in caught.value.problems[4]


def test_overriding_a_retired_model_warns_and_starts() -> None:
    """tern.toml from last year must not stop the bot."""
    registry = load_registry({"llama-3.1-8b-instant": {"limits": {"RPM": 30}}})

    assert len(registry.warnings) == 1
    assert "2026-08-16" in registry.warnings[0]
    assert SMALL in registry.warnings[0]


def test_an_enterprise_customer_may_keep_a_retired_model() -> None:
    """By describing it in full; its date is then known."""
    registry = load_registry(
        {
            "llama-3.3-70b-versatile": {
                "provider": "groq",
                "tier": "quality",
                "context_window": 131_072,
                "max_output": 32_768,
                "capabilities": ["text", "tools"],
            }
        }
    )

    assert registry.resolve("llama-3.3-70b-versatile") == Resolved("llama-3.3-70b-versatile")


def test_overrides_can_be_read_again(registry: Registry) -> None:
    """On SIGHUP; a broken file changes nothing, and what the providers taught stays."""
    registry.learn("groq", [RemoteModel(model_id, context_window=5) for model_id in GROQ_CHAT + GROQ_SOUND])
    registry.override({SMALL: {"max_output": 7}})
    with pytest.raises(SettingsError):
        registry.override({SMALL: {"max_output": "x"}})

    assert registry.get(SMALL).max_output == 7
    assert registry.get(SMALL).context_window == 5


def test_prices_and_limits_are_learned(registry: Registry) -> None:
    """With a sentence for each change."""
    remote = [RemoteModel(SMALL, price_output=0.35, context_window=99_000), *listed(BIG, EYES, *GROQ_SOUND)]

    news = registry.learn("groq", remote)

    assert registry.get(SMALL).price.output == 0.35
    assert registry.get(SMALL).price.prompt == 0.075
    assert len(news) == 2
    assert f"{SMALL}: groq gives its output price as 0.35, models.toml said 0.3" in news


def test_the_operators_word_wins_over_the_providers() -> None:
    """A negotiated price, say."""
    registry = load_registry({SMALL: {"price": {"output": 0.1}}})

    registry.learn("groq", [RemoteModel(SMALL, price_output=0.35), *listed(BIG, EYES, *GROQ_SOUND)])

    assert registry.get(SMALL).price.output == 0.1


def test_a_model_that_is_not_listed_is_dead(registry: Registry) -> None:
    """Routed around, never a failed start; listed again, it lives."""
    registry.learn("groq", listed(SMALL, BIG, *GROQ_SOUND))
    assert registry.get(EYES).status == "dead"
    assert EYES not in [model.id for model in registry.usable()]
    assert EYES in registry.warnings[0]

    registry.learn("groq", listed(*GROQ_CHAT, *GROQ_SOUND))

    assert registry.get(EYES).status == "preview"


def test_an_inactive_model_is_dead(registry: Registry) -> None:
    """Groq lists some so."""
    registry.learn("groq", [RemoteModel(SMALL, active=False), *listed(BIG, EYES, *GROQ_SOUND)])

    assert registry.get(SMALL).status == "dead"


def test_an_empty_list_teaches_nothing(registry: Registry) -> None:
    """A gateway that knows no list must not kill every model."""
    assert registry.learn("groq", []) == []
    assert len(registry.usable()) == len(registry.all())


def test_a_list_speaks_for_its_own_provider_only(registry: Registry) -> None:
    """Groq does not list OpenAI's models, nor what was added at run time."""
    registry.add(replace(LOCAL, provider="groq"))

    registry.learn("groq", listed(*GROQ_CHAT, *GROQ_SOUND))

    assert registry.get("gpt-6-luna").status == "production"
    assert registry.get("local-model").status == "production"


def test_a_model_found_dead_in_use_is_marked_once(registry: Registry) -> None:
    """A 404 in the middle of the day."""
    registry.mark_dead(SMALL, "404")
    registry.mark_dead(SMALL, "404 again")
    registry.mark_dead("nobody", "404")

    assert registry.dead() == {SMALL: "404"}
    assert len(registry.warnings) == 1


def test_only_models_of_providers_that_are_there_are_usable(registry: Registry) -> None:
    """Without OPENAI_API_KEY there is no backup."""
    registry.add(LOCAL)
    registry.serve({"groq", "local"})

    assert {model.provider for model in registry.usable()} == {"groq", "local"}


def test_sunsets_count_the_days(registry: Registry) -> None:
    """Published dates of usable models, the next one first."""
    registry.override({SMALL: {"shutdown_at": "2027-01-20"}, BIG: {"shutdown_at": "2027-01-10"}})

    assert registry.sunsets(1_800_000_000.0) == [(BIG, "2027-01-10", -5), (SMALL, "2027-01-20", 5)]


def test_a_shutdown_date_is_learned(registry: Registry) -> None:
    """OpenAI's list carries it."""
    registry.learn("openai", [RemoteModel("gpt-6-luna", shutdown_at="2028-02-01"), RemoteModel("gpt-transcribe")])

    assert registry.sunsets(1_800_000_000.0)[0][0] == "gpt-6-luna"


def test_what_is_known_of_a_retirement(registry: Registry) -> None:
    """For the warning to whoever configured it."""
    retirement = registry.retirement("llama-4-scout")

    assert retirement is not None
    assert retirement.sentence() == (
        "meta-llama/llama-4-scout-17b-16e-instruct is retired (shutdown 2026-07-17); qwen/qwen3.8-27b takes its place"
    )
    assert registry.retirement(SMALL) is None
