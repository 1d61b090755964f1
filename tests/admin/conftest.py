"""The pages of a running gateway."""

import pytest
from admin.visitor import Visitor
from support.gateway import Stand, stand, stand_builder

__all__ = ["stand", "stand_builder"]


@pytest.fixture
async def visitor(stand: Stand) -> Visitor:
    """Nobody yet: has not signed in."""
    return Visitor(stand.gateway)


@pytest.fixture
async def operator(visitor: Visitor) -> Visitor:
    await visitor.sign_in()
    return visitor
