"""What the C library does with freed memory: in a process of its own, for what is set stays set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

PROBE = """
import platform, resource
from broker import memory
if {keep}:
    assert memory.keep_freed_memory() or platform.libc_ver()[0] != "glibc"
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    batch = [bytes(4000) for _ in range(500)], bytes(200_000)
    del batch
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""


def faults(*, keep: bool) -> int:
    """Page faults of a process that takes and frees some megabytes again and again."""
    probe = [sys.executable, "-c", PROBE.format(keep=keep)]
    return int(subprocess.run(probe, cwd=ROOT, check=True, capture_output=True, timeout=30).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_freed_memory_is_used_again() -> None:
    # given a process that takes and frees the same amount again and again
    # when it keeps what it frees
    # then the system gives it pages once; else it does so every time
    assert 10 * faults(keep=True) < faults(keep=False)
