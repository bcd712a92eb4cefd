"""What is under way between a client, a proxy and its nodes, with real cores: late, lost, doubled, and sent again."""

from __future__ import annotations

import pytest

from broker.config.objects import NodeSettings
from tests.world import World, make_configuration

SUBMIT = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
TIMEOUT_S = 2.0
INVITED_S = 10.0


@pytest.fixture
def world():
    """Three nodes, one proxy; a request may wait for two seconds, an invitation stands for ten."""
    return World(make_configuration(3, 1, NodeSettings(delivering_timeout=INVITED_S), request_timeout=TIMEOUT_S))


def desk(world, agent):
    client = world.client("AgentApplication", name=agent)
    asked = {"tenant_id": 101, "agent_id": agent, "media_list": {"voice": 1}}
    assert client.ask("RequestAgentLogin", **asked)["message"] == "EventAck"
    return client


def asked_over(world):
    """VICKY asks ZOE to take her interaction. Returns both, the interaction and the number of the request."""
    vicky, zoe = desk(world, "VICKY"), desk(world, "ZOE")
    ident = world.client("MediaServer").ask("RequestSubmit", **SUBMIT)["interaction_id"]
    assert vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all")["interactions"]
    number = vicky.send("RequestTransfer", interaction_id=ident, agent_id="ZOE")
    world.settle()
    return vicky, zoe, ident, number


def accept(zoe, ident):
    (ticket,) = {note["ticket_id"] for note in zoe.notes if note["message"] == "EventInvite"}
    return zoe.ask("RequestAccept", interaction_id=ident, ticket_id=ticket)


@pytest.mark.parametrize("fails_over", [False, True])
def test_a_deferred_ack_outlives_the_request_timeout(world, fails_over):
    """Given a transfer that waits for the other agent for four times as long as requests wait, and a failover of all
    nodes meanwhile or none, when that agent accepts, then the one who asked has his ack, once."""
    vicky, zoe, ident, number = asked_over(world)
    world.run(2 * TIMEOUT_S)
    if fails_over:
        for name in world.pairs:
            world.take_over(name)
    world.run(2 * TIMEOUT_S)
    assert not vicky.answers[number]
    assert accept(zoe, ident)["message"] == "EventAck"
    world.run(TIMEOUT_S)

    assert vicky.answer(number)["message"] == "EventAck"


def test_a_deferred_ack_is_the_end_of_the_invitation_not_of_patience(world):
    """Given a transfer that nobody answers, when the invitation is over, then the one who asked is told that it has
    expired, and not that a node was lost."""
    vicky, _, _, number = asked_over(world)
    world.run(INVITED_S + TIMEOUT_S / 2)

    assert vicky.answer(number)["code"] == 51


def deaf(world, monkeypatch):
    """From now on no reply of a node arrives at the proxy; what was said is kept."""
    kept = []
    monkeypatch.setattr(world, "reply", lambda pair, proxy, replies: kept.append((pair, proxy, replies)))
    return kept


def test_what_was_done_and_not_heard_is_asked_again_and_done_once(world, monkeypatch):
    """Given a submit that a node has executed and whose reply is lost with the member, when the other member serves,
    then it is asked again under the same number, and says what was done: there is one interaction."""
    media = world.client("MediaServer")
    with monkeypatch.context() as patched:
        deaf(world, patched)
        number = media.send("RequestSubmit", **SUBMIT)
        world.settle()
        assert sum(len(pair.core.memory.interactions) for pair in world.pairs.values()) == 1
    for name in world.pairs:
        world.take_over(name)
    world.run(1.0)
    cores = [pair.core for pair in world.pairs.values()]

    (ident,) = [ident for core in cores for ident in core.memory.interactions]
    assert media.answer(number)["interaction_id"] == ident
    assert sum(core.counts["repeated"] for core in cores) == 1


def test_late_and_doubled_replies_are_dropped_and_in_the_ledger(world, monkeypatch):
    """Given a reply that comes after the client was told that the node is lost, and comes twice, when it does, then the
    client has one answer, and the ledger has both by node and reason."""
    media = world.client("MediaServer")
    ident = media.ask("RequestSubmit", **SUBMIT)["interaction_id"]
    change = {"interaction_id": ident, "changed_properties": {"priority": 3}}
    with monkeypatch.context() as patched:
        kept = deaf(world, patched)
        number = media.send("RequestChangeProperties", **change)
        world.run(TIMEOUT_S + 0.1)
        assert media.answer(number)["code"] in (2002, 2003)
        late = [(pair, proxy, [one for one in said if one.client]) for pair, proxy, said in kept]
    pair, proxy, said = next(one for one in late if one[2])
    before = ledger(world, pair.name)
    for _ in range(2):
        world.reply(pair, proxy, said[:1])
    world.run(0.2)

    assert len(media.answers[number]) == 1
    now = ledger(world, pair.name)
    assert now.get("no answer in time", 0) == 1
    assert now.get("late reply", 0) == before.get("late reply", 0) + 2


def ledger(world, node):
    """What the proxy has dropped of a node's, by reason."""
    asked = world.client("Monitor").ask("RequestGetLedger", count=0)
    return asked["peers"].get(node, {})
