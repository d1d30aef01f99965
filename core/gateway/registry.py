"""Which models there are, as models.toml, tern.toml and the providers themselves say. The facts are data, not code."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from importlib import resources
from typing import Any

import msgspec

from core.domain.errors import SettingsError, UnknownModel
from core.domain.model_spec import Capability, ModelSpec, Price
from core.ports.gateway import RemoteModel

REQUESTABLE_TIERS = ("auto", "speed", "quality")
"""What may be asked for instead of a model id."""

_NOTES = frozenset({"source", "as_of"})
_FIELDS = frozenset(field.name for field in fields(ModelSpec)) - {"id"}
_MERGED = frozenset({"price"})
"""Tables that an override completes; any other table it replaces: a stated `limits` must not inherit a free plan's."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a requested model means today. `retired_from` is the retired id that was asked for, None where none was."""

    requested_model: str
    retired_from: str | None = None


@dataclass(frozen=True, slots=True)
class Retirement:
    """An id that is gone or goes on a known date, and who takes over."""

    id: str
    successor: str
    shutdown_at: str
    """ISO date."""
    enterprise_keeps: bool = False
    aliases: tuple[str, ...] = ()
    source: str = ""

    def sentence(self) -> str:
        return f"{self.id} is retired (shutdown {self.shutdown_at}); {self.successor} takes its place"


class Registry:
    """Every known model. Changes over the process's life: providers' lists are learned, the dead are marked.

    Four layers, later ones win: models.toml, what providers report, tern.toml, models added at run time. The set of
    dead models lies over all of them.
    """

    def __init__(
        self,
        facts: Mapping[str, Mapping[str, Any]],
        retired: Sequence[Retirement],
        overrides: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._facts = facts
        self._retired = {entry.id: entry for entry in retired}
        self._overrides: Mapping[str, Mapping[str, Any]] = {}
        self._learned: dict[str, RemoteModel] = {}
        self._added: dict[str, ModelSpec] = {}
        self._dead: dict[str, str] = {}
        self._served: frozenset[str] | None = None
        self._models: dict[str, ModelSpec] = {}
        self._aliases: dict[str, str] = {}
        self._config_warnings: list[str] = []
        self._run_warnings: list[str] = []
        self.override(overrides)

    # --- asking ---

    def get(self, model_id: str) -> ModelSpec:
        """Return the model of exactly this id, dead or alive. Raises UnknownModel."""
        try:
            return self._models[model_id]
        except KeyError:
            raise UnknownModel(model_id, known=(*REQUESTABLE_TIERS, *self.ids())) from None

    def all(self) -> tuple[ModelSpec, ...]:
        """Every enabled model, dead ones included, in order of preference."""
        return tuple(model for model in self._models.values() if model.enabled)

    def usable(self) -> tuple[ModelSpec, ...]:
        """The enabled models that are alive and whose provider is there (see `serve`), in order of preference."""
        return tuple(
            model
            for model in self.all()
            if model.status not in ("dead", "retired") and (self._served is None or model.provider in self._served)
        )

    def ids(self) -> tuple[str, ...]:
        return tuple(model.id for model in self.all())

    def resolve(self, requested_model: str, *, able: Capability = Capability.TEXT) -> Resolved:
        """Return what *requested_model* means: a tier, an id, or the successor of a retired id.

        Raises UnknownModel, which lists the usable models that are *able*.

        Short names are understood where one id alone ends in them: "gpt-oss-20b", "llama-4-scout".
        """
        if requested_model in REQUESTABLE_TIERS:
            return Resolved(requested_model)
        wanted = (
            requested_model if requested_model in self._models else self._aliases.get(requested_model, requested_model)
        )
        if wanted in self._models:
            return Resolved(wanted)
        if wanted in self._retired:
            return Resolved(self._retired[wanted].successor, retired_from=requested_model)
        raise UnknownModel(
            requested_model,
            known=(*REQUESTABLE_TIERS, *(model.id for model in self.usable() if able in model.capabilities)),
        )

    def retirement(self, model_id: str) -> Retirement | None:
        """What is known about a retired id, for the warning; None for any other id."""
        return self._retired.get(self._aliases.get(model_id, model_id))

    def sunsets(self, now: float) -> list[tuple[str, str, int]]:
        """Return (id, ISO date, days left) of every usable model with a published shutdown, the next one first.

        Args:
            now: Seconds since the epoch; days are UTC's and negative once the date has passed.
        """
        today = datetime.fromtimestamp(now, UTC).date()
        dated = [(model.id, model.shutdown_at) for model in self.usable() if model.shutdown_at]
        return sorted(
            ((model_id, at, (date.fromisoformat(at) - today).days) for model_id, at in dated), key=lambda row: row[2]
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know, in the order it was found."""
        return (*self._config_warnings, *self._run_warnings)

    def dead(self) -> Mapping[str, str]:
        """Model id -> why it is not asked any more."""
        return dict(self._dead)

    # --- changing ---

    def serve(self, providers: Collection[str]) -> None:
        """Say which providers are there ("groq", "openai", "local"); models of others are not usable."""
        self._served = frozenset(providers)

    def override(self, overrides: Mapping[str, Mapping[str, Any]]) -> None:
        """Take tern.toml's `[models."id"]` tables instead of the earlier ones.

        Raises:
            SettingsError: Naming every table that cannot be used; nothing is changed then.
        """
        problems: list[str] = []
        warnings: list[str] = []
        accepted: dict[str, Mapping[str, Any]] = {}
        for name, table in overrides.items():
            model_id = name if name in self._facts else self._alias_of_fact(name)
            unknown = sorted(set(table) - _FIELDS - _NOTES)
            if unknown:
                problems.append(
                    f'models."{name}": unknown field {", ".join(unknown)}; known: {", ".join(sorted(_FIELDS))}'
                )
                continue
            retirement = self._retired.get(model_id)
            if retirement and not _is_complete(table):
                warnings.append(f'tern.toml: models."{name}" is left out: {retirement.sentence()}')
                continue
            if retirement:
                table = {"shutdown_at": retirement.shutdown_at, **table}
            try:
                _build(model_id, _merge(self._facts.get(model_id, {}), table))
            except ValueError as error:
                problems.append(f'models."{name}": {error}')
                continue
            accepted[model_id] = table
        if problems:
            raise SettingsError(problems)
        self._overrides = accepted
        self._config_warnings = warnings
        self._rebuild()

    def add(self, model: ModelSpec) -> None:
        """Add or replace a model that no file knows: the local one, say."""
        self._added[model.id] = model
        self._rebuild()

    def mark_dead(self, model_id: str, why: str) -> None:
        """Take a model off every route until its provider lists it again."""
        if model_id in self._dead or model_id not in self._models:
            return
        self._dead[model_id] = why
        self._run_warnings.append(f"{model_id} is not asked any more: {why}")
        self._rebuild()

    def learn(self, provider: str, listed: Sequence[RemoteModel]) -> list[str]:
        """Compare with *provider*'s own list: prices and limits are taken over, missing models marked dead.

        Returns what changed, as sentences; they are in `warnings` too. An empty list teaches nothing.
        """
        if not listed:
            return []
        news: list[str] = []
        remote = {model.id: model for model in listed}
        for model in self.all():
            if model.provider != provider or model.id in self._added:
                continue
            seen = remote.get(model.name_there)
            if seen is None or seen.active is False:
                why = f"{provider} does not list it" if seen is None else f"{provider} lists it as inactive"
                if model.id not in self._dead:
                    self._dead[model.id] = why
                    news.append(f"{model.id} is not asked any more: {why}")
                continue
            if self._dead.pop(model.id, None):
                news.append(f"{model.id} is listed by {provider} again")
            self._learned[model.id] = seen
        before = self._models
        self._rebuild()
        news += [line for model in before.values() for line in _changes(model, self._models[model.id])]
        self._run_warnings += news
        return news

    # --- building ---

    def _rebuild(self) -> None:
        tables = {model_id: self._facts.get(model_id, {}) for model_id in (*self._facts, *self._overrides)}
        models: dict[str, ModelSpec] = {}
        for model_id, table in tables.items():
            reported = _reported(self._learned[model_id]) if model_id in self._learned else {}
            override = self._overrides.get(model_id, {})
            models[model_id] = _build(model_id, _merge(_merge(table, reported), override))
        models |= self._added
        for model_id in self._dead:
            if model_id in models:
                models[model_id] = replace(models[model_id], status="dead")
        self._models = models
        self._aliases = _short_names((*models, *self._retired)) | {
            alias: entry.id for entry in self._retired.values() for alias in entry.aliases
        }

    def _alias_of_fact(self, name: str) -> str:
        return _short_names((*self._facts, *self._retired)).get(name, name)


def load_registry(overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Registry:
    """Read core/gateway/models.toml and lay *overrides* (tern.toml's `[models]`) over it.

    Raises:
        SettingsError: Naming every override that cannot be used.
    """
    facts = tomllib.loads(resources.files("core.gateway").joinpath("models.toml").read_text(encoding="utf-8"))
    retired = [msgspec.convert({"id": name, **entry}, Retirement) for name, entry in facts["retired"].items()]
    return Registry(facts["models"], retired, overrides or {})


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**below, **above}
    for name in _MERGED & above.keys() & below.keys():
        if isinstance(above[name], Mapping):  # what is none of these is told by `_build`
            merged[name] = {**below[name], **above[name]}
    return merged


def _build(model_id: str, table: Mapping[str, Any]) -> ModelSpec:
    """Raises ValueError that names the field."""
    known = {name: value for name, value in table.items() if name not in _NOTES}
    try:
        model = msgspec.convert({"id": model_id, **known}, ModelSpec)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace("Object", "it", 1)) from error
    if model.shutdown_at:
        try:
            date.fromisoformat(model.shutdown_at)
        except ValueError as error:
            raise ValueError(f"shutdown_at is not a date: {error}") from error
    if model.default_effort is not None and model.default_effort not in model.efforts:
        raise ValueError(f"default_effort {model.default_effort!r} is not among its efforts")
    return model


def _is_complete(table: Mapping[str, Any]) -> bool:
    return {"provider", "tier", "context_window", "max_output", "capabilities"} <= table.keys()


def _reported(remote: RemoteModel) -> dict[str, Any]:
    price = {"prompt": remote.price_prompt, "cached": remote.price_cached, "output": remote.price_output}
    known = {
        "context_window": remote.context_window,
        "max_output": remote.max_output,
        "shutdown_at": remote.shutdown_at,
        "price": {name: value for name, value in price.items() if value},
    }
    return {name: value for name, value in known.items() if value}


def _changes(before: ModelSpec, after: ModelSpec) -> list[str]:
    """Sentences for what a provider's list changed."""
    read: dict[str, Callable[[ModelSpec], object]] = {
        "context window": lambda model: model.context_window,
        "longest answer": lambda model: model.max_output,
        "shutdown date": lambda model: model.shutdown_at or "none",
        **{f"{field.name} price": _price_reader(field.name) for field in fields(Price)},
    }
    return [
        f"{after.id}: {after.provider} gives its {name} as {get(after)}, models.toml said {get(before)}"
        for name, get in read.items()
        if get(before) not in (get(after), 0)  # filling a gap, such as Whisper's context, is no news
    ]


def _price_reader(name: str) -> Callable[[ModelSpec], object]:
    return lambda model: getattr(model.price, name)


def _short_names(ids: Sequence[str]) -> dict[str, str]:
    """Last path segment -> id, where it is unambiguous."""
    by_name: dict[str, list[str]] = {}
    for model_id in ids:
        if "/" in model_id:
            by_name.setdefault(model_id.rsplit("/", 1)[1], []).append(model_id)
    return {name: found[0] for name, found in by_name.items() if len(found) == 1 and name not in ids}
