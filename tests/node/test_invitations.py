"""Invitations and agents whose clients were away for a while: a failover, a lost connection, a second client."""

from __future__ import annotations

import pytest


class Scene:
    """A routing engine that holds one interaction, and an agent, at one member; and both again at the next one."""

    def __init__(self, driver):
        self.driver = driver
        self.media = driver.client("gateway", "MediaServer")
        self.router, self.vicky = driver.client("urs", "RoutingEngine"), driver.agent("VICKY")
        reply = self.media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")
        self.ident = reply["interaction_id"]
        wanted = {"interaction_ids": [self.ident]}
        self.router.ask("RequestPull", tenant_id=101, view_id="_system_", pull_parameters=wanted)
        self.sessions = {session.name: session.session_id for session in driver.core.sessions.by_id.values()}

    def deliver(self):
        """The routing engine offers the interaction to the agent for twenty seconds."""
        self.router.ask("RequestDeliver", interaction_id=self.ident, agent_id="VICKY", timeout=20)

    def fail_over(self):
        """The other member serves; nobody has come back to it."""
        self.driver = self.driver.reopened()

    def back(self, name, kind):
        """A client has come back with its session."""
        return self.driver.client(name, kind, session_id=self.sessions[name])


@pytest.fixture
def scene(driver):
    return Scene(driver)


def invites(party):
    return [note for note in party.notes if note["message"] == "EventInvite"]


def test_an_invitation_that_the_killed_member_may_not_have_told_is_told_again(scene):
    """Given an agent was invited, when the pair fails over and the agent's client comes back, then it is told of the
    invitation with the same ticket and the time that is left, and can accept it."""
    scene.deliver()
    (first,) = invites(scene.vicky)
    scene.driver.wait(5)
    scene.fail_over()
    vicky = scene.back("VICKY", "AgentApplication")

    (again,) = invites(vicky)
    assert again == {**first, "timeout": pytest.approx(15, abs=0.1)}
    accept = {"interaction_id": scene.ident, "ticket_id": again["ticket_id"]}
    assert vicky.ask("RequestAccept", **accept)["message"] == "EventAck"


def test_an_agent_is_told_who_was_invited_before_its_client_was_back(scene):
    """Given a failover, when an agent is invited before its client has come back, then it is told as soon as it has."""
    scene.fail_over()
    scene.router = scene.back("urs", "RoutingEngine")
    scene.deliver()
    vicky = scene.back("VICKY", "AgentApplication")
    assert [note["interaction"]["interaction_id"] for note in invites(vicky)] == [scene.ident]


def test_an_invitation_that_has_run_out_meanwhile_can_still_be_answered(scene):
    """Given an invitation ran out while nobody served, when a member serves again, then the agent's answer has two
    seconds to arrive; without one it has run out."""
    scene.deliver()
    (invite,) = invites(scene.vicky)
    scene.driver.now += 30
    for seconds, code in ((1.5, None), (2.5, 48)):
        scene.driver, before = scene.driver.reopened(), scene.driver
        scene.driver.wait(seconds)
        vicky = scene.back("VICKY", "AgentApplication")
        reply = vicky.ask("RequestAccept", interaction_id=scene.ident, ticket_id=invite["ticket_id"])
        assert reply.get("code") == code
        scene.driver = before


def test_an_agents_second_client_is_told_of_its_invitations(scene):
    """Given an agent is invited, when it logs in from another client, then that one is told, and nobody is twice."""
    scene.deliver()
    other = scene.driver.client("other", "AgentApplication")
    other.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"voice": 1})
    other.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"voice": 1})
    assert invites(other) == invites(scene.vicky)
    assert len(invites(other)) == 1


def test_a_client_that_resumes_its_session_elsewhere_is_told_again(scene):
    """Given an agent is invited, when its client resumes its session by another connection, then it is told again; by
    the same connection it is not."""
    scene.deliver()
    moved = scene.driver.stranger("moved")
    resume = {"client_name": "VICKY", "client_type": "AgentApplication", "session_id": scene.sessions["VICKY"]}
    for _ in range(2):
        assert moved.ask("RequestRegisterClient", **resume)["session_id"] == scene.sessions["VICKY"]
    assert len(invites(moved)) == 1
