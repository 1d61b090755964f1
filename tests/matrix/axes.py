"""The axes of the matrix that all its tests share."""

import pytest
from support.matrix import FORMATS

CLIENTS = pytest.mark.parametrize("client", FORMATS)
PROVIDERS = pytest.mark.parametrize("provider", FORMATS)
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
