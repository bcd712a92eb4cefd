"""One cluster for several tests of a module: each leaves it healthy, so only the first has to wait for its start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.cluster import Cluster
from bench.plan import Plan


@contextmanager
def shared(
    request: pytest.FixtureRequest, paths: pytest.TempPathFactory, plan: Plan | None = None
) -> Iterator[Cluster]:
    """A healthy cluster for a fixture of a module; the tails of its logs are shown when one of the tests has failed."""
    failed = request.session.testsfailed
    with Cluster(paths.mktemp("cluster"), plan) as cluster:
        yield cluster
        if request.session.testsfailed > failed:
            print(cluster.tails())
