"""What every page keeps to: headers, addresses under any prefix, escaping, no inline code."""

from urllib.parse import urljoin, urlsplit

import pytest
from admin.visitor import Html, Visitor, target_of
from support.rows import STARTED_AT_MS, full_row, make_row

from plexus_proxy.usage.record import AttemptRecord

ID = "0123456789abcdef"
PAGES = [
    "/ui/requests",
    "/ui/requests?live=off",
    "/ui/requests?status=error&offset=50&until=1760000000000",
    f"/ui/requests/{ID}",
    "/ui/requests/unknown",
    "/ui/nope",
    "/ui/nope/nope/nope",
    "/ui/requests?until=nonsense",
]
PUBLIC = ["/ui/sign-in", "/ui/sign-in?next=requests"]
PROTECTIONS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@pytest.fixture
async def filled(operator: Visitor) -> Visitor:
    """Two pages of rows, one of them with everything in it."""
    rows = [make_row(started_at_ms=STARTED_AT_MS - n) for n in range(60)]
    await operator.insert(full_row(request_id=ID), *rows)
    return operator


def assert_protected(headers: dict[str, str]) -> None:
    assert PROTECTIONS.items() <= headers.items()
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]


# ---- Headers


async def test_every_page_is_protected(filled: Visitor) -> None:
    for path in PAGES:
        reply = await filled.get(path)
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        assert_protected(dict(reply.headers))
    stranger = Visitor(filled.gateway)
    for path in PUBLIC:
        assert_protected(dict((await stranger.get(path)).headers))


async def test_redirects_refusals_and_parts_are_protected_too(filled: Visitor) -> None:
    stranger = Visitor(filled.gateway)
    replies = [
        await filled.fragment("/ui/requests"),
        await filled.fragment("/ui/requests/unknown"),
        await stranger.fragment("/ui/requests"),
        await stranger.get("/ui/requests"),
        await stranger.get("/ui/"),
        await stranger.get("/ui"),
        await stranger.get("/"),
        await stranger.sign_in("wrong"),
        await stranger.sign_in(),
        await stranger.post("/ui/sign-in", {}, Sec_Fetch_Site="cross-site"),
    ]
    for reply in replies:
        assert_protected(dict(reply.headers))


# ---- Addresses


async def test_the_root_leads_to_the_pages(visitor: Visitor) -> None:
    for path, target in (("/", "/ui/"), ("/ui", "/ui/"), ("/ui/", "/ui/requests")):
        assert target_of(path, await visitor.get(path)) == target


async def test_every_address_stays_in_the_folder_whatever_the_prefix(filled: Visitor) -> None:
    stranger = Visitor(filled.gateway)
    for visitor, paths in ((filled, PAGES), (stranger, PUBLIC)):
        for path in paths:
            page = Html((await visitor.get(path)).text)
            assert page.addresses
            for address in page.addresses:
                if address.startswith("#"):
                    continue
                assert not urlsplit(address).scheme
                assert not urlsplit(address).netloc
                assert not address.startswith("/")
                there = urlsplit(urljoin(f"https://host/deep/plexus{path}", address)).path
                assert there.startswith("/deep/plexus/ui/"), (path, address)


async def test_every_link_of_every_page_leads_somewhere(filled: Visitor) -> None:
    seen: set[str] = set()
    for path in PAGES:
        page = Html((await filled.get(path)).text)
        links = [each["href"] for tag in ("a", "link") for each in page.all(tag)]
        links += [each["src"] for each in page.all("script")]
        seen |= {urljoin(path, link) for link in links if not link.startswith("#")}
    assert len(seen) > 50
    for path in seen:
        assert (await filled.get(path)).status in (200, 303), path


async def test_a_reverse_proxys_prefix_survives_redirects(visitor: Visitor) -> None:
    reply = await visitor.get("/ui/requests/abc")
    location = reply.headers["location"]
    assert urljoin("/plexus/ui/requests/abc", location).startswith("/plexus/ui/sign-in?")


@pytest.mark.parametrize("path", ["/ui/nope", "/ui/requests/a/b", "/ui/static/nope.css/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_page_is_a_404(visitor: Visitor, method: str, path: str) -> None:
    reply = await visitor.call(method, path)
    assert reply.status == 404
    if "static" not in path:
        page = Html(reply.text)
        assert "There is no such page." in page.text
        assert not page.all("nav")  # a stranger learns nothing of what there is


async def test_an_unknown_request_is_a_404_with_the_way_back(operator: Visitor) -> None:
    reply = await operator.get("/ui/requests/unknown")
    assert reply.status == 404
    assert "not ended yet" in Html(reply.text).text
    assert Html(reply.text).all("nav")


async def test_a_bad_value_in_the_address_is_explained(operator: Visitor) -> None:
    for query in ("until=nonsense", "offset=-1", "offset=x"):
        reply = await operator.get(f"/ui/requests?{query}")
        assert reply.status == 400
        assert "That did not work" in Html(reply.text).text


# ---- Writes of other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "SAME"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[bad"},
    ],
)
@pytest.mark.parametrize("path", ["/ui/sign-in", "/ui/sign-out"])
async def test_writes_of_other_sites_are_refused(
    operator: Visitor, path: str, headers: dict[str, str]
) -> None:
    sent = {k: v.replace("SAME", operator.gateway.url) for k, v in headers.items()}
    reply = await operator.post(path, {"key": operator.gateway.secrets.admin}, **sent)
    assert reply.status == 403
    assert "set-cookie" not in reply.headers
    assert "another site" in Html(reply.text).text
    assert (await operator.get("/ui/requests")).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "SAME"},
        {"Origin": "https://plexus.example", "Host": "Plexus.example"},  # TLS ends in front of us
        {"Sec_Fetch_Site": "same-origin", "Origin": "https://elsewhere.example"},
    ],
)
async def test_writes_of_our_own_pages_are_taken(visitor: Visitor, headers: dict[str, str]) -> None:
    sent = {k: v.replace("SAME", visitor.gateway.url) for k, v in headers.items()}
    assert (await visitor.sign_in(**sent)).status == 303


async def test_links_of_other_sites_may_lead_here(operator: Visitor) -> None:
    assert (await operator.get("/ui/requests", Sec_Fetch_Site="cross-site")).status == 200


# ---- Hostile values

NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}&lt;"


async def test_values_of_rows_are_text_and_nothing_else(operator: Visitor) -> None:
    """Aliases, attribution and ids come from clients; messages and models from providers."""
    nasty = dict.fromkeys(
        (
            "request_id",
            "client_request_id",
            "client_session",
            "key_name",
            "attribution",
            "source_ip",
            "client_format",
            "provider_format",
            "provider",
            "alias",
            "canonical_model",
            "model",
            "error_code",
            "error_message",
            "finish_reason",
        ),
        NASTY,
    )
    attempt = AttemptRecord(
        provider=NASTY,
        model=NASTY,
        format=NASTY,
        status="failed",
        error_code=NASTY,
        reason=NASTY,
    )
    await operator.insert(full_row(**nasty, attempts=(attempt, attempt), dropped_fields=(NASTY,)))
    listing = await operator.get("/ui/requests")
    [link] = [each["href"] for each in Html(listing.text).all("a") if "r-" in each.get("id", "")]
    details = await operator.get(urljoin("/ui/requests", link))
    assert details.status == 200
    for reply in (listing, await operator.fragment("/ui/requests"), details):
        page = Html(reply.text)
        assert NASTY in "".join(page.texts)
        assert not page.all("img")
        assert all(each.get("src") for each in page.all("script"))
        assert not [name for _, each in page.tags for name in each if name.startswith("on")]


async def test_values_of_the_address_are_text_and_nothing_else(operator: Visitor) -> None:
    quoted = "%3Cscript%3Ealert(1)%3C/script%3E%22%27%3E%3Cimg%20src=x%20onerror=alert(2)%3E"
    paths = [f"/ui/requests?{name}={quoted}" for name in ("alias", "provider", "key", "status")]
    paths += [f"/ui/requests?until={quoted}", f"/ui/requests?alias=x&live={quoted}"]
    paths += [f"/ui/requests/{quoted}", f"/ui/{quoted}", f"/ui/sign-in?next={quoted}"]
    for path in paths:
        text = (await operator.get(path)).text
        if text:
            page = Html(text)
            assert not page.all("img")
            assert "alert(1)" not in "".join(str(each) for each in page.all("script"))
    stranger = Visitor(operator.gateway)
    assert "alert" not in (await stranger.get(f"/ui/sign-in?next={quoted}")).text


async def test_no_page_has_code_or_style_of_its_own(filled: Visitor) -> None:
    """The policy would block it: everything is in files."""
    stranger = Visitor(filled.gateway)
    for visitor, paths in ((filled, PAGES), (stranger, PUBLIC)):
        for path in paths:
            page = Html((await visitor.get(path)).text)
            assert not page.all("style")
            scripts = page.all("script")
            assert scripts
            assert all(each["src"].split("?")[0].endswith(".js") for each in scripts)
            for tag, attributes in page.tags:
                assert "style" not in attributes, tag
                assert not [name for name in attributes if name.startswith(("on", "hx-on"))], tag
                assert not any(value.startswith("javascript:") for value in attributes.values())


# ---- For people


async def test_every_page_says_what_it_is(filled: Visitor) -> None:
    stranger = Visitor(filled.gateway)
    for visitor, paths in ((filled, PAGES), (stranger, PUBLIC)):
        for path in paths:
            page = Html((await visitor.get(path)).text)
            assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
            assert page.all("html") == [{"lang": "en"}]
            ids = [each["id"] for _, each in page.tags if "id" in each]
            assert len(ids) == len(set(ids))
            labelled = {each["for"] for each in page.all("label")}
            for tag in ("input", "select"):
                for field in page.all(tag):
                    hidden = field.get("type") == "hidden" or "hidden" in field
                    assert hidden or field["id"] in labelled


async def test_the_database_being_away_is_explained(
    operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plexus_proxy.db.database import Unavailable
    from plexus_proxy.usage.store import UsageStore

    async def away(*_: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(UsageStore, "fetch_page", away)
    reply = await operator.get("/ui/requests")
    assert reply.status == 503
    assert "Requests are still served" in Html(reply.text).text
    assert (await operator.fragment("/ui/requests")).status == 503
