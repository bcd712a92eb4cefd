"""One cell of the table: a row's request in a circumstance, and what has to be the case when it has been answered."""

from __future__ import annotations

from typing import Any, NamedTuple

from broker.errors import Code
from broker.ids import make_id, node_code
from tests.proxy.table.disturbed import STEP_S, Disturbance, read
from tests.proxy.table.rest import leftovers
from tests.proxy.table.right import assert_right
from tests.proxy.table.rows import NODES, Row, Scene, ident
from tests.proxy.table.rules import WAYS, Circumstance
from tests.stage import MEDIA, TIMEOUT_S

GARBAGE = b"\xff\x00 not an answer"
OF_NODE = {"n1": ident("n1", 3), "n2": ident("n2", 1), "n3": ident("n3", 2)}
"""An interaction of each node."""
REST_S = 4.0
BACK_S = 0.4
"""A take-over."""
AWAY_S = 3 * TIMEOUT_S
ASKED_ONCE = frozenset({"holder", "any holder", "named", "one of them", "home"})
"""Ways of which nothing follows that would be done besides when the answer does not come."""
SPEAKS_LAST = frozenset({"RequestAgentLogout"})
"""*Its* node is the last of these that is asked: a logout comes to the speaking node last."""
NEEDS_ALL = frozenset(
    {"any holder", "every part", "any of them", "all or none", "snapshot", "first, rest", "ids", "heads", "recalled"}
)
"""Ways on which every node is asked, so that all of them are missing when none answers."""
ON_THE_WAY = {"view": frozenset({"lost", "late", "garbage"}), "workbin": frozenset({"late", "garbage"})}
"""What makes a node fall silent that was there when it was asked what it has first."""
ENDS_SESSION = frozenset({"RequestUnregisterClient", "RequestRegisterClient"})
"""What ends the session that it comes from; that of registering again under another name, too."""
WELL = Circumstance("", "well")


class Played(NamedTuple):
    """A cell that was played.

    :param number: of the request; :param since: when it came; :param sick: the nodes that the circumstance is about
    """

    scene: Scene
    circumstance: Circumstance
    number: int
    since: float
    sick: tuple[str, ...]

    @property
    def answers(self) -> list[dict[str, Any]]:
        """What the client got."""
        return self.scene.client.answers[self.number]


def played(row: Row, circumstance: Circumstance, garbage: bytes = GARBAGE) -> Played:
    """Plays a cell, until the request is answered or long overdue."""
    scene = Scene(row)
    sick = sick_nodes(row, circumstance)
    scene.silent_on_the_way = circumstance.what in ON_THE_WAY.get(row.way, ())
    if row.way != "here":
        scene.world.watch((row.name, *row.on), row.on or (row.name,))
    _make(scene, circumstance.what, sick, garbage)
    since = scene.asked_at = scene.world.now
    number = scene.client.send(row.name, **scene.fields)
    scene.world.settle()
    _assert_others_are_served(scene)
    if circumstance.what == "back":
        scene.world.run(BACK_S)
        for node in sick:
            scene.world.take_over(node)
    while not scene.client.answers[number] and scene.world.now < since + scene.patience_s + TIMEOUT_S:
        scene.help()
        scene.world.run(STEP_S)
    return Played(scene, circumstance, number, since, sick)


def sick_nodes(row: Row, circumstance: Circumstance) -> tuple[str, ...]:
    """The nodes that a circumstance is about."""
    asked = _well(row).asked or ("n1",)
    if row.name in SPEAKS_LAST:
        asked = asked[::-1]
    if circumstance.whom == "its":
        return asked[:1]
    if circumstance.whom == "another":
        return next((node,) for node in (*asked[1:], *NODES) if node != asked[0])
    return NODES if circumstance.whom == "all" else ()


class Well(NamedTuple):
    """A row when all is well.

    :param asked: the nodes that are asked, in their order; :param done: the events that come of it
    """

    asked: tuple[str, ...] = ()
    done: tuple[str, ...] = ()


_WELL: dict[str, Well] = {}


def _well(row: Row) -> Well:
    """How a row goes when all is well."""
    if str(row) not in _WELL:
        _WELL[str(row)] = Well()
        cell = played(row, WELL)
        asked = tuple(dict.fromkeys(node for node, _ in cell.scene.world.asked))
        _WELL[str(row)] = Well(asked, _done(cell.scene))
    return _WELL[str(row)]


def _done(scene: Scene) -> tuple[str, ...]:
    """The events at all nodes that the request has caused, in no order."""
    done: list[str] = []
    for pair in scene.world.pairs.values():
        events = [read(event.payload) for event in pair.journal.events(int(scene.asked_at * 1e6) - 1, 10_000).events]
        done += [event["message"] for event in events if event.get("cause") == scene.row.name]
    return tuple(sorted(done))


def _make(scene: Scene, what: str, sick: tuple[str, ...], garbage: bytes) -> None:
    """The circumstance comes about."""
    disturbances = {
        "slow": Disturbance(delay_s=0.4 * TIMEOUT_S),
        "late": Disturbance(delay_s=scene.patience_s + TIMEOUT_S),
        "garbage": Disturbance(garbled=garbage),
        "doubled": Disturbance(times=2),
    }
    if what in disturbances:
        scene.world.disturbances = dict.fromkeys(sick, disturbances[what])
    for node in sick if what in ("lost", "back", "away") else ():
        scene.world.lose(node)
    scene.world.run(AWAY_S if what == "away" else 0.0)


def _assert_others_are_served(scene: Scene) -> None:
    """What somebody else asks of a node that is there is answered at once, over the same links."""
    monitor = scene.world.client("Monitor")
    for node, pair in scene.world.pairs.items():
        if pair.core is None:
            continue
        if scene.row.name == "RequestGetLedger":
            known = scene.clients[MEDIA].ask("RequestGetInteractionProperties", interaction_id=OF_NODE[node])
            assert known["interaction"]["interaction_id"] == OF_NODE[node]
        else:
            assert monitor.ask("RequestGetLedger", node=node)["server"] == node


# ---- what has to be the case


def judge(cell: Played) -> None:
    """All of it."""
    assert_answered(cell, WAYS[cell.scene.row.way][cell.circumstance])
    come_to_rest(cell)
    assert_noted(cell)
    assert_at_rest(cell)


def assert_answered(cell: Played, expected: str) -> None:
    """There is one answer, it came in time, and it is the right one. :param expected: as in the rules"""
    scene, (answer,) = cell.scene, cell.answers
    took_s = scene.world.answered_at[cell.number] - cell.since
    assert took_s <= _patience_s(cell) + STEP_S + 1e-6, f"answered after {took_s:.1f} s"
    _assert_done_once(cell)
    if expected == "ok":
        assert_right(scene, answer, NODES)
        assert answer.get("complete", True) is True
        assert "missing" not in answer
    elif expected == "part":
        assert_right(scene, answer, [node for node in NODES if node not in cell.sick])
        inner = answer.get("response", answer)
        assert (inner.get("complete"), inner.get("missing")) == (False, list(cell.sick))
    else:
        _assert_refused(cell, Code(int(expected)), answer)


def _assert_done_once(cell: Played) -> None:
    """What was asked is done once, though it was sent or answered again; what nobody answered in time is not done twice
    either."""
    done, well, what = _done(cell.scene), _well(cell.scene.row).done, cell.circumstance.what
    if what in ("slow", "back", "doubled"):
        assert done == well
    elif what == "late" and cell.scene.row.way in ASKED_ONCE:
        assert done in (well, ())


def _patience_s(cell: Played) -> float:
    """How long the answer may take: no node is waited for that has been away for long, except for what takes any of
    them and finds none, and what is to wait."""
    scene = cell.scene
    waits = scene.row.way == "one of them" or "hold" in scene.row.variant
    if cell.circumstance.what == "away" and not (cell.circumstance.whom == "all" and waits):
        return 0.0
    return scene.patience_s


def _assert_refused(cell: Played, code: Code, answer: dict[str, Any]) -> None:
    scene = cell.scene
    if code is Code.NOT_ACCESSIBLE and answer["message"] == "EventPulledInteractions":
        errors = {one: error["code"] for one, error in answer["errors"].items()}
        assert (answer["interactions"], set(errors.values())) == ([], {int(code)})
    else:
        inner = scene.row.on[0] if scene.row.variant == "OMService" else scene.row.name
        said = (answer["message"], answer.get("code"), answer.get("text"), answer.get("request"))
        assert said == ("EventError", int(code), code.text, inner), answer
        assert answer["detail"]
    if code is Code.UNSUPPORTED:
        return
    missing = answer["missing"]
    if set(cell.sick) != set(NODES) or scene.row.way in NEEDS_ALL:
        assert missing == sorted(cell.sick)
    else:
        assert missing and set(missing) <= set(NODES)


def assert_noted(cell: Played) -> None:
    """What came too late, twice, or could not be read is in the proxy's ledger, by node, and nothing else is."""
    scene, world, what = cell.scene, cell.scene.world, cell.circumstance.what
    kept = scene.core.counts.by_peer()
    for node in NODES:
        late = world.useless(node, scene.patience_s)
        garbled = world.came(node) if what == "garbage" and node in cell.sick else 0
        noted = kept.get(node, {})
        assert (noted.get("late reply", 0), noted.get("garbage", 0)) == (late, garbled), (node, noted)
    if what == "garbage" and any(node in cell.sick for node, _ in world.asked):
        entry = next(one for one in scene.core.counts.last() if one.reason == "garbage")
        assert (entry.peer, entry.name) == (cell.sick[0], world.asked_of(cell.sick[0]))


def come_to_rest(cell: Played) -> None:
    """The nodes that were lost are back, nothing is disturbed any more, and what has to be done afterwards is done."""
    scene, world = cell.scene, cell.scene.world
    world.disturbances = {}
    world.watch()
    for node, pair in world.pairs.items():
        if pair.core is None:
            world.take_over(node)
    scene.answer_calls()
    world.run(max(REST_S, cell.since + scene.patience_s + 2 * TIMEOUT_S - world.now))
    scene.answer_calls()


def assert_at_rest(cell: Played) -> None:
    """Nothing waits any more, everybody's session is as it was, agents are at all nodes alike, requests work."""
    scene, world = cell.scene, cell.scene.world
    assert leftovers(scene.core) == {}
    assert {len(answers) for client in world.clients.values() for answers in client.answers.values()} == {1}
    for client in world.clients.values():
        if not (client is scene.client and scene.row.name in ENDS_SESSION):
            assert client.source in scene.core.sessions.by_source
    _assert_agents_alike(scene)
    _assert_served(scene)


def _assert_agents_alike(scene: Scene) -> None:
    """Every node has the agents that the proxy has, in the same state."""
    states = [(agent.agent_id, agent.state) for agent in scene.core.agents._roster]
    known = sorted((agent_id, state.media, state.donot_disturb) for agent_id, state in states)
    for pair in scene.world.pairs.values():
        assert pair.core is not None
        agents = pair.core.memory.agents.rows.values()
        assert sorted((one.agent_id, one.media, one.donot_disturb) for one in agents) == known, pair.name


def _assert_served(scene: Scene) -> None:
    """A plain request works at every node, for whoever asks."""
    media = scene.world.client(MEDIA)
    for node in NODES:
        fields = {"interaction_id": make_id(node_code(node), 1000)}
        ack = media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="PS", **fields)
        assert ack["message"] == "EventAck" or (ack["code"], scene.row.name) == (2001, "RequestDrain"), ack
        if ack["message"] == "EventAck":
            assert media.ask("RequestStopProcessing", **fields)["message"] == "EventAck"
