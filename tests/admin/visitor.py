"""A browser without a screen: cookies by the rules, addresses resolved, redirects seen."""

from collections.abc import Mapping
from html.parser import HTMLParser
from http.cookies import Morsel, SimpleCookie
from urllib.parse import urljoin, urlsplit

from support.gateway import Reply, RunningGateway, reply_of
from support.rows import STARTED_AT_MS
from yarl import URL

from plexus_proxy.db.database import DATABASE
from plexus_proxy.usage.record import UsageRow
from plexus_proxy.usage.store import UsageStore

COOKIE = "plexus_session"


class Visitor:
    """Keeps the session cookie; `headers` of a call win over what a browser would send."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.token: str | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent: dict[str, str] = {}
        if self.token is not None:
            sent["cookie"] = f"{COOKIE}={self.token}"
        url = URL(self.gateway.url + path, encoded=True)
        async with self.gateway.session.request(
            method, url, data=form, headers=sent | dict(headers or {}), allow_redirects=False
        ) as response:
            reply = await reply_of(response)
        morsel = cookie_of(reply)
        if morsel is not None:
            self.token = None if morsel["max-age"] == "0" else morsel.value
        return reply

    async def get(self, path: str, **headers: str) -> Reply:
        """Header names with `_` for `-`."""
        return await self.call("GET", path, headers=_header_names(headers))

    async def fragment(self, path: str) -> Reply:
        return await self.get(path, HX_Request="true")

    async def post(self, path: str, form: Mapping[str, str], **headers: str) -> Reply:
        return await self.call("POST", path, form=form, headers=_header_names(headers))

    async def sign_in(
        self, key: str | None = None, then: str | None = None, **headers: str
    ) -> Reply:
        form = {"key": self.gateway.secrets.admin if key is None else key}
        if then is not None:
            form["next"] = then
        return await self.post("/ui/sign-in", form, **headers)

    async def insert(self, *rows: UsageRow) -> None:
        store = UsageStore(self.gateway.app[DATABASE])
        await store.insert_rows(rows, STARTED_AT_MS + 5000)


def _header_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def cookie_of(reply: Reply) -> Morsel[str] | None:
    """The session cookie that the reply sets."""
    found = [value for name, value in reply.raw_headers if name == "set-cookie"]
    if not found:
        return None
    assert len(found) == 1
    return SimpleCookie(found[0])[COOKIE]


def target_of(path: str, reply: Reply) -> str:
    """Where a redirect from `path` leads: a path with its query."""
    assert reply.status == 303
    location = reply.headers["location"]
    parts = urlsplit(urljoin(f"http://host{path}", location))
    assert parts.netloc == "host"
    assert not urlsplit(location).netloc
    assert not location.startswith("/")
    return parts.path + (f"?{parts.query}" if parts.query else "")


class Html(HTMLParser):
    """What tests ask about a page."""

    VOID = frozenset({"area", "br", "hr", "img", "input", "link", "meta", "path", "source"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"attribute twice in {tag}"
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes {self._open}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def addresses(self) -> list[str]:
        """Everything a browser would fetch or go to from here."""
        names = ("href", "src", "action", "hx-get", "hx-post", "formaction")
        return [each[name] for _, each in self.tags for name in names if name in each]
