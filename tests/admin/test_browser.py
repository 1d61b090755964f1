"""The pages in a real Chromium: what a person sees, and what the browser complains about."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, Request, expect
from support.canary import canary
from support.fake_provider import Whole
from support.gateway import Stand
from support.rows import full_row
from support.sdks import chat

from plexus_proxy.config.store import CONFIG
from plexus_proxy.db.database import DATABASE
from plexus_proxy.usage.store import UsageStore

pytestmark = pytest.mark.browser

SIZES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1440, "height": 900}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
    },
}
ASK = [{"role": "user", "content": "What is teal?"}]
UPSTREAMS = ("chat", "messages")
APPEARS_MS = 10_000
"""The rows refresh every three seconds; the machine may be busy."""


@asynccontextmanager
async def opened(
    chromium: Browser, size: str = "desktop", *, remark: str | None = None, **more: Any
) -> AsyncGenerator[Page]:
    """A page of a fresh profile. At its end nothing may have gone wrong in it: a script's error, a
    file that is not there, anything the content security policy has blocked. `remark` is in all
    that the browser and htmx have to say.
    """
    context = await chromium.new_context(**SIZES[size], **more)
    context.set_default_timeout(APPEARS_MS)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    page.on("requestfailed", lambda request: complaints.extend(failures(request)))
    try:
        yield page
    finally:
        await context.close()
    if remark is None:
        assert complaints == []
    else:
        assert complaints
        assert all(remark in each for each in complaints)


def failures(request: Request) -> list[str]:
    """Not what the browser itself gave up, because somebody has followed a link."""
    aborted = request.failure == "net::ERR_ABORTED"
    return [] if aborted else [f"{request.failure}: {request.url}"]


async def sign_in(page: Page, stand: Stand, root: str | None = None) -> None:
    await page.goto(root or stand.gateway.url + "/")
    await page.get_by_label("Admin key").fill(stand.secrets.admin)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Requests", exact=True)).to_be_visible()


async def assert_fits(page: Page) -> None:
    """Nothing sticks out to the right."""
    size = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert size[0] <= size[1]


async def picture(page: Page, name: str) -> None:
    """For whoever wants to look: into the folder $SCREENSHOTS."""
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_a_request_appears_by_itself_and_opens(
    stand: Stand, chromium: Browser, size: str, scheme: str
) -> None:
    async with opened(chromium, size, color_scheme=scheme) as page:
        await page.goto(stand.gateway.url)
        await expect(page).to_have_title("Sign in · Plexus")
        await picture(page, f"sign-in-{size}-{scheme}")
        await assert_fits(page)
        await sign_in(page, stand)
        await expect(page.get_by_text("No requests yet")).to_be_visible()
        await expect(page.locator("[data-base-url]")).to_have_text(stand.gateway.url)
        await assert_fits(page)
        await picture(page, f"empty-{size}-{scheme}")
        await page.evaluate("window.sameDocument = true")

        for upstream in UPSTREAMS:
            answer = await chat(stand, "async", True, model=f"to-{upstream}", messages=ASK)
            assert answer.choices[0].message.content == "Teal is a colour."
        for upstream in UPSTREAMS:
            row = page.get_by_role("row").filter(has_text=f"to-{upstream}")
            await expect(row).to_be_visible()
            await expect(row).to_contain_text("Success")
            await expect(row).to_contain_text("app")
        await expect(page.get_by_text("No requests yet")).to_have_count(0)
        assert await page.evaluate("window.sameDocument") is True
        await assert_fits(page)

        row = page.get_by_role("row").filter(has_text="to-messages")
        await row.get_by_role("link").click()
        await expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
        await expect(page.get_by_text("anthro / up-messages").first).to_be_visible()
        await assert_fits(page)
        await picture(page, f"details-{size}-{scheme}")
        await page.get_by_role("link", name="← Requests").click()

        stand.chat.enqueue(Whole({"error": {"message": "It is broken."}}, 500))
        async with aiohttp.ClientSession() as session:
            url = stand.gateway.url + "/v1/chat/completions"
            body = {"model": "to-chat", "messages": ASK}
            async with session.post(url, json=body, headers=stand.gateway.auth()) as response:
                assert response.status >= 500
        store = UsageStore(stand.gateway.app[DATABASE])
        await store.insert_rows([full_row(request_id="full", attribution="team:" + "b" * 60)], 0)
        await page.get_by_role("link", name="Refresh").click()
        await expect(page.get_by_role("row").filter(has_text="Stalled")).to_be_visible()
        await expect(page.get_by_role("row").filter(has_text="Error")).to_be_visible()
        await assert_fits(page)
        await picture(page, f"rows-{size}-{scheme}")
        await page.goto(stand.gateway.url + "/ui/requests/full")
        await assert_fits(page)
        await picture(page, f"full-{size}-{scheme}")


async def test_nothing_sticks_out_at_any_width(stand: Stand, chromium: Browser) -> None:
    long = "long-" * 30
    store = UsageStore(stand.gateway.app[DATABASE])
    rows = [full_row(), full_row(request_id="full", alias=long, model=long, error_message=long)]
    await store.insert_rows(rows, 0)
    async with opened(chromium) as page:
        await sign_in(page, stand)
        for path in ("requests", "requests?key=nobody", "requests/full"):
            await page.goto(f"{stand.gateway.url}/ui/{path}")
            for width in (320, 480, 768, 960, 1024, 1280, 1320, 1920):
                await page.set_viewport_size({"width": width, "height": 800})
                await assert_fits(page)
                await picture(page, f"width-{path.replace('/', '-')[:14]}-{width}")


async def test_rows_keep_still_while_somebody_marks_text(stand: Stand, chromium: Browser) -> None:
    async with opened(chromium) as page:
        await sign_in(page, stand)
        command = page.get_by_label("Command")
        await command.evaluate("element => getSelection().selectAllChildren(element)")
        await chat(stand, "async", False, model="to-chat", messages=ASK)
        await stand.gateway.rows()
        await page.wait_for_timeout(3500)
        await expect(command).to_be_visible()
        await page.evaluate("getSelection().removeAllRanges()")
        await expect(page.locator("tbody tr")).to_have_count(1)


async def test_a_lost_connection_is_said_and_so_is_its_return(
    stand: Stand, chromium: Browser
) -> None:
    async with opened(chromium, remark="503") as page:
        await sign_in(page, stand)
        await page.route("**/ui/requests*", lambda route: route.fulfill(status=503), times=1)
        await expect(page.get_by_role("status")).to_have_text("Connection lost, trying again…")
        await expect(page.get_by_role("status")).to_have_text("Live")


async def test_a_wrong_key_is_told_and_the_right_one_still_works(
    stand: Stand, chromium: Browser
) -> None:
    async with opened(chromium, "phone", remark="403") as page:
        await page.goto(stand.gateway.url)
        await page.get_by_label("Admin key").fill("wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_have_text("This is not the admin key.")
        await picture(page, "wrong-phone")
        await page.get_by_label("Admin key").fill(stand.secrets.admin)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Requests", exact=True)).to_be_visible()


async def test_the_session_is_out_of_reach_of_scripts_and_ends_on_sign_out(
    stand: Stand, chromium: Browser
) -> None:
    async with opened(chromium) as page:
        await sign_in(page, stand)
        assert await page.evaluate("document.cookie") == ""
        [cookie] = await page.context.cookies()
        assert cookie.get("httpOnly") is True
        assert cookie.get("sameSite") == "Lax"
        assert cookie.get("path") == "/ui"
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_title("Sign in · Plexus")
        assert await page.context.cookies() == []
        await page.goto(stand.gateway.url + "/ui/requests?status=error")
        await expect(page).to_have_title("Sign in · Plexus")


async def test_an_open_page_asks_to_sign_in_again_once_its_session_is_over(
    stand: Stand, chromium: Browser
) -> None:
    async with opened(chromium, remark="401") as page:
        await sign_in(page, stand)
        stand.gateway.config["adminKey"] = canary("fresh-admin")
        stand.gateway.write_config()
        await stand.gateway.app[CONFIG].refresh()
        await expect(page).to_have_title("Sign in · Plexus")


async def test_rows_can_be_filtered_paused_and_resumed(stand: Stand, chromium: Browser) -> None:
    async with opened(chromium) as page:
        await sign_in(page, stand)
        await page.get_by_role("link", name="Pause").click()
        await expect(page.get_by_text("Paused")).to_be_visible()
        for upstream in UPSTREAMS:
            await chat(stand, "async", False, model=f"to-{upstream}", messages=ASK)
        await stand.gateway.rows(2)
        await page.wait_for_timeout(3500)
        await expect(page.get_by_text("No requests yet")).to_be_visible()
        await page.get_by_role("link", name="Resume").click()
        rows = page.locator("tbody tr")
        await expect(rows).to_have_count(2)
        await page.get_by_label("Provider").fill("CHAT")
        await page.get_by_role("button", name="Filter").click()
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("to-chat")
        await page.get_by_role("link", name="Clear").click()
        await expect(rows).to_have_count(2)


async def test_the_page_works_as_plain_forms(stand: Stand, chromium: Browser) -> None:
    async with opened(chromium, java_script_enabled=False) as page:
        await sign_in(page, stand)
        await expect(page.get_by_text("No requests yet")).to_be_visible()
        await chat(stand, "async", False, model="to-chat", messages=ASK)
        await stand.gateway.rows()
        await page.get_by_role("link", name="Refresh").click()
        await page.locator("tbody tr").get_by_role("link").click()
        await expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_title("Sign in · Plexus")


@asynccontextmanager
async def reverse_proxy(target: str, prefix: str) -> AsyncGenerator[str]:
    """Serves `target` below `prefix`, and tells it nothing about that."""
    session = aiohttp.ClientSession(auto_decompress=False)

    async def forward(request: web.Request) -> web.Response:
        path = request.rel_url.raw_path_qs.removeprefix(prefix)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "connection"}
        async with session.request(
            request.method,
            target + path,
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as answer:
            kept = [
                (name, value)
                for name, value in answer.headers.items()
                if name.lower() not in ("transfer-encoding", "content-length", "connection")
            ]
            body = await answer.read()
        response = web.Response(status=answer.status, body=body)
        response.headers.clear()
        response.headers.extend(kept)
        return response

    app = web.Application()
    app.router.add_route("*", prefix + "/{path:.*}", forward)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
    finally:
        await runner.cleanup()
        await session.close()


async def test_below_a_prefix_everything_works_as_well(stand: Stand, chromium: Browser) -> None:
    async with (
        reverse_proxy(stand.gateway.url, "/deep/plexus") as root,
        opened(chromium) as page,
    ):
        await sign_in(page, stand, root + "/")
        assert page.url == root + "/ui/requests"
        await expect(page.locator("[data-base-url]")).to_have_text(root)
        await chat(stand, "async", False, model="to-chat", messages=ASK)
        await page.locator("tbody tr").get_by_role("link").click()
        await expect(page.get_by_role("heading", name="Attempts")).to_be_visible()
        assert page.url.startswith(root + "/ui/requests/")
        [cookie] = await page.context.cookies()
        assert cookie.get("path") == "/deep/plexus/ui"
        await page.get_by_role("button", name="Sign out").click()
        await expect(page).to_have_title("Sign in · Plexus")
        assert await page.context.cookies() == []
