"""Return paths: whatever takes an interaction from its holder puts it back where it was taken from, and says so.

A table of all paths and all places; a path that cannot be where a place is (a strategy never takes from a workbin) says
why.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from .conftest import Driver

MEDIA_TYPE = {"tenant_id": 101, "media_type": "voice"}
ENOUGH_S = 2000 * 60.0


class Place(NamedTuple):
    """Where an interaction waits, or is to go back to.

    :param fields: of its submit; :param view: to pull it from; None: the agent submits it itself
    :param events: of its return
    """

    fields: dict[str, Any]
    view: str | None
    events: list[str]
    queue: str | None
    workbin: str | None = None


QUEUED, BINNED = ["EventPlacedInQueue"], ["EventPlacedInQueue", "EventPlacedInWorkbin"]
DRAFTS, NOTES = {"type": "Drafts", "agent_id": "VICKY"}, {"type": "Notes", "agent_id": "VICKY"}
PLACES = {
    "queue": Place({"queue": "Inbound"}, "Inbound/all", QUEUED, "Inbound"),
    "paused queue": Place({"queue": "Inbound"}, "Inbound/all", QUEUED, "Inbound"),
    "workbin with a queue": Place({"workbin": DRAFTS}, "Drafts/PrivateView", BINNED, "Kept", "Drafts"),
    "workbin without a queue": Place({"workbin": NOTES}, "Notes/PrivateView", BINNED[1:], None, "Notes"),
    "workbin beside a queue": Place(
        {"queue": "Inbound", "workbin": NOTES}, "Notes/PrivateView", BINNED, "Inbound", "Notes"
    ),
    "queue of an own submit": Place({"queue": "Done"}, None, QUEUED, "Done"),
    "workbin of an own submit": Place({"workbin": NOTES}, None, BINNED[1:], None, "Notes"),
}
ALL, OF_QUEUES = set(PLACES), {"queue", "paused queue"}


class Scene:
    """An interaction that somebody has.

    :param holder: ``agent``, ``strategy``, or ``invited``: an agent is, by a strategy
    """

    def __init__(self, driver: Driver, place: Place, holder: str) -> None:
        self.driver = driver
        self.media = driver.client("media-1", "MediaServer")
        self.router = driver.client("urs-1", "RoutingEngine")
        self.vicky = driver.agent("VICKY")
        self.monitor = driver.client("ops", "Monitor")
        source = self.media if place.view else self.vicky
        self.ident = source.ask("RequestSubmit", **MEDIA_TYPE, **place.fields)["interaction_id"]
        puller = self.vicky if holder == "agent" else self.router
        if place.view:
            (one,) = puller.ask("RequestPull", tenant_id=101, view_id=place.view)["interactions"]
            assert one["interaction_id"] == self.ident
        if holder == "invited":
            self.router.ask("RequestDeliver", interaction_id=self.ident, agent_id="VICKY")
            self.ticket = self.vicky.notes[-1]["ticket_id"]
        for party in (self.vicky, self.router):
            party.told()
        driver.events()

    def shown(self) -> dict[str, Any]:
        found = self.driver.core.memory.interactions[self.ident]
        return {name: getattr(found, name) for name in ("interaction_state", "queue", "workbin", "assigned_to")}


def reject(scene: Scene) -> None:
    scene.vicky.ask("RequestReject", interaction_id=scene.ident, ticket_id=scene.ticket)


def wait(seconds: float) -> Callable[[Scene], None]:
    return lambda scene: scene.driver.wait(seconds)


def logout(scene: Scene) -> None:
    scene.vicky.ask("RequestAgentLogout")


def lost(name: str) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        scene.driver.core.lost(scene.driver.now, name.encode())
        scene.driver.settle()

    return act


def unregister(scene: Scene) -> None:
    scene.vicky.ask("RequestUnregisterClient")


def leave(scene: Scene) -> None:
    scene.vicky.ask("RequestLeaveInteraction", interaction_id=scene.ident)


class Path(NamedTuple):
    """A way back.

    :param before: events before those of the place; :param after: and behind them
    :param agent: what the agent is told; :param engine: and the routing engine
    """

    holder: str
    act: Callable[[Scene], None]
    before: list[str]
    after: list[str] = []
    agent: list[str] = []
    engine: list[str] = []
    places: set[str] = ALL


REMOVED = ["EventPartyRemoved"]
SETTINGS = {"keepalive_interval": 3600, "handling_timeout": 10, "routing_timeout": 20, "delivering_timeout": 30}
PATHS = {
    "reject": Path("invited", reject, ["EventRejected"], engine=["EventAbandoned"], places=OF_QUEUES),
    "expire": Path(
        "invited", wait(31), ["EventRevoked"], agent=["EventRevoked"], engine=["EventAbandoned"], places=OF_QUEUES
    ),
    "expire, made not ready": Path(
        "invited",
        wait(31),
        ["EventRevoked"],
        ["EventNotReadyForMedia"],
        agent=["EventRevoked", "EventForcedAgentStateChange"],
        engine=["EventAbandoned"],
        places=OF_QUEUES,
    ),
    "invited agent logs out": Path(
        "invited",
        logout,
        ["EventRevoked"],
        ["EventAgentLogout"],
        agent=["EventRevoked"],
        engine=["EventAbandoned"],
        places=OF_QUEUES,
    ),
    "invited agent's connection is lost": Path(
        "invited",
        lost("VICKY"),
        ["EventRevoked"],
        ["EventNotReadyForMedia"],
        engine=["EventAbandoned"],
        places=OF_QUEUES,
    ),
    "routing timeout": Path("strategy", wait(1201), REMOVED, engine=["EventAbandoned"], places=OF_QUEUES),
    "engine's connection is lost": Path("strategy", lost("urs-1"), REMOVED, places=OF_QUEUES),
    "handling timeout": Path("agent", wait(601), REMOVED, agent=["EventRevoked"]),
    "logout": Path("agent", logout, REMOVED, ["EventAgentLogout"], agent=["EventRevoked"]),
    "connection lost": Path("agent", lost("VICKY"), REMOVED, ["EventNotReadyForMedia"]),
    "unregistered": Path("agent", unregister, REMOVED, ["EventAgentLogout"]),
    "last party leaves": Path("agent", leave, REMOVED),
}
CASES = [(path, place) for path, (*_, places) in PATHS.items() for place in PLACES if place in places]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}, {case[1]}")
def case(request, make_driver) -> tuple[Scene, Path, Place]:
    """Each path from each place, and somebody who has the interaction."""
    name, where = request.param
    path, place = PATHS[name], PLACES[where]
    driver = make_driver(**SETTINGS, not_ready_on_invitation_timeout="not ready" in name)
    scene = Scene(driver, place, path.holder)
    if where == "paused queue":
        scene.monitor.ask("RequestPauseQueue", queue="Inbound")
        driver.events()
    return scene, path, place


def test_it_returns_and_everybody_who_has_to_know_is_told(case):
    """Given an interaction that somebody has, when it is taken from him, then it waits where it was taken from, and
    reporting, the agent and the engine are told in this order."""
    scene, path, place = case
    path.act(scene)
    assert scene.driver.events() == [*path.before, *place.events, *path.after]
    assert (scene.vicky.told(), scene.router.told()) == (path.agent, path.engine)
    there = scene.shown()
    assert (there["interaction_state"], there["queue"], there["assigned_to"]) == (0, place.queue, None)
    assert (there["workbin"].type if there["workbin"] else None) == place.workbin
    assert not scene.driver.core.memory.holdings.rows and not scene.driver.core.memory.invitations.rows


def test_from_there_it_is_handed_out_again(case):
    """Given an interaction that has come back, when the next one pulls, then it gets it, from a paused queue as soon as
    that is resumed."""
    scene, path, place = case
    path.act(scene)
    gone = path.act in (logout, unregister) or path.act.__qualname__.startswith("lost")
    again = scene.driver.agent("VICKY") if gone else scene.vicky
    view = place.view or {"Done": "Done/all", None: "Notes/PrivateView"}[place.queue]
    pull = {"tenant_id": 101, "view_id": view}
    if scene.driver.core.memory.queues.rows:
        assert again.ask("RequestPull", **pull)["interactions"] == []
        scene.monitor.ask("RequestResumeQueue", queue="Inbound")
    (one,) = again.ask("RequestPull", **pull)["interactions"]
    assert one["interaction_id"] == scene.ident


def test_a_failover_in_between_changes_nothing(case):
    """Given a standby that has followed, when it takes over after the return, then the interaction is there, too."""
    scene, path, place = case
    path.act(scene)
    before = scene.shown()
    scene.driver = scene.driver.reopened()
    assert scene.shown() == before


@pytest.mark.parametrize("place", sorted(ALL - OF_QUEUES - {name for name in ALL if "own" in name}))
def test_a_strategy_never_has_what_is_in_a_workbin(driver, place):
    """Given an interaction in a workbin, when a strategy pulls, then it is refused: the paths of strategies start in
    queues."""
    media, router = driver.client("media-1", "MediaServer"), driver.client("urs-1", "RoutingEngine")
    ident = media.ask("RequestSubmit", **MEDIA_TYPE, **PLACES[place].fields)["interaction_id"]
    by_id = {"view_id": "_system_", "pull_parameters": {"interaction_ids": [ident]}}
    assert router.ask("RequestPull", tenant_id=101, view_id=PLACES[place].view)["code"] == 40
    assert router.ask("RequestPull", tenant_id=101, **by_id)["code"] == 46


def test_a_pair_that_fails_over_gives_back_what_nobody_comes_back_for(make_driver):
    """Given agent and engine that hold something, when the pair fails over and they do not come back, then both return,
    and are reported."""
    driver = make_driver(keepalive_interval=5)
    scene = Scene(driver, PLACES["workbin with a queue"], "agent")
    other = scene.media.ask("RequestSubmit", **MEDIA_TYPE, queue="Inbound")["interaction_id"]
    scene.router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    after = driver.reopened()
    after.events()
    after.wait(16)
    assert sorted(after.events()) == sorted([*REMOVED, *BINNED, "EventNotReadyForMedia", *REMOVED, *QUEUED])
    states = {ident: after.core.memory.interactions[ident].interaction_state for ident in (scene.ident, other)}
    assert set(states.values()) == {0}


def test_a_hold_of_who_lost_it_ends_and_an_older_one_stays(make_driver):
    """Given an agent that holds two, one of them on hold since it handles it and one since before, when it is logged
    out, then the first is resumed and can be pulled again, the other is not."""
    driver = make_driver(**SETTINGS)
    scene = Scene(driver, PLACES["queue"], "agent")
    older = scene.media.ask("RequestSubmit", **MEDIA_TYPE, queue="Inbound")["interaction_id"]
    scene.media.ask("RequestHold", interaction_id=older)
    driver.wait(1)
    scene.vicky.ask("RequestPull", tenant_id=101, view_id="Inbound/all", ignore_hold=True)
    scene.vicky.ask("RequestHold", interaction_id=scene.ident)
    driver.events()
    scene.vicky.ask("RequestAgentLogout")
    assert sorted(driver.events()) == sorted([*REMOVED, *QUEUED, *REMOVED, "EventResumed", *QUEUED, "EventAgentLogout"])
    pulled = scene.router.ask("RequestPull", tenant_id=101, view_id="Inbound/all", count=5)["interactions"]
    assert [one["interaction_id"] for one in pulled] == [scene.ident]


def test_a_change_of_the_allowed_time_is_for_later_handlings(make_driver):
    """Given an interaction that is handled, when its ``handling-timeout`` is changed, then the old one counts for this
    agent and the new one for the next."""
    driver = make_driver(**SETTINGS)
    scene = Scene(driver, PLACES["queue"], "agent")
    change = {"interaction_id": scene.ident, "changed_properties": {"handling-timeout": 20}}
    scene.vicky.ask("RequestChangeProperties", **change)
    scene.driver = driver = driver.reopened()
    driver.wait(599)
    assert driver.events() == ["EventNodeActive"]
    driver.wait(2)
    assert driver.events() == [*REMOVED, *QUEUED]
    again = driver.agent("VICKY")
    again.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    driver.events()
    driver.wait(1199)
    assert driver.events() == []
    driver.wait(2)
    assert driver.events() == [*REMOVED, *QUEUED]


def test_to_come_back_to_a_session_is_activity(make_driver):
    """Given an agent that handles something for longer than it may be silent, when its client comes back from another
    address, then the interaction is not taken from it at once."""
    driver = make_driver(**SETTINGS)
    scene = Scene(driver, PLACES["queue"], "agent")
    for _ in range(3):
        driver.wait(300)
        scene.vicky.ask("RequestUpdateActivity", interaction_id=scene.ident)
    session_id = driver.core.sessions.by_source[scene.vicky.source].session_id
    again = driver.stranger("elsewhere")
    registration = {"client_name": "VICKY", "client_type": "AgentApplication", "session_id": session_id}
    assert again.ask("RequestRegisterClient", **registration)["session_id"] == session_id
    driver.events()
    driver.wait(300)
    assert driver.events() == []
    assert again.ask("RequestUpdateActivity", interaction_id=scene.ident)["message"] == "EventAck"


def test_the_other_connections_of_an_agent_are_told_what_one_has_answered(driver):
    """Given an agent with two connections, when it accepts on one or rejects, then the other learns that it is over."""
    scene = Scene(driver, PLACES["queue"], "invited")
    other = driver.client("VICKY-2", "AgentApplication")
    other.ask("RequestAgentLogin", tenant_id=101, agent_id="VICKY", media_list={"voice": 1})
    other.told()
    reject(scene)
    assert [(note["message"], note["reason"]) for note in other.notes] == [("EventRevoked", "Rejected")]
    other.told()
    scene.router.ask("RequestPull", tenant_id=101, view_id="Inbound/all")
    scene.router.ask("RequestDeliver", interaction_id=scene.ident, agent_id="VICKY")
    ticket = other.notes[-1]["ticket_id"]
    other.told()
    scene.vicky.told()
    scene.vicky.ask("RequestAccept", interaction_id=scene.ident, ticket_id=ticket)
    assert (other.told(), scene.vicky.told()) == (["EventAccepted"], [])


@pytest.mark.parametrize(("mode", "told"), [(0, True), (1, True), (2, False)])
def test_who_is_seen_by_nobody_comes_and_goes_unseen(driver, mode, told):
    """Given an agent that handles something, when another one joins in a mode and leaves, then the first is told unless
    nobody is to see it; reporting always is."""
    scene = Scene(driver, PLACES["queue"], "agent")
    anat = driver.agent("ANAT")
    request = {"interaction_id": scene.ident, "agent_id": "ANAT", "visibility_mode": mode}
    driver.core.receive(driver.now, anat.source, b"later", encode("RequestIntrude", request))
    driver.settle()
    ticket = anat.notes[-1]["ticket_id"]
    driver.events()
    anat.ask("RequestAccept", interaction_id=scene.ident, ticket_id=ticket)
    anat.ask("RequestLeaveInteraction", interaction_id=scene.ident)
    assert driver.events() == ["EventPartyAdded", "EventPartyRemoved"]
    assert scene.vicky.told() == (["EventPartyAdded", "EventPartyRemoved"] if told else [])


def encode(message: str, fields: dict[str, Any]) -> bytes:
    return json.dumps({"message": message, **fields}).encode()
