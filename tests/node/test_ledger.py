"""What a node drops is in its ledger."""

from __future__ import annotations

from broker.wire import PackedRequest, PackedRequests

HELLO = b'{"message":"RequestRegisterClient","client_name":"p1","client_type":"Proxy","session_id":"p1.b"}'
PING = b'{"message":"RequestPing"}'


def test_a_request_that_was_settled_is_dropped_and_noted(driver):
    """Given a proxy that has all replies below 5, when request 3 comes again, then it is not executed but noted."""
    link = driver.stranger("link")
    driver.core.receive_link(driver.now, b"link", PackedRequests(0, [PackedRequest(1, 0, 0, HELLO)]))
    driver.settle()
    driver.core.receive_link(driver.now, b"link", PackedRequests(5, [PackedRequest(3, 0, 0, PING)]))
    driver.settle()
    ops = driver.client("ops", "Monitor")
    kept = ops.ask("RequestGetLedger", node="n1")

    assert link.notes == [] and (kept["server"], kept["member"], kept["dropped"]) == ("n1", "primary", 1)
    assert kept["peers"] == {"p1": {"late request": 1}}
    assert kept["last"][0]["name"] == "RequestPing"
    assert ops.ask("RequestGetStatus")["nodes"]["n1"]["dropped"] == 1


def test_a_notification_without_a_client_is_noted(driver):
    """Given an agent whose connection was lost in a failover, when it is told something, then the ledger has it."""
    driver.agent("VICKY")
    media = driver.client("mail", "MediaServer")
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    driver.parties[b"VICKY", 0].ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    other = driver.reopened()
    media = other.client("mail", "MediaServer")
    media.ask("RequestStopProcessing", interaction_id=ident)
    kept = other.client("ops", "Monitor").ask("RequestGetLedger")

    assert [entry["name"] for entry in kept["last"]] == ["EventRevoked"]


def test_another_nodes_ledger_is_refused(driver):
    reply = driver.client("ops", "Monitor").ask("RequestGetLedger", node="n2")

    assert (reply["code"], reply["field"]) == (3, "node")
