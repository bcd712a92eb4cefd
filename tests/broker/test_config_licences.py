"""Whose seats are a node's limit, and what a pool of all nodes asks of the configuration."""

from __future__ import annotations

import pytest

from broker.cli.status import licence_table
from broker.config.checks import check
from broker.config.faults import Findings
from broker.config.locator import Locator
from broker.config.objects import NodeSettings, Tenant
from tests.world import make_configuration

SEAT, EMAIL = "ics_multi_media_agent_seat", "ics_email_seat"


def pooled():
    made = make_configuration(3, 2, NodeSettings(licence_pool="cluster"))
    for name, counts in (("n1", {SEAT: 30}), ("n2", {SEAT: 10, EMAIL: 5}), ("n3", {})):
        made.nodes[name].licenses = counts
    return made


def faults(configuration):
    """Path and text of what the check finds about the pool."""
    findings = Findings("", Locator(""))
    check(configuration, findings)
    return {fault.key: fault.text for fault in findings.faults if "pool" in fault.key + fault.text}


def test_seats_are_the_nodes_own_or_those_of_all():
    """Given different counts at the nodes, when the limits are asked for, then they are the node's own, or with a pool
    the sums; a licence that no node names has none."""
    configuration = pooled()
    assert [configuration.seats_of(name) for name in ("n1", "n3")] == [{SEAT: 40, EMAIL: 5}] * 2
    for node in configuration.nodes.values():
        node.settings.licence_pool = "node"

    assert [configuration.seats_of(name) for name in ("n1", "n3")] == [{SEAT: 30}, {}]


def one_differs(configuration):
    configuration.nodes["n2"].settings = NodeSettings()


def one_serves_fewer(configuration):
    configuration.tenants[102] = Tenant(name="Shop")
    configuration.nodes["n2"].cluster_settings.tenants = [101]


def one_is_not_reached(configuration):
    configuration.proxies["p2"].connections = ["n1", "n3"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (one_differs, "nodes.n2.settings.licence-pool"),
        (one_serves_fewer, "nodes.n2.cluster-settings.tenants"),
        (one_is_not_reached, "proxies.p2.connections"),
    ],
)
def test_what_would_break_a_pool_is_refused(change, key):
    """Given a configuration with a pool, when a node or proxy would leave agents uncounted, then that is a fault."""
    configuration = pooled()
    assert faults(configuration) == {}
    change(configuration)

    assert list(faults(configuration)) == [key]


def test_the_status_shows_a_pool_once():
    """Given the figures of two nodes, when they are shown, then a pool is one line, seats of nodes are a line each."""
    use = {SEAT: {"used": 3, "limit": 4}, EMAIL: {"used": 1, "limit": None}}
    nodes = {name: {"licences": use, "licence_pool": "cluster"} for name in ("n1", "n2")}
    of = licence_table(nodes).columns[1]
    assert list(of.cells) == ["the cluster"]
    for node in nodes.values():
        node["licence_pool"] = "node"

    assert list(licence_table(nodes).columns[1].cells) == ["n1", "n2"]
