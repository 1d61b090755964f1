"""Static files: versioned, cached for good, and nothing but what is shipped."""

import hashlib
from urllib.parse import urljoin

import pytest
from admin.visitor import Html, Visitor

from plexus_proxy.resources import STATIC

CSS = "/ui/static/plexus.css"


async def assets_of(visitor: Visitor) -> list[str]:
    page = Html((await visitor.get("/ui/sign-in")).text)
    named = [each["href"] for each in page.all("link")] + [
        each["src"] for each in page.all("script")
    ]
    return [urljoin("/ui/sign-in", each) for each in named]


async def test_what_a_page_names_is_there_and_cached_for_good(visitor: Visitor) -> None:
    kinds = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml", "js": "javascript"}
    named = await assets_of(visitor)
    assert len(named) == 4
    for address in named:
        path, _, version = address.partition("?v=")
        reply = await visitor.get(address)
        assert reply.status == 200
        assert kinds[path.rpartition(".")[2]] in reply.headers["content-type"]
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["etag"] == f'"{version}"'
        assert reply.body == (STATIC / path.removeprefix("/ui/static/")).read_bytes()
        assert version == hashlib.sha256(reply.body).hexdigest()[:16]
        assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("query", ["", "?v=", "?v=0000000000000000"])
async def test_any_other_version_has_to_ask_again(visitor: Visitor, query: str) -> None:
    reply = await visitor.get(CSS + query)
    assert (reply.status, reply.headers["cache-control"]) == (200, "no-cache")


async def test_who_has_it_is_told_so(visitor: Visitor) -> None:
    tag = (await visitor.get(CSS)).headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        reply = await visitor.get(CSS, If_None_Match=known)
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    assert (await visitor.get(CSS, If_None_Match='"other"')).status == 200
    assert (await visitor.get(CSS, If_None_Match="garbage")).status == 200


@pytest.mark.parametrize(
    "name",
    [
        "nope.css",
        "../templates/base.html",
        "..%2ftemplates/base.html",
        "%2e%2e/pyproject.toml",
        "..%5c..%5cpyproject.toml",
        "....//pyproject.toml",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "vendor",
        "vendor/",
        "vendor/README.md",
        "plexus.css%00",
        "plexus.css/",
        "PLEXUS.CSS",
    ],
)
async def test_nothing_else_is_served(visitor: Visitor, name: str) -> None:
    reply = await visitor.get(f"/ui/static/{name}")
    assert reply.status in (303, 404)
    assert b"project" not in reply.body
    assert b"root:" not in reply.body


async def test_static_files_are_only_read(visitor: Visitor) -> None:
    assert (await visitor.call("POST", CSS)).status == 404
    assert (await visitor.call("HEAD", CSS)).status == 200


async def test_the_pages_load_nothing_from_elsewhere(visitor: Visitor) -> None:
    for path in STATIC.rglob("*.css"):
        text = path.read_text()
        assert "@import" not in text
        assert "http" not in text
        assert "url(" not in text
