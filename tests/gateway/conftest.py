"""The running gateway for all tests of the corridor."""

from support.gateway import stand, stand_builder

__all__ = ["stand", "stand_builder"]
