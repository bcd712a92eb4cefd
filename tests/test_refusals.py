"""Who refuses: every error names the server that it comes from, whoever the client has asked."""

from __future__ import annotations

import json

import pytest

from broker.config.objects import NodeSettings
from tests.world import World, make_configuration

UNKNOWN = {"interaction_id": "0" * 16}


@pytest.fixture
def world():
    """Two nodes and a proxy."""
    return World(make_configuration(2, 1, NodeSettings()))


def submitted(world):
    """An id, and the name of its node."""
    ident = world.client("MediaServer").ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")
    (node,) = [name for name, pair in world.pairs.items() if ident["interaction_id"] in pair.core.memory.interactions]
    return ident["interaction_id"], node


def test_a_node_that_refuses_is_named_to_a_client_of_the_proxy(world):
    """Given an interaction, when a client of the proxy wants it moved to a queue that there is not, then the error
    names the node that has it."""
    ident, node = submitted(world)
    error = world.client("MediaServer").ask("RequestPlaceInQueue", interaction_id=ident, queue="Nowhere")
    assert (error["message"], error["server"]) == ("EventError", node)


def test_a_proxy_that_refuses_names_itself(world):
    """Given a proxy, when a client asks it for what it can refuse by itself, then the error names the proxy."""
    client = world.client("MediaServer")
    foreign = client.ask("RequestSubmit", tenant_id=7, media_type="voice", queue="Inbound")
    unknown = client.ask("RequestStopProcessing", **UNKNOWN)
    assert [(one["message"], one["server"]) for one in (foreign, unknown)] == [("EventError", "p1")] * 2


def test_what_cannot_be_read_is_refused_by_name(world):
    """Given a node, when bytes come that are no request, then the error names the node."""
    core = world.pairs["n1"].core
    core.receive(world.now, (b"stranger", 0), b"r", b"no JSON")
    ((_, _, payload, _),) = core.take(world.now).replies
    assert json.loads(payload)["server"] == "n1"
