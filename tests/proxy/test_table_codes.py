"""The published codes 2000 to 2006, each at its occasions (cluster guide, "Error Codes" and "No Definite Reply"), and
where the definite answer is given instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from broker.config.objects import Configuration, MediaType, NodeClusterSettings, Tenant
from broker.errors import Code
from broker.ids import make_id, node_code, rendezvous
from broker.messages.kinds import ClientType
from tests.proxy.table.disturbed import Disturbance, Disturbed
from tests.proxy.table.rest import leftovers
from tests.world import Client, make_configuration

NODES = ["n1", "n2", "n3"]
TIMEOUT_S = 2.0
MINE = next(ident for ident in map("mine-{}".format, range(99)) if rendezvous(ident, NODES)[0] == "n1")
AT_1 = make_id(node_code("n1"), 1)
SUBMIT: dict[str, Any] = {"tenant_id": 101, "media_type": "voice", "queue": "Inbound"}
LOGIN: dict[str, Any] = {"tenant_id": 101, "agent_id": "VICKY", "media_list": {"voice": 1}}
SNAPSHOT: dict[str, Any] = {"tenant_id": 101, "condition": ""}
ESP: dict[str, Any] = {"tenant_id": 101, "request": {"Service": "Classify"}}
STRATEGY: dict[str, Any] = {"tenant_id": 101, "strategy_id": "Greeting"}
Answer = dict[str, Any]


def configuration() -> Configuration:
    """Three nodes. Only n1 and n2 serve e-mail, nobody sms; only n3 the second tenant, nobody the third."""
    made = make_configuration(3, 1, request_timeout=TIMEOUT_S)
    made.tenants[101].media_types |= {"sms": MediaType(), "fax": MediaType(enabled=False)}
    made.tenants[102] = Tenant(name="Shop", media_types={"voice": MediaType()})
    made.tenants[103] = Tenant(name="Nobody's", media_types={"voice": MediaType()})
    for name in ("n1", "n2"):
        made.nodes[name].cluster_settings = NodeClusterSettings(media_types=["voice", "email"], tenants=[101])
    made.nodes["n3"].cluster_settings = NodeClusterSettings(media_types=["voice"], tenants=[101, 102])
    return made


class Cluster(Disturbed):
    """The cluster, and a client of each kind at the proxy."""

    def __init__(self) -> None:
        super().__init__(configuration())
        self.media = self.client(ClientType.MEDIA)
        self.desk = self.client(ClientType.AGENT)
        self.engine = self.client(ClientType.ROUTING)
        self.monitor = self.client(ClientType.MONITOR)
        self.core = self.proxies["p1"]

    def hold(self, ident: str, *nodes: str) -> None:
        """Nodes get an interaction of this id from clients of their own."""
        for node in nodes:
            ack = self.client(ClientType.MEDIA, node).ask("RequestSubmit", interaction_id=ident, **SUBMIT)
            assert ack["message"] == "EventAck", ack

    def late(self, client: Client, message: str, **fields: Any) -> Answer:
        """The answer to a request that is answered by its deadline at the latest."""
        number = client.send(message, **fields)
        until = self.now + TIMEOUT_S + 0.15
        self.settle()
        while not client.answers[number] and self.now < until:
            self.run(0.1)
        return client.answer(number)


class Occasion(NamedTuple):
    """When a code is said. :param more: what else the answer has; :param of: plays it and gives the answer"""

    code: int
    when: str
    more: dict[str, Any]
    of: Callable[[Cluster], Answer]


OCCASIONS: list[Occasion] = []


def occasion(code: int, when: str, **more: Any) -> Callable[[Callable[[Cluster], Answer]], None]:
    """Notes an occasion."""

    def note(of: Callable[[Cluster], Answer]) -> None:
        OCCASIONS.append(Occasion(code, when, more, of))

    return note


def plain(code: int, when: str, client: str, message: str, more: dict[str, Any], **fields: Any) -> None:
    """An occasion that needs nothing but the request."""
    OCCASIONS.append(Occasion(code, when, more, lambda cluster: getattr(cluster, client).ask(message, **fields)))


plain(2000, "no request has the name", "media", "RequestRouteCall", {"field": "message"})


@occasion(2000, "only proxies ask that, and only of nodes", detail="this is between a proxy and its nodes")
def _(cluster: Cluster) -> Answer:
    return cluster.client(ClientType.PROXY).ask("RequestWatchView", view_id="Inbound/all")


MEDIA, TENANT = {"field": "media_type"}, {"field": "tenant_id"}
plain(2001, "no node serves the media type", "media", "RequestSubmit", MEDIA, **{**SUBMIT, "media_type": "sms"})
plain(2001, "there is no such media type", "media", "RequestSubmit", MEDIA, **{**SUBMIT, "media_type": "telex"})
plain(2001, "no node serves the tenant", "media", "RequestSubmit", MEDIA, **{**SUBMIT, "tenant_id": 103})
plain(2001, "there is no such tenant", "media", "RequestSubmit", TENANT, **{**SUBMIT, "tenant_id": 999})
plain(2001, "no node serves the tenant of a search", "media", "RequestFindInteractions", TENANT, tenant_id=103)
plain(2001, "nor its media type", "media", "RequestFindInteractions", MEDIA, tenant_id=101, media_type="sms")
plain(2001, "nor that of an agent", "desk", "RequestAgentLogin", TENANT, **{**LOGIN, "tenant_id": 103})
plain(2001, "nor that of a pull", "engine", "RequestPull", TENANT, tenant_id=999, view_id="Inbound/all")
plain(2001, "nor that of an ESP request", "engine", "Request3rdServer", TENANT, **{**ESP, "tenant_id": 103})
plain(2001, "nor that of a strategy", "engine", "RequestUnloadStrategy", TENANT, **{**STRATEGY, "tenant_id": 103})
plain(2001, "the media type is of a wrong type", "media", "RequestSubmit", MEDIA, **{**SUBMIT, "media_type": 5})
plain(2001, "the tenant is missing", "media", "RequestSubmit", TENANT, media_type="voice", queue="Inbound")
plain(2001, "the tenant of a login is missing", "desk", "RequestAgentLogin", TENANT, agent_id="VICKY", media_list={})
plain(15, "the media type is disabled", "media", "RequestSubmit", MEDIA, **{**SUBMIT, "media_type": "fax"})


@occasion(2001, "the client may not act in the tenant", field="tenant_id")
def _(cluster: Cluster) -> Answer:
    return cluster.client(ClientType.MEDIA, tenants=[102]).ask("RequestSubmit", **SUBMIT)


@occasion(2001, "no node takes new interactions", field="media_type")
def _(cluster: Cluster) -> Answer:
    for name in NODES:
        cluster.core.configuration.nodes[name].cluster_settings = NodeClusterSettings(enable_submit=False)
    cluster.core.routes.reload(cluster.core.configuration, cluster.core.routes.nodes)
    return cluster.media.ask("RequestSubmit", **SUBMIT)


@occasion(2001, "every node that could take it is drained", field="media_type")
def _(cluster: Cluster) -> Answer:
    for name in NODES:
        assert cluster.monitor.ask("RequestDrain", node=name)["message"] == "EventAck"
    return cluster.media.ask("RequestSubmit", **SUBMIT)


@occasion(2002, "the node that was asked is lost", missing=["n1"])
def _(cluster: Cluster) -> Answer:
    cluster.lose("n1")
    return cluster.late(cluster.media, "RequestSubmit", interaction_id=MINE, **SUBMIT)


@occasion(2002, "nodes of a search are lost, and it has to be complete", missing=["n2", "n3"])
def _(cluster: Cluster) -> Answer:
    cluster.lose("n2")
    cluster.lose("n3")
    return cluster.late(cluster.media, "RequestFindInteractions", tenant_id=101, require_complete=True)


@occasion(2002, "what has to be done at all nodes cannot be done at one", missing=["n3"])
def _(cluster: Cluster) -> Answer:
    cluster.lose("n3")
    return cluster.late(cluster.monitor, "RequestPauseQueue", queue="Inbound")


@occasion(2002, "nobody is there", missing=NODES)
def _(cluster: Cluster) -> Answer:
    for name in NODES:
        cluster.lose(name)
    cluster.run(3 * TIMEOUT_S)
    return cluster.late(cluster.monitor, "RequestGetQueues")


@occasion(2003, "one node is silent, the others do not have it", missing=["n3"])
def _(cluster: Cluster) -> Answer:
    cluster.lose("n3")
    return cluster.late(cluster.media, "RequestStopProcessing", interaction_id=MINE)


@occasion(2003, "the node that its id names is silent", missing=["n1"])
def _(cluster: Cluster) -> Answer:
    cluster.lose("n1")
    return cluster.late(cluster.media, "RequestStopProcessing", interaction_id=AT_1)


@occasion(2003, "the remembered node does not have it any more, and another one is silent", missing=["n2"])
def _(cluster: Cluster) -> Answer:
    cluster.hold(MINE, "n1")
    assert cluster.media.ask("RequestStopProcessing", interaction_id=MINE)["message"] == "EventAck"
    cluster.lose("n2")
    return cluster.late(cluster.media, "RequestStopProcessing", interaction_id=MINE)


@occasion(2003, "a node answers with garbage", missing=["n1"])
def _(cluster: Cluster) -> Answer:
    cluster.watch(["RequestStopProcessing"], ["RequestStopProcessing"])
    cluster.disturbances["n1"] = Disturbance(garbled=b"?")
    return cluster.media.ask("RequestStopProcessing", interaction_id=MINE)


@occasion(2003, "an ESP request names it and nobody can be asked who has it", missing=["n2"])
def _(cluster: Cluster) -> Answer:
    cluster.lose("n2")
    return cluster.late(cluster.engine, "Request3rdServer", interaction_id=MINE, **ESP)


INTERACTION, IDS = {"field": "interaction_id"}, {"field": "pull_parameters"}
plain(2003, "its id is missing", "media", "RequestStopProcessing", INTERACTION)
plain(2003, "its id is of a wrong type", "media", "RequestStopProcessing", INTERACTION, interaction_id=7)
plain(
    2003,
    "a pull names no ids",
    "desk",
    "RequestPull",
    IDS,
    tenant_id=101,
    view_id="_system_",
)
plain(43, "every node has said that it does not have it", "media", "RequestStopProcessing", {}, interaction_id=MINE)


@occasion(43, "the node that its id names does not have it, whoever else is lost")
def _(cluster: Cluster) -> Answer:
    cluster.lose("n2")
    cluster.lose("n3")
    return cluster.media.ask("RequestStopProcessing", interaction_id=AT_1)


@occasion(2004, "the same agent is just being changed")
def _(cluster: Cluster) -> Answer:
    assert cluster.desk.ask("RequestAgentLogin", **LOGIN)["message"] == "EventAck"
    cluster.lose("n2")
    first = cluster.desk.send("RequestDoNotDisturbOn", agent_id="VICKY")
    answer = cluster.desk.ask("RequestNotReadyForMedia", agent_id="VICKY", media_type="voice")
    cluster.run(TIMEOUT_S + 0.1)
    assert cluster.desk.answer(first)["message"] == "EventAck"
    return answer


@occasion(2004, "the same strategy is just being loaded")
def _(cluster: Cluster) -> Answer:
    cluster.lose("n2")
    first = cluster.engine.send("RequestLoadStrategy", view_ids=["Inbound/all"], **STRATEGY)
    answer = cluster.engine.ask("RequestUnloadStrategy", **STRATEGY)
    cluster.run(TIMEOUT_S + 0.1)
    assert cluster.engine.answer(first)["message"] == "EventAck"
    return answer


@occasion(2005, "two nodes have it", detail="n1 and n3 hold it")
def _(cluster: Cluster) -> Answer:
    cluster.hold(MINE, "n1", "n3")
    return cluster.media.ask("RequestGetInteractionProperties", interaction_id=MINE)


@occasion(2005, "three nodes have it", detail="n1 and n2 and n3 hold it")
def _(cluster: Cluster) -> Answer:
    cluster.hold(MINE, *NODES)
    return cluster.media.ask("RequestGetInteractionProperties", interaction_id=MINE)


@occasion(2005, "two nodes have it and the third is silent", detail="n1 and n2 hold it")
def _(cluster: Cluster) -> Answer:
    cluster.hold(MINE, "n1", "n2")
    cluster.lose("n3")
    return cluster.late(cluster.media, "RequestGetInteractionProperties", interaction_id=MINE)


@occasion(2005, "an ESP request names it, and two nodes have it", detail="n2 and n3 hold it")
def _(cluster: Cluster) -> Answer:
    cluster.hold(MINE, "n2", "n3")
    cluster.client(ClientType.ESP)
    return cluster.late(cluster.engine, "Request3rdServer", interaction_id=MINE, **ESP)


@occasion(2005, "a custom event is about it, and two nodes have it", detail="n2 and n3 hold it")
def _(cluster: Cluster) -> Answer:
    cluster.hold(MINE, "n2", "n3")
    return cluster.late(cluster.media, "RequestDistributeEvent", tenant_id=101, event_id=7, interaction_id=MINE)


@occasion(2006, "a node that has a part of the snapshot is silent", missing=["n2"])
def _(cluster: Cluster) -> Answer:
    taken = cluster.desk.ask("RequestTakeSnapshot", **SNAPSHOT)
    cluster.lose("n2")
    return cluster.late(cluster.desk, "RequestGetSnapshotInteractions", snapshot_id=taken["snapshot_id"])


@occasion(2006, "nobody who has a part of it is there", missing=NODES)
def _(cluster: Cluster) -> Answer:
    taken = cluster.desk.ask("RequestTakeSnapshot", **SNAPSHOT)
    for name in NODES:
        cluster.lose(name)
    return cluster.late(cluster.desk, "RequestReleaseSnapshot", snapshot_id=taken["snapshot_id"])


@occasion(70, "every node that it names has said that there is no such snapshot")
def _(cluster: Cluster) -> Answer:
    taken = cluster.desk.ask("RequestTakeSnapshot", **SNAPSHOT)
    assert cluster.desk.ask("RequestReleaseSnapshot", snapshot_id=taken["snapshot_id"])["message"] == "EventAck"
    return cluster.desk.ask("RequestGetSnapshotInteractions", snapshot_id=taken["snapshot_id"])


# ---- the tests

PUBLISHED = {code for code in Code if code >= 2000}


@pytest.mark.parametrize("said", OCCASIONS, ids=lambda said: f"{said.code} {said.when}")
def test_it_is_said_then(said: Occasion) -> None:
    """Given an occasion, when a client asks, then the answer has its code and what goes with it; nothing is left."""
    cluster = Cluster()
    answer = said.of(cluster)
    assert (answer["message"], answer.get("code"), answer.get("text")) == (
        "EventError",
        said.code,
        Code(said.code).text,
    )
    assert {key: answer.get(key) for key in said.more} == said.more
    assert answer["detail"] or said.code == Code.MEDIA_DISABLED
    for node, pair in cluster.pairs.items():
        if pair.core is None:
            cluster.take_over(node)
    cluster.run(3 * TIMEOUT_S)
    assert leftovers(cluster.core) == {}


def test_a_pull_by_ids_says_it_of_each() -> None:
    """Given ids of which one is at two nodes, one may be at a silent node, one is nowhere and one is waiting, when they
    are pulled, then each has its own answer."""
    cluster = Cluster()
    cluster.hold(MINE, "n1", "n2")
    cluster.hold(AT_1, "n1")
    cluster.lose("n3")
    ids = [MINE, AT_1, "not-known", make_id(node_code("n2"), 5)]
    pulled = cluster.late(
        cluster.engine, "RequestPull", tenant_id=101, view_id="_system_", pull_parameters={"interaction_ids": ids}
    )
    assert [one["interaction_id"] for one in pulled["interactions"]] == [MINE, MINE, AT_1]
    codes = {ident: error["code"] for ident, error in pulled["errors"].items()}
    assert codes == {MINE: 2005, "not-known": 2003, ids[3]: 43}
    details = {ident: error["detail"] for ident, error in pulled["errors"].items()}
    assert details == {
        MINE: "n1 and n2 hold it",
        "not-known": "no answer from n3",
        ids[3]: f"n2 has no interaction {ids[3]}",
    }
    assert pulled["errors"]["not-known"]["missing"] == ["n3"]
    assert (pulled["complete"], pulled["missing"]) == (False, ["n3"])


def test_every_published_code_has_its_occasions() -> None:
    assert {said.code for said in OCCASIONS if said.code >= 2000} == PUBLISHED
    assert len({(said.code, said.when) for said in OCCASIONS}) == len(OCCASIONS)


@pytest.mark.parametrize("code", sorted(PUBLISHED))
def test_its_occasions_are_documented(code: Code) -> None:
    """Given docs/errors.md, when one looks a published code up, then it says when it is said."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text()
    line = re.search(rf"^\| {int(code)} \| [^|]* \| ([^|]+) \|", page, re.MULTILINE)
    assert line is not None and len(line[1].split()) > 5
