"""The events of one interaction, through a proxy and from its node, however many others there are between them."""

from __future__ import annotations

from typing import Any

import pytest

from broker.ids import code_of, node_code, time_of
from broker.wire import make_cursor
from node import reporting
from tests.world import Client, World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Three nodes that look at three events for a request."""
    monkeypatch.setattr(reporting, "LOOKED_AT", 3)
    return World()


def busy(world: World, media: Client, times: int = 7) -> None:
    """Others come in."""
    for _ in range(times):
        media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="Inbound")
        world.run(0.02)


def follow(world: World, client: Client, ident: str, **fields: Any) -> tuple[list[dict[str, Any]], int]:
    """All events about it, and how many requests that took."""
    events: list[dict[str, Any]] = []
    for asked in range(1, 100):
        number = client.send("RequestReplayEvents", interaction_id=ident, **fields)
        world.run(0.1)
        reply = client.answer(number)
        events += reply["events"]
        if not reply.get("more"):
            return events, asked
        fields["from"] = reply["cursor"]
    raise AssertionError("the replay does not come to an end")


@pytest.mark.parametrize("at", ["p1", "n2"])
def test_only_its_own_events_and_all_of_them(world: World, at: str) -> None:
    # given an interaction among many, whose id a user has also written into another one
    media, top = world.client("MediaServer"), world.client("Monitor", at)
    busy(world, media)
    idents = [media.ask("RequestSubmit", tenant_id=101, media_type="voice", queue="PS") for _ in range(3)]
    ident = next(ack["interaction_id"] for ack in idents if code_of(ack["interaction_id"]) == node_code("n2"))
    busy(world, media)
    fields = {"queue": "PS", "user_data": {"interaction_id": ident}}
    media.ask("RequestSubmit", tenant_id=101, media_type="voice", **fields)
    media.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"priority": 3})
    busy(world, media)
    media.ask("RequestStopProcessing", interaction_id=ident)
    busy(world, media)
    world.run(0.1)
    # when its events are asked for, from the oldest on
    events, asked = follow(world, top, ident)
    # then they come, in order, and no others; it took several requests
    assert [event["message"] for event in events] == [
        *("EventInteractionSubmitted", "EventPropertiesChanged", "EventProcessingStopped")
    ]
    assert {event["interaction"]["interaction_id"] for event in events} == {ident}
    assert asked > 2
    # and from the time in its id on it takes fewer
    us = time_of(ident)
    assert us is not None
    later, fewer = follow(world, top, ident, **{"from": make_cursor(us - 1, "n2")})
    assert later == events and fewer < asked


def test_of_one_that_never_was_there_is_nothing(world: World) -> None:
    # given some interactions
    media, top = world.client("MediaServer"), world.client("Monitor")
    busy(world, media)
    world.run(0.1)
    # when the events of another are asked for, then there are none, and it ends
    assert follow(world, top, "nothing")[0] == []
    assert time_of("nothing") is None
