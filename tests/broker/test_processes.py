"""How a member that cannot begin ends: with a line and an exit code, without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq

from broker import processes
from broker.config.objects import Configuration, ProxySettings
from broker.loop import Shell, Stalls
from broker.processes import Kind, run_process
from broker.sockets import Context, router

ROOT = Path(__file__).resolve().parents[2]


def test_an_address_that_is_in_use_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    # Given an address that somebody has bound
    context: Context = zmq.Context()
    taken = router(context, "tcp://127.0.0.1:*", ProxySettings())
    address = taken.last_endpoint.decode().rstrip("\0")

    def make(configuration: Configuration, name: str, member: str, stalls: Stalls, path: str) -> Shell:
        router(context, address, ProxySettings())
        raise AssertionError("it was bound twice")

    for name in ("_log_to_stderr", "raise_file_limit", "keep_freed_memory"):  # what is for a process of its own
        monkeypatch.setattr(processes, name, lambda *_: None)
    # when a member is to serve there
    kind = Kind("node", lambda configuration: configuration.nodes, make)
    with pytest.raises(SystemExit) as ended:
        run_process(kind, str(ROOT / "cluster.toml"), "n1", "primary")
    # then it ends with 71, and says which address
    assert ended.value.code == 71
    assert f"n1/primary cannot serve: Address already in use (addr='{address}')" in capfd.readouterr().err
    taken.close()
    context.term()
