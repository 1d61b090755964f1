"""The running gateway for long runs."""

from support.gateway import stand, stand_builder

__all__ = ["stand", "stand_builder"]
