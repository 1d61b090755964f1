"""The repairs in conftest.py are needed and do what they should."""

import aiohttp
from aioresponses import aioresponses


async def test_aioresponses_answers_with_this_aiohttp() -> None:
    with aioresponses() as mocked:
        mocked.get("http://upstream.test/models", payload={"data": []})
        async with (
            aiohttp.ClientSession() as session,
            session.get("http://upstream.test/models") as response,
        ):
            assert await response.json() == {"data": []}
