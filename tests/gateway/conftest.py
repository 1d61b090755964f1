"""The running gateway for all tests of the corridor."""

from support.gateway import stand, stand_builder
from support.postgres import postgres_server

__all__ = ["postgres_server", "stand", "stand_builder"]
