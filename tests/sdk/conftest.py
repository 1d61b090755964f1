"""The running gateway for the official SDKs."""

from support.gateway import stand, stand_builder

__all__ = ["stand", "stand_builder"]
