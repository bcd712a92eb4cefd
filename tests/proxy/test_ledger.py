"""What a proxy drops is in its ledger: late, expired and unroutable messages, and what clients cannot be told."""

from __future__ import annotations

from broker.wire import PackedReply


def ledger(world, **fields):
    """What the proxy says to an operator."""
    source = world.client(b"ops", "Monitor") if b"ops" not in world.core.sessions.by_source else b"ops"
    return world.ask(source, "RequestGetLedger", **fields)


def test_an_empty_ledger_says_whose_it_is(world):
    """Given nothing was dropped, when it is asked for, then it is empty."""
    assert ledger(world) == {"message": "EventLedger", "server": "p1", "member": "primary", "dropped": 0}


def test_a_request_that_a_node_does_not_answer_expires(world):
    """Given a silent node, when a request's time is over, then the ledger names the node and the request, and the
    answer that comes after it."""
    media = world.client(b"mail", "MediaServer")
    for node in world.nodes.values():
        node.script["RequestFindInteractions"] = {"message": "EventInteractionsFound", "interactions": []}
    world["n2"].script["RequestFindInteractions"] = None
    ref = world.send(media, "RequestFindInteractions", tenant_id=101)
    world.run(10.5)

    assert world.reply(media, ref)["missing"] == ["n2"]
    kept = ledger(world)
    assert kept["peers"] == {"n2": {"no answer in time": 1}}
    (entry,) = kept["last"]
    assert (entry["name"], entry["reason"]) == ("RequestFindInteractions", "no answer in time")

    (late,) = [entry for entry, request in world["n2"].log if request["message"] == "RequestFindInteractions"][:1]
    world["n2"].outgoing.append(PackedReply(late.number, late.client, 0, b'{"message":"EventInteractionsFound"}'))
    world.flow()
    assert ledger(world)["peers"]["n2"] == {"no answer in time": 1, "late reply": 1}


def test_a_doubled_reply_is_dropped_and_noted(world):
    """Given a node that answers twice, when both answers come, then the client gets one, the ledger the other."""
    media = world.client(b"mail", "MediaServer")
    world.ask(media, "RequestSubmit", tenant_id=101, media_type="email", queue="Inbound")
    (node,) = [node for node in world.nodes.values() if node.asked("RequestSubmit")]
    ((entry, _),) = node.log
    node.reply(entry, {"message": "EventAck"})
    world.flow()

    assert ledger(world)["peers"] == {node.name: {"late reply": 1}}


def test_what_cannot_be_routed_because_a_node_is_away(world):
    """Given a node that has long been away, when requests need it, then each is noted as not sent."""
    media = world.client(b"mail", "MediaServer")
    world.kill("n3")
    world.run(12)
    for _ in range(3):
        world.ask(media, "RequestFindInteractions", tenant_id=101)

    assert ledger(world)["peers"]["n3"]["node away"] == 3


def test_what_a_client_that_is_gone_cannot_be_told(world):
    """Given a client whose connection is lost, when a node tells it something, then that is noted under its name."""
    media = world.client(b"mail", "MediaServer")
    number = world.number_of(media)
    world["n1"].known.add(number)
    world.core.lost(world.now, media)
    world["n1"].notify(number, message="EventPropertiesChanged")
    world.flow()

    kept = ledger(world)
    assert kept["peers"] == {"mail": {"client gone": 1}}
    assert kept["last"][0]["name"] == "EventPropertiesChanged"


def test_a_nodes_ledger_is_asked_of_the_node(world):
    """Given a node's name, when a ledger is asked for, then the node is asked; without one the proxy says its own."""
    ledger(world, node="n2", count=0)

    assert world["n2"].asked("RequestGetLedger")[0]["node"] == "n2"
    assert ledger(world, node="n9")["code"] == 3


def test_the_status_has_the_number(world):
    world.client(b"ops", "Monitor")
    world.core.counts.drop("n1", "garbage")
    status = world.ask(b"ops", "RequestGetStatus")

    assert status["proxies"]["p1"]["members"]["primary"]["dropped"] == 1
