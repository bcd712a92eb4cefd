"""What operators ask of a node: hand over only to a standby that is well; take nothing new; and the status says so."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.orders import standby

SUBMIT = {"message": "RequestSubmit", "tenant_id": 101, "media_type": "email", "queue": "Inbound"}
PROXY = b"p1"


@pytest.fixture
def monitor(driver):
    return driver.client("top", "Monitor")


@pytest.fixture
def backed(driver):
    """The node has a backup."""
    node = driver.configuration.nodes["n1"]
    node.backup = node.primary
    return driver


def through_proxy(driver):
    """A media server behind a proxy."""
    register = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy", "session_id": "p1.1"}
    assert driver.ask((PROXY, 0), register)["message"] == "EventAck"
    client = {**register, "client_name": "gateway", "client_type": "MediaServer", "session_id": "p1.1.7"}
    assert driver.ask((PROXY, 7), client)["message"] == "EventAck"
    return PROXY, 7


class TestSwitchover:
    def test_it_hands_over_once_the_standby_has_answered(self, backed, monitor):
        # Given a standby that is well; when a switchover is asked for; then it is acked and the shell is to hand over
        assert monitor.ask("RequestSwitchover", node="n1")["message"] == "EventAck"
        assert backed.core.hand_over
        # And another one meanwhile is told so
        assert monitor.ask("RequestSwitchover", node="n1")["code"] == 2004

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"role": "starting", "why": "loading"}, "the backup of n1 is starting (loading)"),
            ({"role": "stopped"}, "the backup of n1 is stopped"),
            ({"rev": -2000}, "the backup of n1 is 2000 journal rows behind"),
        ],
    )
    def test_a_standby_that_is_not_well_is_not_handed_over_to(self, backed, monitor, fields, why):
        # Given a standby that loads, has stopped or is far behind; when a switchover is asked for; then it is refused
        pong = standby(backed.core)
        for name, value in fields.items():
            setattr(pong, name, value)
        backed.standby = pong
        backed.core.rev = 0
        reply = monitor.ask("RequestSwitchover", node="n1")
        assert (reply["code"], reply["detail"]) == (46, f"no healthy standby: {why}")
        assert not backed.core.hand_over

    def test_without_a_backup_or_for_another_node_it_is_refused(self, driver, monitor):
        # Given a node without a backup; when it is to hand over, or another one is; then that is wrong
        assert monitor.ask("RequestSwitchover", node="n1")["detail"] == "n1 has no backup"
        assert monitor.ask("RequestSwitchover", node="n2")["field"] == "node"
        assert not driver.core.hand_over

    def test_only_operators_may(self, backed):
        assert backed.client("gateway", "MediaServer").ask("RequestSwitchover", node="n1")["code"] == 40

    def test_asked_again_after_the_hand_over_it_is_not_done_again(self, backed, monitor):
        # Given a switchover that was acked; when its proxy sends it again to the new member; then that only acks it
        link = through_proxy(backed)[0], 0
        asked = {"message": "RequestSwitchover", "node": "n1", "dedup_id": "one"}
        assert backed.ask(link, asked)["message"] == "EventAck"
        other = backed.reopened()
        register = {"message": "RequestRegisterClient", "client_name": "p1", "client_type": "Proxy"}
        other.ask(link, register)
        assert other.ask(link, asked)["message"] == "EventAck"
        assert not other.core.hand_over


class TestDrain:
    def test_nothing_new_comes_through_proxies_and_all_else_goes_on(self, driver, monitor):
        # Given an interaction that came through a proxy; when the node is drained
        source = through_proxy(driver)
        ident = driver.ask(source, SUBMIT)["interaction_id"]
        driver.events()
        assert monitor.ask("RequestDrain", node="n1")["message"] == "EventAck"
        assert driver.events() == ["EventDrainBegun"]
        # Then nothing more comes that way, a client of the node itself is served, and what is there goes on
        assert driver.ask(source, SUBMIT)["code"] == 92
        direct = driver.client("direct", "MediaServer")
        assert driver.ask(direct.source, SUBMIT)["message"] == "EventAck"
        stop = {"message": "RequestStopProcessing", "interaction_id": ident}
        assert driver.ask(source, stop)["message"] == "EventAck"

    def test_the_status_says_so(self, driver, monitor):
        # Given a node that is drained; when the status is asked for; then it says since when
        assert "drained_since" in monitor.ask("RequestGetStatus")["nodes"]["n1"]
        assert monitor.ask("RequestGetStatus")["nodes"]["n1"]["drained_since"] is None
        monitor.ask("RequestDrain", node="n1")
        since = monitor.ask("RequestGetStatus")["nodes"]["n1"]["drained_since"]
        driver.wait(5)
        monitor.ask("RequestDrain", node="n1")
        assert monitor.ask("RequestGetStatus")["nodes"]["n1"]["drained_since"] == since
        assert since == pytest.approx(driver.now - 5, abs=0.1)

    def test_interactions_in_queues_that_are_not_configured_show(self, driver, monitor):
        # Given interactions in a queue that was taken out of the file while the node was down
        media = driver.client("mail", "MediaServer")
        assert monitor.ask("RequestGetStatus")["nodes"]["n1"]["strays"] == {}
        ident = driver.ask(media.source, SUBMIT)["interaction_id"]
        queue = driver.core.memory.interactions[ident].queue
        other = next(name for name in driver.core.configuration.queues if name != queue)
        driver.core.configuration = replace(
            driver.core.configuration,
            queues={name: one for name, one in driver.core.configuration.queues.items() if name != queue},
        )
        # When the status is asked for; then it names them, until they are moved
        assert monitor.ask("RequestGetStatus")["nodes"]["n1"]["strays"] == {queue: 1}
        media.ask("RequestPlaceInQueue", interaction_id=ident, queue=other)
        assert monitor.ask("RequestGetStatus")["nodes"]["n1"]["strays"] == {}

    def test_it_outlasts_a_failover_and_ends_when_it_is_ended(self, driver, monitor):
        # Given a node that is drained; when the other member takes over; then it is drained, until that is ended
        monitor.ask("RequestDrain", node="n1")
        other = driver.reopened()
        source = through_proxy(other)
        assert other.ask(source, SUBMIT)["code"] == 92
        again = other.client("top", "Monitor")
        assert again.ask("RequestUndrain", node="n1")["message"] == "EventAck"
        assert other.ask(source, SUBMIT)["message"] == "EventAck"
        assert "EventDrainEnded" in other.events()
        assert again.ask("RequestUndrain", node="n1")["message"] == "EventAck"
        assert other.events() == []

    def test_what_was_submitted_before_is_acked_again(self, driver, monitor):
        # Given a submit that was acked; when it is repeated while the node is drained; then it has its first reply
        source = through_proxy(driver)
        first = driver.ask(source, {**SUBMIT, "dedup_id": "one"})
        monitor.ask("RequestDrain", node="n1")
        assert driver.ask(source, {**SUBMIT, "dedup_id": "one"}) == first

    def test_it_is_for_the_named_node_and_for_operators(self, driver, monitor):
        for name in ("RequestDrain", "RequestUndrain"):
            assert monitor.ask(name, node="n2")["field"] == "node"
            assert driver.client("gateway", "MediaServer").ask(name, node="n1")["code"] == 40
