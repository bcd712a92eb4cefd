"""The same work on peers: what the cluster's own way of doing it is measured against. Each is a program of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.cluster import ROOT


@contextmanager
def started(peer: str, *arguments: str) -> Iterator[int]:
    """Runs ``python -m bench.peers.PEER``, and ends it. Gives its pid."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"bench.peers.{peer}", *arguments], cwd=ROOT, stdin=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
