"""Measures the gateway from outside, beside nginx and a bare aiohttp proxy, in one run."""
