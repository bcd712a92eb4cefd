"""Which nodes a request may go to, as the configuration has it."""

from __future__ import annotations

from collections import Counter

import pytest

from broker.config.objects import (
    Addresses,
    Configuration,
    MediaType,
    Node,
    NodeClusterSettings,
    Proxy,
    Tenant,
)
from broker.errors import Code, Refusal
from proxy.route import Routes, checked_tenant


def make_routes(**cluster: NodeClusterSettings) -> Routes:
    """Three nodes with these settings; two tenants with voice, email and a disabled fax."""
    at = Addresses(requests="tcp://127.0.0.1:1", events="tcp://127.0.0.1:2")
    media = {"voice": MediaType(), "email": MediaType(), "fax": MediaType(enabled=False)}
    names = ("n1", "n2", "n3")
    nodes = {
        name: Node(database="sqlite:///x", primary=at, cluster_settings=cluster.get(name, NodeClusterSettings()))
        for name in names
    }
    configuration = Configuration(
        tenants={101: Tenant(media_types=media), 102: Tenant(media_types={"voice": MediaType()})},
        nodes=nodes,
        proxies={"p1": Proxy(primary=at, connections=list(names))},
    )
    return Routes(configuration, names)


def test_every_node_serves_what_its_settings_do_not_limit() -> None:
    # given one node for voice only, one for a tenant only, one for all
    routes = make_routes(n1=NodeClusterSettings(media_types=["voice"]), n2=NodeClusterSettings(tenants=[102]))
    # when nodes are looked for
    # then each is among those that it serves
    assert routes.serving(frozenset({101})) == ("n1", "n3")
    assert routes.serving(frozenset({101}), "email") == ("n3",)
    assert routes.serving(frozenset({101, 102})) == ("n1", "n2", "n3")
    assert routes.serving(frozenset({101, 102}), "voice") == ("n1", "n2", "n3")


@pytest.mark.parametrize(
    ("tenants", "media_type", "field"),
    [
        (set(), None, "tenant_id"),
        ({103}, None, "tenant_id"),
        ({101}, "pigeon", "media_type"),
        ({102}, "email", "media_type"),
    ],
)
def test_nobody_serves_what_there_is_not(tenants: set[int], media_type: str | None, field: str) -> None:
    # given tenants or media types that are not configured
    routes = make_routes()
    # when nodes are looked for
    with pytest.raises(Refusal) as raised:
        routes.serving(frozenset(tenants), media_type)
    # then no server accepts this media or tenant
    assert (raised.value.code, raised.value.field) == (Code.NO_SERVERS, field)


def test_submits_go_where_they_are_enabled() -> None:
    # given a node that takes no new interactions
    routes = make_routes(n2=NodeClusterSettings(enable_submit=False))
    # when nodes for a submit are looked for
    # then it is not among them, but it serves
    assert routes.submitting(101, "email") == ("n1", "n3")
    assert routes.serving(frozenset({101}), "email") == ("n1", "n2", "n3")


def test_a_disabled_media_type_is_refused_for_submits_only() -> None:
    # given a media type that is disabled
    routes = make_routes()
    # when nodes for a submit of it are looked for
    with pytest.raises(Refusal) as raised:
        routes.submitting(101, "fax")
    # then the proxy refuses; to find such interactions is allowed
    assert raised.value.code is Code.MEDIA_DISABLED
    assert len(routes.serving(frozenset({101}), "fax")) == 3


def test_nobody_takes_submits() -> None:
    # given nodes that take no new interactions
    off = NodeClusterSettings(enable_submit=False)
    routes = make_routes(n1=off, n2=off, n3=off)
    # when nodes for a submit are looked for
    with pytest.raises(Refusal) as raised:
        routes.submitting(101, "email")
    # then no server accepts this, though they serve it
    assert raised.value.code is Code.NO_SERVERS
    assert raised.value.detail.startswith(
        "none of n1, n2, n3 takes new interactions of tenant 101 and media type email"
    )


def test_turns_are_shared_evenly_by_those_that_are_there() -> None:
    # given three eligible nodes, one of which is away
    routes = make_routes()
    nodes = routes.submitting(101, "email")
    # when a hundred submits have their turn
    turns = Counter(routes.turn(nodes, ("n1", "n3")) for _ in range(100))
    # then the others have half of them each
    assert turns == {"n1": 50, "n3": 50}


def test_a_foreign_tenant_is_like_an_absent_one() -> None:
    # given a session of one tenant
    # when it names another, or one that there is not
    # then the refusal is the same
    refusals = []
    for tenant in (102, 999):
        with pytest.raises(Refusal) as raised:
            checked_tenant(tenant, frozenset({101}))
        refusals.append((raised.value.code, raised.value.field, raised.value.detail.replace(str(tenant), "N")))
    assert refusals[0] == refusals[1]
    assert refusals[0][0] is Code.NO_SERVERS


def test_what_is_remembered_is_bounded() -> None:
    # given clients that choose ever other sets of tenants
    routes = make_routes()
    # when nodes are looked for very often
    for number in range(25_000):
        routes.serving(frozenset({101, 1000 + number}))
    # then no more than a bounded number of answers is kept
    assert len(routes._serving) <= 10_000
