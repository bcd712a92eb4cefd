"""Invitations through proxies outlive a take-over, a lost connection and a move to another proxy."""

from __future__ import annotations

from typing import Any

import pytest

from broker.messages.kinds import ClientType
from tests.world import Client, World, make_configuration

LOGIN: dict[str, Any] = {"tenant_id": 101, "agent_id": "VICKY", "media_list": {"voice": 1}}


@pytest.fixture
def world() -> World:
    """Two nodes behind two proxies."""
    return World(make_configuration(2, 2))


def invited(world: World, desk: Client) -> dict[str, Any]:
    """Agent VICKY of a desk is invited. :returns: what the desk was told"""
    media, urs = world.client(ClientType.MEDIA), world.client(ClientType.ROUTING)
    ident = media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")["interaction_id"]
    urs.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    assert urs.ask("RequestDeliver", interaction_id=ident, agent_id="VICKY")["message"] == "EventAck"
    (note,) = invitations(desk)
    desk.notes.clear()
    return note


def invitations(desk: Client) -> list[dict[str, Any]]:
    """The invitations that a client was told of."""
    return [note for note in desk.notes if note["message"] == "EventInvite"]


def accept(desk: Client, note: dict[str, Any]) -> str:
    """Accepts an invitation. :returns: the name of the reply"""
    fields = {"ticket_id": note["ticket_id"], "agent_id": "VICKY"}
    return str(desk.ask("RequestAccept", interaction_id=note["interaction"]["interaction_id"], **fields)["message"])


def test_they_are_told_again_when_the_other_member_takes_over(world: World) -> None:
    # given an invited agent
    desk = world.client(ClientType.AGENT)
    desk.ask("RequestAgentLogin", **LOGIN)
    note = invited(world, desk)
    (node,) = [name for name, pair in world.pairs.items() if len(pair.core.memory.invitations)]  # type: ignore[union-attr]
    # when the node's other member takes over
    world.lose(node)
    world.run(0.5)
    world.take_over(node)
    world.run(0.5)
    # then the agent hears of it again, without having asked anything, and may accept
    (again,) = invitations(desk)
    assert again["ticket_id"] == note["ticket_id"]
    assert again["timeout"] < note["timeout"]
    assert accept(desk, again) == "EventAck"


def test_they_are_told_again_to_a_client_that_resumes_its_session(world: World) -> None:
    # given a client of which the connection is lost, and an invitation that nobody can tell it of
    register = {"client_name": "desk", "client_type": ClientType.AGENT}
    before, after = Client(world, "p1", "before"), Client(world, "p1", "after")
    session = before.ask("RequestRegisterClient", **register)["session_id"]
    before.ask("RequestAgentLogin", **LOGIN)
    note = invited(world, before)
    world.proxies["p1"].lost(world.now, before.source)
    # when it comes back by another connection
    after.ask("RequestRegisterClient", **register, session_id=session)
    # then it hears of it
    assert [one["ticket_id"] for one in invitations(after)] == [note["ticket_id"]]
    assert accept(after, note) == "EventAck"


def test_they_are_told_again_to_a_client_that_comes_to_another_proxy(world: World) -> None:
    # given an invited agent, whose proxy is gone
    note = invited(world, logged_in(world, "p1"))
    # when its application logs in through the other proxy
    desk = logged_in(world, "p2")
    # then it hears of it there
    assert [one["ticket_id"] for one in invitations(desk)] == [note["ticket_id"]]
    assert accept(desk, note) == "EventAck"


def logged_in(world: World, at: str) -> Client:
    """The agent's application at a proxy."""
    desk = world.client(ClientType.AGENT, at, name=f"desk-at-{at}", client_name="desk")
    assert desk.ask("RequestAgentLogin", **LOGIN)["message"] == "EventAck"
    return desk
