"""The rows of the table: every request class of the catalogue, and the ways besides the usual one that some can take.

The cluster has three nodes. The interaction that the examples speak of is at n1 and first in its view; what waits
behind it is spread so that an order or a limit over the nodes is one that no node could keep alone:

    queue Inbound   example (n1)  n2-1  n3-2  n1-3  n3-4  n2-5        by priority, falling from 0 to -5
    workbin Drafts  n1-7  n2-8  n3-9  n1-10                           of the agent VICKY, in the same order
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from broker.config.objects import NodeSettings
from broker.ids import make_id, node_code, rendezvous
from broker.messages import REQUESTS
from broker.messages.kinds import ClientType
from tests.proxy.table.disturbed import LOOK, Disturbed
from tests.proxy.table.rules import way_of
from tests.stage import AGENT, DESK, ENGINE, HELD, MEDIA, TIMEOUT_S, Stage, Step
from tests.world import make_configuration

NODES = ("n1", "n2", "n3")
WAITING = (("n2", 1), ("n3", 2), ("n1", 3), ("n3", 4), ("n2", 5))
PUT_BACK = (("n1", 7), ("n2", 8), ("n3", 9), ("n1", 10))
INVITATION_S = 10.0
"""How long an invitation stands, and an ESP server has to answer."""
HOLD_S = 1.0

DRAFTS = {"type": "Drafts", "agent_id": AGENT}
MADE_UP = next(ident for ident in map("ticket-{}".format, range(99)) if rendezvous(ident, [*NODES])[0] == "n1")
"""An id of a client's own whose home is n1."""
ELSEWHERE = next(ident for ident in map("ticket-{}".format, range(99)) if rendezvous(ident, [*NODES])[0] == "n2")


def ident(node: str, number: int) -> str:
    """The id of one of those that wait."""
    return make_id(node_code(node), number)


def _waits(node: str, number: int, **where: Any) -> Step:
    fields = {"tenant_id": 101, "media_type": "voice", "priority": -number, "interaction_id": ident(node, number)}
    return MEDIA, "RequestSubmit", {**fields, **where}


STOCK: list[Step] = [
    *(_waits(*one, queue="Inbound") for one in WAITING),
    *(_waits(*one, workbin=DRAFTS) for one in PUT_BACK),
]

PULL = {"tenant_id": 101, "view_id": "Inbound/all", "count": 4}
TAKEN: Step = (DESK, "RequestPull", {"tenant_id": 101, "view_id": "Inbound/all", "agent_id": AGENT, "count": 3})
HOLD = {"extension": {"pull-for-strategy": 1}}
IDS = {"interaction_ids": [ident("n3", 2), HELD, ident("n2", 1)]}
SERVER = {"request": {"Service": "Classify"}}
ORDERS = ("global", "round-robin")
"""The published ways to pull from several nodes (option ``pull-order``)."""


class Row(NamedTuple):
    """A row.

    :param name: of the request class; :param variant: what is different from its example, in a word or two
    :param way: a line of the rules; :param fields: of the request, besides its example's
    :param kind: who asks; :param held: the id of the interaction that the examples speak of
    :param on: the requests to nodes whose answers are disturbed, where they have another name
    :param before: what has to be done besides; :param settings: of the proxy
    """

    name: str
    variant: str = ""
    way: str = ""
    fields: Mapping[str, Any] = {}
    kind: ClientType | None = None
    held: str = HELD
    on: tuple[str, ...] = ()
    before: tuple[Step, ...] = ()
    settings: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return f"{self.name.removeprefix('Request')} {self.variant}".strip()


FIELDS: dict[str, dict[str, Any]] = {
    "RequestFindInteractions": {"condition": "queue = 'Inbound' and priority >= -4", "count": 3},
    "RequestGetWorkbinContent": {"order": "priority desc", "count": 2},
    "RequestTakeSnapshot": {"condition": "queue = 'Inbound'", "order": "priority desc"},
    "RequestGetSnapshotInteractions": {"start_from": 1, "number_of_interactions": 4},
    "RequestGetViewPosition": {"key": [-4, 0.0, ""]},
    "RequestReplayEvents": {"from": None},
}
"""What the example has to be, so that order and limit over the nodes are tried."""

DRESSED = {
    "request": {
        "Service": "OMService",
        "Method": "FindInteractions",
        "Parameters": {"Condition": "queue = 'Inbound' and priority >= -4", "Order": "priority desc", "MaxCount": 3},
    }
}
FOUND = ("RequestFindInteractions",)
LOOKED = ("RequestGetInteractionProperties",)
OF_ONE = ("RequestStartPlaceAgentStateReportingAll",)
RECALL = ("RequestRecall",)

OTHERWISE: dict[str, Row] = {
    # no node decides about giving back: one that is silent has a reservation that ends by its time
    "RequestCancelAgentReservation": Row("RequestCancelAgentReservation", way="first, rest"),
    # an agent that handles something at every node, so that counts are added up
    "RequestAgentState": Row("RequestAgentState", way="every part", before=(TAKEN,)),
    # the cluster's own service: the request inside goes its own way
    "Request3rdServer": Row("Request3rdServer", "OMService", "every part", DRESSED, on=FOUND),
    "RequestExternalService": Row("RequestExternalService", "OMService", "every part", DRESSED, on=FOUND),
    # what is said of one agent is a part of what is asked of all
    "RequestStartPlaceAgentStateReporting": Row("RequestStartPlaceAgentStateReporting", way="every part", on=OF_ONE),
}
"""Classes whose rows are not what their route and example say, and why."""


def pulls_of(order: str) -> list[tuple[Any, ...]]:
    """Every kind of pull: what is different, way, fields, who asks, id, and on what its nodes are disturbed."""
    workbin = {"view_id": "Drafts/PrivateView", "count": 3, "workbin": DRAFTS}
    return [
        (f"{order}", "view", PULL),
        (f"{order}, the first of its view", "heads", PULL, None, HELD, ("RequestWatchView",)),
        (f"{order}, with a hold", "view", {**PULL, **HOLD}, ENGINE),
        (f"{order}, by ids", "ids", {"view_id": "_system_", "pull_parameters": IDS}),
        (f"{order}, from a workbin", "workbin", workbin),
        (f"{order}, the first of a workbin", "heads", workbin, None, HELD, (LOOK,)),
        (f"{order}, with a dedup_id", "recalled", {**PULL, "dedup_id": "once"}, None, HELD, RECALL),
        (f"{order}, from a workbin, with a dedup_id", "recalled", {**workbin, "dedup_id": "once"}, None, HELD, RECALL),
    ]


SERVICES = ("Request3rdServer", "RequestExternalService")

MORE: list[Row] = [
    *(
        Row(name, "by a made-up id", "any holder", held=MADE_UP)
        for name in sorted(REQUESTS)
        if way_of(name) == "holder"
    ),
    Row("RequestSubmit", "with an id of its own", "home", {"interaction_id": ELSEWHERE}),
    Row("RequestSubmit", "with an id that names its node", "home", {"interaction_id": ident("n2", 77)}),
    Row("RequestSubmit", "with a dedup_id", "home", {"dedup_id": "once"}),
    Row("RequestSubmit", "of a child", "one of them", {"parent_id": HELD}),
    *(Row("RequestPull", *pull, settings={"pull_order": order}) for order in ORDERS for pull in pulls_of(order)),
    *(Row(name, "to a server", "one of them", SERVER) for name in SERVICES),
    *(Row(name, "about an interaction", "holder", {**SERVER, "interaction_id": HELD}) for name in SERVICES),
    *(
        Row(name, "about a made-up id", "any holder", {**SERVER, "interaction_id": HELD}, held=MADE_UP, on=LOOKED)
        for name in (*SERVICES, "RequestDistributeEvent", "RequestDistributeUserEvent")
    ),
    *(
        Row(name, "about an interaction", "holder", {"interaction_id": HELD})
        for name in ("RequestDistributeEvent", "RequestDistributeUserEvent")
    ),
    Row("RequestGetLedger", "of the proxy", "here", {"node": None}),
]  # fmt: skip

ROWS: list[Row] = [
    *(
        OTHERWISE.get(name) or Row(name, way=way_of(name), fields=FIELDS.get(name, {}))
        for name in sorted(REQUESTS)
        if name != "RequestPull"
    ),
    *MORE,
]


class Scene(Stage):
    """A row's cluster, and its request.

    :ivar silent_on_the_way: a node falls silent that was there when the request came
    :ivar asked_at: when it came
    """

    world: Disturbed

    def __init__(self, row: Row) -> None:
        self.row = row
        self.silent_on_the_way = False
        self.asked_at = 0.0
        settings = NodeSettings(delivering_timeout=INVITATION_S, esp_timeout=INVITATION_S)
        configuration = make_configuration(
            3, 1, settings, request_timeout=TIMEOUT_S, pull_hold_timeout=HOLD_S, **row.settings
        )
        world = Disturbed(configuration)
        if row.name == "RequestPull" and row.way != "heads":
            world.client(ENGINE).ask("RequestPull", **PULL)  # so that the heads of the view are known
        super().__init__(row.name, kind=row.kind, world=world, ident=row.held, before=[*STOCK, *row.before])
        self.core = self.world.proxies["p1"]
        if row.held != HELD:
            self.core.whereis._cache.clear()  # as after a restart

    @property
    def fields(self) -> dict[str, Any]:
        """The request's fields."""
        fields = {**self.example, **self.meant(dict(self.row.fields))}
        return {key: value for key, value in fields.items() if value is not None}

    def help(self) -> None:
        """The others do what the answer waits for: the invited agent accepts, the ESP server answers."""
        self.accept()
        if self.row.name in SERVICES:
            self.answer_calls()

    @property
    def patience_s(self) -> float:
        """How long the answer may take."""
        deferred = INVITATION_S if self.request.deferred else 0.0
        return TIMEOUT_S + deferred
