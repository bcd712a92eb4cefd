"""Operators' orders in a member's shell: a SIGHUP while the pair changes roles is not lost, and not done twice."""

from __future__ import annotations

import time
from typing import Any

import pytest
import zmq

from broker.config.reading import Readings
from broker.errors import Code
from node.core import NodeCore
from node.orders import REMEMBERED_S, Orders
from tests.node.conftest import START, Driver, make_configuration


@pytest.fixture
def orders(tmp_path: Any) -> Any:
    """The orders of n1's primary, whose file says what it was started with, and one queue more."""
    file = tmp_path / "cluster.toml"
    file.write_text("[queues.New]\n")
    context: zmq.Context[Any] = zmq.Context()
    yield Orders(context, make_configuration(), "n1", "primary", str(file))
    context.destroy(linger=0)


@pytest.fixture
def begun(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The readings that were begun, which never end."""
    begun: list[Any] = []
    monkeypatch.setattr(orders, "_readings", Endless(begun))
    return begun


class Endless(Readings):
    """Readings that are only noted."""

    def __init__(self, begun: list[Any]) -> None:
        super().__init__(None)
        self.begun = begun

    def begin(self, order: Any, text: str | None = None) -> bool:
        self.begun.append(order)
        return True

    def forget(self) -> None:
        self.begun.clear()


@pytest.mark.parametrize(("waited", "read"), [(REMEMBERED_S - 1, True), (REMEMBERED_S + 1, False)])
def test_a_standby_remembers_a_sighup_for_a_while(orders: Orders, begun: list[Any], waited: float, read: bool) -> None:
    # given a standby that was told to reload
    core = NodeCore("n1", make_configuration())
    orders.reload(START, core)
    assert begun == []
    # when it becomes active, soon or later
    core.activate(START + waited, 2, "test")
    orders.turn(START + waited, core)
    # then it reads the file, if that was soon
    assert begun == ([None] if read else [])


def test_what_was_followed_meanwhile_is_not_read_again(orders: Orders, begun: list[Any]) -> None:
    # given a standby that was told to reload, and has followed what the active member has read
    core = NodeCore("n1", make_configuration())
    orders.reload(START, core)
    orders.followed()
    # when it becomes active, then it has nothing to read
    core.activate(START + 1, 2, "test")
    orders.turn(START + 1, core)
    assert begun == []


def test_a_faulty_file_is_refused_to_the_one_that_asked(orders: Orders, driver: Driver) -> None:
    # given an operator, and a file with a fault
    monitor = driver.client("top", "Monitor")
    driver.core.receive(driver.now, monitor.source, b"x", b'{"message":"RequestReconfigure"}')
    # when the shell does what was ordered
    until = time.monotonic() + 10
    while b"x" not in driver.late:
        assert time.monotonic() < until
        orders.turn(driver.now, driver.core)
        driver.settle()
        time.sleep(0.005)
    # then the operator has the fault, with the file's line
    reply = driver.late[b"x"]
    assert (
        reply["code"] == Code.WRONG_CONFIGURATION and "cluster.toml:1: queues.New.tenant: is missing" in reply["detail"]
    )


def test_orders_are_forgotten_with_the_lease(orders: Orders, begun: list[Any], driver: Driver) -> None:
    # given an order that is being done
    monitor = driver.client("top", "Monitor")
    driver.core.receive(driver.now, monitor.source, b"x", b'{"message":"RequestReconfigure"}')
    orders.turn(driver.now, driver.core)
    assert len(begun) == 1
    # when the member serves no more, then nothing comes of it
    orders.forget()
    assert begun == [] and orders.wake_at(START) == float("inf")
