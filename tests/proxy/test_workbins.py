"""Workbins over several nodes: counts that add up, content in order, notifications. Their pulls: test_workbin_pulls."""

from __future__ import annotations

import pytest

from broker.messages.kinds import ClientType
from tests.world import World, make_configuration

DRAFTS = {"type": "Drafts", "agent_id": "VICKY"}


@pytest.fixture
def scene():
    """Five interactions of VICKY's workbin, over two nodes."""
    world = World(make_configuration(2, 1))
    media, vicky = world.client(ClientType.MEDIA, "p1"), world.client(ClientType.AGENT, "p1")
    vicky.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"voice": 1})
    fields = {"tenant_id": 101, "media_type": "voice", "workbin": DRAFTS}
    idents = {media.ask("RequestSubmit", **fields)["interaction_id"] for _ in range(5)}
    return media, vicky, idents


def test_a_pull_takes_what_it_wants_and_no_more(scene):
    media, vicky, idents = scene
    pull = {"tenant_id": 101, "view_id": "Drafts/PrivateView"}
    first = [it["interaction_id"] for it in vicky.ask("RequestPull", **pull, count=4)["interactions"]]
    rest = [it["interaction_id"] for it in vicky.ask("RequestPull", **pull, count=4)["interactions"]]
    assert (len(first), len(rest)) == (4, 1)
    assert {*first, *rest} == idents


def test_counts_add_up_and_content_is_in_order(scene):
    media, vicky, idents = scene
    counts = vicky.ask("RequestWorkbinStatistic", tenant_id=101, workbin=DRAFTS)
    assert (counts["workbins"][0]["count"], counts["complete"]) == (5, True)
    found = vicky.ask("RequestGetWorkbinContent", tenant_id=101, workbin=DRAFTS, order="submitted_at", count=4)
    times = [it["submitted_at"] for it in found["interactions"]]
    assert len(times) == 4 and times == sorted(times) and found["more"] is True


def test_notifications_come_through_from_every_node(scene):
    media, vicky, idents = scene
    assert vicky.ask("RequestWorkbinNotifications", tenant_id=101, workbin=DRAFTS)["message"] == "EventAck"
    vicky.notes.clear()
    for ident in idents:
        media.ask("RequestStopProcessing", interaction_id=ident)
    removed = [it["interaction_id"] for it in vicky.notes if it["message"] == "EventWorkbinContentChanged"]
    assert sorted(removed) == sorted(idents)
