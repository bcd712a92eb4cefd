"""Fixtures that tests of several packages use."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, settings

# A busy machine is no fault of what is tested: examples have no deadline of their own, pytest-timeout bounds the test.
# The same examples every time, so that a run of the tests says something about the code and nothing about chance;
# ``pytest --hypothesis-profile search`` looks for new ones.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ixn", settings.get_profile("search"), derandomize=True)
settings.load_profile("ixn")


class KeepingContext(zmq.Context[zmq.Socket[bytes]]):
    """Holds its sockets until the end of the test, so that none is closed because nobody has kept it."""

    kept: list[zmq.Socket[bytes]]

    def socket(self, *arguments: Any, **options: Any) -> zmq.Socket[bytes]:
        self.kept.append(super().socket(*arguments, **options))
        return self.kept[-1]


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """A ZeroMQ context of the test's own; every socket of it is closed behind the test."""
    context = KeepingContext()
    context.kept = []
    yield context
    context.destroy(linger=0)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """``wait_until(condition, deadline_s=5)``: asks again and again, and fails when the answer stays false."""

    def wait(condition: Callable[[], object], deadline_s: float = 5.0) -> None:
        until = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < until, f"not true within {deadline_s} s"
            time.sleep(0.01)

    return wait


@pytest.fixture
def program() -> Callable[[str], str]:
    """``program("node")``: the path of a program that a test needs. Where it is not installed the test is skipped and
    says so; in CI (the variable ``CI`` is set) it fails."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            missing = f"this test needs {name}, which is not installed"
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
        return path

    return find
