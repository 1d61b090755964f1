"""What the types of a config cannot say: what belongs together, and what names what.

Works on what could be converted, so that these problems are found together with wrong types. What
the base release let pass stays a warning, with the base's effect; `check --strict` and edits treat
warnings as errors.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args
from urllib.parse import urlsplit

from plexus_proxy.config.convert import nearest
from plexus_proxy.config.model import (
    NETWORK_ERRORS,
    Alias,
    ApiType,
    CooldownPolicy,
    Failover,
    Key,
    OAuthProvider,
    Provider,
    QuotaChecker,
    Target,
    TargetKey,
)
from plexus_proxy.config.names import alias_names
from plexus_proxy.config.problems import Problems, child
from plexus_proxy.config.tree import Map
from plexus_proxy.crypto import Secret

DEMO = "demo://"
OAUTH = "oauth://"
API_TYPES: tuple[str, ...] = get_args(ApiType)
OAUTH_PROVIDERS: tuple[str, ...] = get_args(OAuthProvider)

SAMPLE_SECRETS = frozenset(
    {
        "change-this-admin-key",
        "sk-change-this-client-key",
        "sk-change-this-team-key",
    }
)
"""Published in config/plexus.example.yaml: everyone knows them."""


class References:
    """Checks the parts of a config against each other. `root` tells the lines."""

    def __init__(self, root: Map, fields: Mapping[str, Any], problems: Problems) -> None:
        self._root = root
        self._problems = problems
        self._admin_key: Secret | None = fields.get("admin_key")
        self._providers: Mapping[str, Provider] = fields.get("providers", {})
        self._models: Mapping[str, Alias] = fields.get("models", {})
        self._keys: Mapping[str, Key] = fields.get("keys", {})
        self._quotas: tuple[QuotaChecker, ...] = fields.get("quotas", ())
        self._failover: Failover = fields.get("failover", Failover())
        self._cooldown: CooldownPolicy = fields.get("cooldown", CooldownPolicy())
        self._names = alias_names(self._models)

    def check(self, *, loopback: bool) -> None:
        for name, provider in self._providers.items():
            self._check_provider(name, provider)
        self._check_aliases()
        self._check_quotas()
        self._check_rules()
        self._check_secrets(loopback=loopback)

    def _check_provider(self, name: str, provider: Provider) -> None:
        urls = provider.api_base_url
        if isinstance(urls, str):
            self._check_url(urls, "providers", name, "api_base_url", strict=True)
        else:
            self._check_urls(urls, name)
        used = [url for url in ([urls] if isinstance(urls, str) else urls.values()) if url]
        by_oauth = [url for url in used if url.startswith(OAUTH)]
        if provider.api_key is None and not by_oauth and not all(map(_is_demo, used)):
            words = "is required (any text will do for a server that asks for none)"
            self._error(words, "providers", name, "api_key")
        if by_oauth and provider.oauth_provider is None:
            hosts = [url.removeprefix(OAUTH).strip("/") for url in by_oauth]
            if not any(each in OAUTH_PROVIDERS for each in [name, *hosts]):
                words = f"is required with an oauth:// URL: one of {', '.join(OAUTH_PROVIDERS)}"
                self._error(words, "providers", name, "oauth_provider")
        if isinstance(provider.models, Mapping):
            for slug, model in provider.models.items():
                for index, kind in enumerate(model.access_via or ()):
                    self._check_type(kind, "providers", name, "models", slug, "access_via", index)

    def _check_urls(self, urls: Mapping[str, str], name: str) -> None:
        if not any(urls.values()):
            self._warning("names no URL", "providers", name, "api_base_url")
        for kind, url in urls.items():
            if kind != "default":
                self._check_type(kind, "providers", name, "api_base_url", kind)
            if url:
                self._check_url(url, "providers", name, "api_base_url", kind, strict=False)

    def _check_type(self, kind: str, *keys: str | int) -> None:
        if kind.lower() not in API_TYPES:
            self._warning(f"is not an API type; {nearest(kind, API_TYPES)}", *keys)

    def _check_url(self, url: str, *keys: str, strict: bool) -> None:
        """The base release checked a single URL, but not those of a map."""
        if url.startswith((DEMO, OAUTH)):
            return
        if not is_http_url(url):
            report = self._error if strict else self._warning
            report("is not a URL that starts with http:// or https://", *keys)
        elif "@" in url.partition("://")[2].partition("/")[0]:
            self._warning("holds a user name or password; use api_key or headers", *keys)

    def _check_aliases(self) -> None:
        owners: dict[str, str] = {}
        for name, alias in self._models.items():
            if name.startswith("direct/"):
                words = "cannot be asked for: names that begin with direct/ lead to providers"
                self._warning(words, "models", name)
            for index, other in enumerate(alias.additional_aliases):
                keys = ("models", name, "additional_aliases", index)
                if other == name:
                    self._warning("repeats the model's own name", *keys)
                elif other in self._models:
                    self._warning(f"models.{other} has this name and wins", *keys)
                elif (first := owners.setdefault(other, name)) != name:
                    self._warning(f"models.{first} has this alias already and wins", *keys)
            self._check_groups(name, alias)
        self._check_cycles()

    def _check_groups(self, name: str, alias: Alias) -> None:
        """Targets, in the groups they are written in."""
        seen: set[TargetKey] = set()
        if not alias.target_groups:
            self._check_targets(alias, alias.targets, seen, "models", name, "targets")
            return
        if alias.targets:
            self._warning("is not used: there are target_groups", "models", name, "targets")
        names: set[str] = set()
        for index, group in enumerate(alias.target_groups):
            keys = ("models", name, "target_groups", index)
            if group.name in names:
                self._error("another group of this model has this name", *keys, "name")
            names.add(group.name)
            self._check_targets(alias, group.targets, seen, *keys, "targets")

    def _check_targets(
        self,
        alias: Alias,
        targets: Sequence[Target],
        seen: set[TargetKey],
        *place: str | int,
    ) -> None:
        for index, target in enumerate(targets):
            keys = (*place, index)
            if target.alias:
                if target.provider or target.model:
                    self._error("has a provider and a model beside it", *keys, "alias")
                elif target.alias not in self._names:
                    words = f"there is no model '{target.alias}'; the target is skipped"
                    self._warning(words, *keys, "alias")
                continue
            for key in ("provider", "model"):
                if not getattr(target, key):
                    self._error("is required", *keys, key)
            if target.provider and target.model:
                self._check_target(alias, target, seen, *keys)

    def _check_target(
        self, alias: Alias, target: Target, seen: set[TargetKey], *keys: str | int
    ) -> None:
        if not self._is_provider(target.provider):
            words = f"there is no provider '{target.provider}'; the target is skipped"
            self._warning(words, *keys, "provider")
            return
        found = self._providers.get(target.provider)
        listed = found.models if found is not None else None
        if listed and target.model not in listed:
            words = f"provider '{target.provider}' does not list model '{target.model}'"
            self._warning(words, *keys, "model")
        key = target.provider, target.model
        if key in seen:
            self._warning("is a target of this model already; the first one counts", *keys)
        seen.add(key)

    def _check_cycles(self) -> None:
        """A model that is served by itself, however many others are in between."""
        leads = {
            name: [
                self._names[target.alias]
                for group in alias.groups
                for target in group.targets
                if target.alias in self._names
            ]
            for name, alias in self._models.items()
        }
        done: set[str] = set()
        for start in leads:
            path: list[str] = []
            self._follow(start, leads, path, done)

    def _follow(
        self, name: str, leads: Mapping[str, Sequence[str]], path: list[str], done: set[str]
    ) -> None:
        if name in path:
            circle = " → ".join([*path[path.index(name) :], name])
            self._error(f"leads back to itself: {circle}", "models", name)
        if name in path or name in done:
            return
        path.append(name)
        for other in leads[name]:
            self._follow(other, leads, path, done)
        path.pop()
        done.add(name)

    def _check_rules(self) -> None:
        """Failover and cooldown."""
        failover, cooldown = self._failover, self._cooldown
        for index, name in enumerate(failover.retryable_errors or ()):
            if name.upper() not in NETWORK_ERRORS and not name.startswith("upstream_"):
                words = f"is no network error we know; {nearest(name, NETWORK_ERRORS)}"
                self._warning(words, "failover", "retryableErrors", index)
        if cooldown.initial_minutes > cooldown.max_minutes:
            self._warning(
                "is more than maxMinutes, which is the limit", "cooldown", "initialMinutes"
            )

    def _check_quotas(self) -> None:
        seen: set[str] = set()
        for index, checker in enumerate(self._quotas):
            if not self._is_provider(checker.provider):
                words = f"there is no provider '{checker.provider}'"
                self._warning(words, "quotas", index, "provider")
            if checker.id in seen:
                self._warning("another meter has this id already", "quotas", index, "id")
            seen.add(checker.id)

    def _is_provider(self, name: str) -> bool:
        written = self._root.get("providers")
        return not isinstance(written, Map) or name in written

    def _check_secrets(self, *, loopback: bool) -> None:
        # Compared as plain text: a Secret's own == takes constant time, far too long for all pairs.
        admin = self._admin_key.reveal() if self._admin_key is not None else None
        if admin is not None:
            if not admin.strip():
                self._error("must not be empty", "adminKey")
            self._check_sample(admin, "adminKey", loopback=loopback)
        owners: dict[str, str] = {}
        for name, key in self._keys.items():
            secret = key.secret.reveal()
            keys = ("keys", name, "secret")
            if not secret.strip():
                self._error("must not be empty", *keys)
            elif ":" in secret:
                self._warning("no client can present it: what follows a ':' is attribution", *keys)
            elif secret != secret.strip():
                self._warning("no client can present it: it begins or ends with a space", *keys)
            elif secret == admin:
                self._warning("is the admin key: this client may do everything", *keys)
            first = owners.setdefault(secret, name)
            if first != name:
                self._warning(f"keys.{first} has the same secret; requests count for it", *keys)
            self._check_sample(secret, *keys, loopback=loopback)

    def _check_sample(self, secret: str, *keys: str, loopback: bool) -> None:
        if secret not in SAMPLE_SECRETS:
            return
        if loopback:
            self._warning("is the sample secret that everyone knows; choose your own", *keys)
        else:
            words = "is the sample secret that everyone knows, and others can reach this server"
            self._error(f"{words}; choose your own, or listen on 127.0.0.1", *keys)

    def _error(self, message: str, *keys: str | int) -> None:
        """What is of the wrong type already needs no second error."""
        path, line = self._place(keys)
        if path not in self._problems.wrong:
            self._problems.error(path, line, message)

    def _warning(self, message: str, *keys: str | int) -> None:
        self._problems.warning(*self._place(keys), message)

    def _place(self, keys: tuple[str | int, ...]) -> tuple[str, int]:
        """Path and line of what the keys lead to, or of the nearest that is written around it."""
        path, line = "", self._root.line
        node: Any = self._root
        for key in keys:
            path = f"{path}[{key}]" if isinstance(key, int) else child(path, key)
            try:
                line = node.lines[key]
                node = node[key]
            except (AttributeError, KeyError, IndexError):
                node = None
        return path, line


def is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_demo(url: str) -> bool:
    return url.startswith(DEMO)
