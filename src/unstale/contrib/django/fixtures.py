"""For pytest: what a test has invalidated.

pytest_plugins = ["unstale.contrib.django.fixtures"]          # in the topmost conftest.py

def test_an_order_makes_its_user_s_history_stale(client, invalidated):
    client.post("/orders/", …)
    assert invalidated.tags == {"user:42/orders"}
    assert "user:42/orders/page" in invalidated               # a tag of its own, an ancestor, or everything
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from unstale.contrib.django.testing import Invalidations, capture_invalidations


@pytest.fixture
def invalidated() -> Iterator[Invalidations]:
    """What the test has invalidated so far."""
    with capture_invalidations() as seen:
        yield seen
