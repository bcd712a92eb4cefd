"""Another configuration while a proxy runs: routing, views, bounds; what it keeps until a restart."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from broker.config.changes import fingerprint
from broker.config.listing import listing
from broker.config.objects import Addresses, Configuration, NodeClusterSettings, Queue, Tenant, View

SUBMIT: dict[str, Any] = {"tenant_id": 101, "media_type": "email", "queue": "Inbound"}
PULL: dict[str, Any] = {"tenant_id": 101, "view_id": "Inbound/all"}


def apart(configuration: Configuration) -> None:
    """All are at addresses of their own."""
    for name, pair in {**configuration.nodes, **configuration.proxies}.items():
        for member in ("primary", "backup"):
            if getattr(pair, member) is not None:
                addresses = Addresses(requests=f"ipc://{name}-{member}", events=f"ipc://{name}-{member}-events")
                setattr(pair, member, addresses)


@pytest.fixture
def world(make_world: Any) -> Any:
    """A proxy of two nodes, all at addresses of their own; ``world.file`` may be changed."""
    world = make_world(("n1", "n2"), change=apart)
    world.file = copy.deepcopy(world.configuration)
    return world


def reload(world: Any) -> dict[str, Any]:
    """The answer to RequestReconfigure."""
    if b"top" not in world.core.sessions.by_source:
        world.client(b"top", "Monitor")
    reply: dict[str, Any] = world.ask(b"top", "RequestReconfigure")
    return reply


def test_media_types_and_enable_submit_of_nodes(world: Any) -> None:
    # given nodes that both take mails
    media = world.client(b"gateway", "MediaServer")
    # when one is said to take none, and the other no submits
    world.file.nodes["n1"].cluster_settings.media_types = ["voice"]
    reply = reload(world)
    for _ in range(4):
        world.ask(media, "RequestSubmit", **SUBMIT)
    world.file = copy.deepcopy(world.file)
    world.file.nodes["n2"].cluster_settings = NodeClusterSettings(enable_submit=False)
    reload(world)
    # then mails go to the other only, and then to none
    assert reply["changed"] == ['nodes.n1.cluster-settings.media-types: ["voice"], was not set']
    assert (len(world["n1"].asked("RequestSubmit")), len(world["n2"].asked("RequestSubmit"))) == (0, 4)
    assert world.ask(media, "RequestSubmit", **SUBMIT)["code"] == 2001


def test_a_media_type_is_disabled_and_enabled(world: Any) -> None:
    # given a media type
    media = world.client(b"gateway", "MediaServer")
    # when it is disabled, and enabled again
    world.file.tenants[101].media_types["email"].enabled = False
    reload(world)
    refused = world.ask(media, "RequestSubmit", **SUBMIT)
    world.file = world.configuration
    reload(world)
    # then the proxy refuses submits, and lets them pass again
    assert refused["code"] == 15
    assert world.ask(media, "RequestSubmit", **SUBMIT)["message"] == "EventAck"


def test_a_new_view_is_served_and_one_that_is_gone_is_not(world: Any) -> None:
    # given a pull that waits for a view, and a view that there is not
    router = world.client(b"urs", "RoutingEngine")
    held = world.send(router, "RequestPull", **PULL, extension={"pull-for-strategy": 1})
    world.flow()
    assert world.ask(router, "RequestPull", **{**PULL, "view_id": "New/all"})["code"] == 14
    # when the one is removed and the other added
    del world.file.views["Inbound/all"]
    world.file.queues["New"] = Queue(tenant=101)
    world.file.views["New/all"] = View(queue="New")
    reload(world)
    # then who waits is told, and the other is pulled from
    assert world.reply(router, held)["code"] == 14
    assert world.ask(router, "RequestPull", **PULL)["code"] == 14
    assert world.ask(router, "RequestPull", **{**PULL, "view_id": "New/all"})["message"] == "EventPulledInteractions"


def test_a_view_with_another_order_asks_for_its_heads_anew(world: Any) -> None:
    # given a view whose heads are known
    router = world.client(b"urs", "RoutingEngine")
    for node, received in (("n1", 5.0), ("n2", 9.0)):
        world[node].heads["Inbound/all"] = [0, received, f"{node}-1"]
    world.ask(router, "RequestPull", **PULL)
    assert [len(world[node].asked("RequestPull")) for node in ("n1", "n2")] != [0, 0]
    world["n1"].log.clear(), world["n2"].log.clear()
    # when its order is turned round
    world.file.views["Inbound/all"].order = "received_at desc"
    for node, received in (("n1", 5.0), ("n2", 9.0)):
        world[node].heads["Inbound/all"] = [received, f"{node}-1"]
    reload(world)
    world.ask(router, "RequestPull", **PULL)
    # then the node that comes first by the new order is asked first
    assert world["n2"].asked("RequestPull")


def test_a_new_tenant_is_of_those_who_register_then(world: Any) -> None:
    # given a client that has registered for all tenants
    early = world.client(b"early", "MediaServer")
    # when there is one more
    world.file.tenants[103] = Tenant(media_types=dict(world.file.tenants[101].media_types))
    world.file.queues["Third"] = Queue(tenant=103)
    reload(world)
    late = world.client(b"late", "MediaServer")
    third = {**SUBMIT, "tenant_id": 103, "queue": "Third"}
    # then it is there for a client that registers now, and not for the other
    assert world.ask(early, "RequestSubmit", **third)["code"] == 2001
    assert world.ask(late, "RequestSubmit", **third)["message"] == "EventAck"


def test_bounds_and_timeouts(world: Any) -> None:
    # given the proxy's own options
    world.file.proxies["p1"].settings.max_clients = 1
    world.file.proxies["p1"].settings.request_timeout = 0.5
    # when they are others
    reply = reload(world)
    # then they hold at once
    assert reply["changed"] == ["proxies.p1.settings.max-clients: 1, was 20000"] + [
        "proxies.p1.settings.request-timeout: 0.5, was 10"
    ]
    fields = {"client_name": "more", "client_type": "Monitor"}
    assert world.ask(b"more", "RequestRegisterClient", **fields)["code"] == 91
    world["n1"].script["RequestSwitchover"] = None
    ref = world.send(b"top", "RequestSwitchover", node="n1")
    world.run(0.6)
    assert world.reply(b"top", ref)["code"] == 2002


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: setattr(c.proxies["p1"].primary, "events", "ipc://x"), "proxies.p1.primary.events"),
        (lambda c: setattr(c.proxies["p1"].settings, "stream_buffer", 2000), "proxies.p1.settings.stream-buffer"),
        (lambda c: c.proxies.pop("p1"), "proxies.p1"),
    ],
)
def test_what_needs_a_restart_is_named(world: Any, change: Any, key: str) -> None:
    # given a file that wants the proxy elsewhere, or gone
    change(world.file)
    world.file.queues["New"] = Queue(tenant=101)
    # when it is read
    reply = reload(world)
    # then the rest is taken on, and this is named with the reason
    assert reply["changed"] == ["queues.New: added"]
    assert [kept.partition(": ")[0] for kept in reply["kept"]] == [key]
    assert reply["fingerprint"] != fingerprint(world.file)
    assert world.ask(b"top", "RequestPing")["configuration"] == reply["fingerprint"]


def test_a_text_is_only_checked(world: Any) -> None:
    # given a text that is another configuration, and one with a fault
    client = world.client(b"top", "Monitor")
    good = world.file
    good.proxies["p1"].settings.max_pending = 7
    texts = [listing(good), listing(good).replace("tenant = 102", "tenant = 7")]
    # when they are to be checked
    said, faulty = (world.ask(client, "RequestReconfigure", configuration=text) for text in texts)
    # then the answers say what would be, and nothing is changed
    assert faulty["code"] == 63 and "there is no tenant 7" in faulty["detail"]
    assert said["changed"] == ["proxies.p1.settings.max-pending: 7, was 50000"]
    assert world.core.settings.max_pending == 50_000
    assert len(world.core.calls) == 0
