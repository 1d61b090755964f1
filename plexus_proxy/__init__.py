"""Plexus proxy: one base URL for every LLM client format and every provider."""

__version__ = "0.1.0"
