"""The pages of a running gateway."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from admin.visitor import Visitor
from playwright.async_api import Browser, async_playwright
from support.gateway import Stand

_CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]


@pytest.fixture
async def visitor(stand: Stand) -> Visitor:
    """Nobody yet: has not signed in."""
    return Visitor(stand.gateway)


@pytest.fixture
async def operator(visitor: Visitor) -> Visitor:
    await visitor.sign_in()
    return visitor


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """$CHROMIUM, `chromium` in PATH, else Playwright's own.

    Playwright's asynchronous interface shares the test's loop with the gateway; the synchronous one
    wants a loop of its own and refuses to run in a thread that has one.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
            args=_CHROMIUM_ARGUMENTS,
        )
        yield browser
        await browser.close()
