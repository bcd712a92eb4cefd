"""ESP servers in the configuration: what is refused, where, and that nodes of a tenant list the same ones."""

from __future__ import annotations

import pytest

from broker.config.load import judge

BASE = """
[tenants.101]
media-types = { voice = {}, email = {} }
[tenants.102]
media-types = { voice = {} }
[nodes.n1]
database = "sqlite:///n1.db"
connections = ["Sorter", "Mailer"]
primary = { requests = "tcp://127.0.0.1:7101", events = "tcp://127.0.0.1:7102" }
[nodes.n1.cluster-settings]
[nodes.n2]
database = "sqlite:///n2.db"
connections = ["Mailer", "Sorter"]
primary = { requests = "tcp://127.0.0.1:7201", events = "tcp://127.0.0.1:7202" }
[nodes.n2.cluster-settings]
[esp-servers.Sorter]
address = "tcp://127.0.0.1:7301"
application-type = "ClassificationServer"
services = ["Classify"]
[esp-servers.Mailer]
address = "ipc:///tmp/mailer"
tenants = [102]
"""
PART = "[nodes.n2.cluster-settings]"
OTHER = 'connections = ["Mailer", "Sorter"]'


def keys(text, cluster=False):
    verdict = judge(text, "cluster.toml", cluster=cluster)
    return [fault.key for fault in verdict.faults], [fault.key for fault in verdict.warnings]


def test_a_sound_file_has_no_faults():
    assert keys(BASE) == ([], [])
    assert keys(BASE, cluster=True)[0] == []


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"Sorter"]', '"Sorted"]', "nodes.n2.connections[1]"),
        ('"Sorter"]', '"n1"]', "nodes.n2.connections[1]"),
        ('"Sorter"]', '"Sorter", "Mailer"]', "nodes.n2.connections[2]"),
        ("7301", "7202", "esp-servers.Sorter.address"),
        ("127.0.0.1:7301", "example.org:7301", "esp-servers.Sorter.address"),
        ("[102]", "[103]", "esp-servers.Mailer.tenants[0]"),
        ('application-type = "ClassificationServer"', "application-type = 5", "esp-servers.Sorter.application-type"),
        ('address = "ipc:///tmp/mailer"\n', "", "esp-servers.Mailer.address"),
    ],
)
def test_a_fault_is_found_at_its_key(old, new, key):
    assert keys(BASE.replace(old, new))[0] == [key]


def test_a_server_that_no_node_connects_to_is_warned_of():
    text = BASE.replace('"Sorter", "Mailer"', '"Sorter"').replace('"Mailer", "Sorter"', '"Sorter"')
    assert keys(text) == ([], ["esp-servers.Mailer"])


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ([(OTHER, 'connections = ["Sorter"]')], ["nodes.n2.connections"]),
        ([(OTHER, 'connections = ["Mailer"]')], ["nodes.n2.connections"] * 2),
        ([(OTHER, 'connections = ["Sorter"]'), (PART, PART + "\ntenants = [101]")], []),
        ([(OTHER, 'connections = ["Sorter"]'), (PART, PART + '\nmedia-types = ["email"]')], []),
    ],
)
def test_nodes_of_a_tenant_and_media_type_list_the_same_servers(changes, faults):
    """Given two nodes with different servers, when the nodes are compared, then it is a fault exactly where both serve
    a tenant of the server and one of its media types."""
    text = BASE
    for old, new in changes:
        text = text.replace(old, new)
    assert keys(text, cluster=True)[0] == faults
