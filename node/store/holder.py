"""The process that holds a lease: who am I, is it alive, end it. Linux says most; elsewhere psutil does what it can."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from functools import cache

import psutil

from . import Holder

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_NAMESPACE = "/proc/self/ns/pid"
_ZOMBIE = "ZX"


def this_holder(member: str) -> Holder:
    """This process. :param member: ``primary`` or ``backup``"""
    pid = os.getpid()
    state = _state(pid)
    if state is None:
        raise RuntimeError("this process is not in its own process table")
    host, boot, namespace = _place()
    return Holder(host=host, boot=boot, pid=pid, started=state[0], member=member, namespace=namespace)


def is_alive(holder: Holder) -> bool | None:
    """Whether the holder's process runs; None when that cannot be known from here (another host, boot, or container).

    A stopped process (SIGSTOP) is alive; one that has ended and was not waited for is not.
    """
    if (holder.host, holder.boot, holder.namespace) != _place():
        return None
    state = _state(holder.pid)
    return state is not None and state[0] == holder.started and state[1]


def kill(holder: Holder, wait_s: float = 1.0) -> bool:
    """Ends the holder's process with SIGKILL and waits until it is gone, so that its locks are too.

    :returns: whether it is known to be gone; False for a process elsewhere, for this very process, without the right
        to do it, or when it is still there after ``wait_s`` (a disk that hangs)
    """
    if holder.pid == os.getpid() or is_alive(holder) is None:
        return False
    with suppress(ProcessLookupError, PermissionError):
        _strike(holder)
    until = time.monotonic() + wait_s
    while is_alive(holder):
        if time.monotonic() >= until:
            return False
        time.sleep(0.002)
    return True


def _strike(holder: Holder) -> None:
    """SIGKILL through a pidfd where there is one: it is taken first and the start time compared after that, so the
    signal cannot hit a later process with the same pid."""
    if not hasattr(os, "pidfd_open"):
        if is_alive(holder):
            os.kill(holder.pid, signal.SIGKILL)
        return
    process = os.pidfd_open(holder.pid)
    try:
        if is_alive(holder):
            signal.pidfd_send_signal(process, signal.SIGKILL)
    finally:
        os.close(process)


def _state(pid: int) -> tuple[int, bool] | None:
    """When the process started (ticks since boot), and whether it runs; None if there is none.

    psutil's own start time is by the wall clock, which may be set while processes run; so the kernel's is read.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except FileNotFoundError:
        return None if os.path.exists("/proc/self/stat") else _portable_state(pid)
    except ProcessLookupError:
        return None
    # 3rd field of the page proc(5): state; 20th: threads, for a first thread may end before the others; 22nd: start
    ended = fields[0].decode() in _ZOMBIE and int(fields[17]) <= 1
    return int(fields[19]), not ended


def _portable_state(pid: int) -> tuple[int, bool] | None:
    try:
        process = psutil.Process(pid)
        return int(process.create_time() * 100), process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None


@cache
def _place() -> tuple[str, str, str]:
    """Host, boot and pid namespace of this process: where its pids mean anything."""
    boot = namespace = ""
    with suppress(OSError), open(_BOOT_ID) as file:
        boot = file.read().strip()
    with suppress(OSError):
        namespace = os.readlink(_NAMESPACE)
    return socket.gethostname(), boot, namespace
