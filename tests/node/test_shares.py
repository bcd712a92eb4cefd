"""What a proxy asks of a workbin that other nodes have a part of: what a pull would take, and just its share."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from broker.wire import LISTED, PackedReplies, PackedReply, Rows, pack, unpack_replies
from node.calls import packed_reply

DRAFTS = {"type": "Drafts", "agent_id": "VICKY"}
PULL: dict[str, Any] = {"message": "RequestPull", "tenant_id": 101, "view_id": "Drafts/PrivateView"}


class Scene:
    """VICKY's workbin with five interactions, by their priority the last first."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.media = driver.client("mail", "MediaServer")
        self.vicky = driver.agent("VICKY")
        fields = {"tenant_id": 101, "media_type": "email", "workbin": DRAFTS}
        made = [self.media.ask("RequestSubmit", **fields, priority=at)["interaction_id"] for at in range(5)]
        self.first = made[::-1]
        driver.events()

    def look(self, **fields: Any) -> Rows:
        """What a proxy is told of it, on the way there and back."""
        core = self.driver.core
        core.receive(self.driver.now, self.vicky.source, 5, json.dumps({**PULL, **fields}).encode(), LISTED)
        (said,) = core.take(self.driver.now).replies
        (reply,) = unpack_replies(pack(PackedReplies(1, [packed_reply(said)]))).replies
        assert isinstance(reply, PackedReply) and reply.rows is not None
        return reply.rows

    def share(self, *idents: str, **fields: Any) -> dict[str, str]:
        """A share of what it has."""
        rows = self.look(count=100, **fields)
        marks = dict(zip(map(json.loads, rows.interactions), rows.marks, strict=True))
        return {ident: base64.b64encode(marks[ident]).decode() for ident in idents}

    def pull(self, share: dict[str, str], **fields: Any) -> list[str]:
        """What is granted of a share."""
        reply = self.vicky.ask(**PULL, share=share, count=len(share), **fields)
        return [one["interaction_id"] for one in reply["interactions"]]


@pytest.fixture
def scene(driver: Any) -> Scene:
    return Scene(driver)


def test_a_look_tells_what_a_pull_would_take_and_grants_nothing(driver: Any, scene: Scene) -> None:
    # given a workbin; when a proxy looks at its first three
    rows = scene.look(count=3)
    # then it is told their ids in order, with marks that compare so, and that there are more
    assert [json.loads(one) for one in rows.interactions] == scene.first[:3]
    assert rows.marks == sorted(set(rows.marks))
    assert rows.more is True
    # and nothing has happened
    assert driver.events() == []
    assert len(driver.core.memory.holdings) == 0


def test_a_look_at_all_of_it(scene: Scene) -> None:
    # given five; when a proxy looks at five; then there are no more
    assert (len(scene.look(count=5).interactions), scene.look(count=5).more) == (5, False)


def test_a_look_at_nothing(scene: Scene) -> None:
    # given a workbin with nothing in it; when a proxy looks; then it is told nothing
    assert scene.look(view_id="Notes/PrivateView") == Rows([], [], False)


def test_a_look_passes_over_what_is_held_unless_the_pull_does_not(scene: Scene) -> None:
    # given the first one on hold
    scene.media.ask("RequestHold", interaction_id=scene.first[0])
    # when a proxy looks for pulls of both kinds; then only one of them sees it
    assert [json.loads(one) for one in scene.look(count=2).interactions] == scene.first[1:3]
    assert [json.loads(one) for one in scene.look(count=2, ignore_hold=True).interactions] == scene.first[:2]


def test_a_look_that_is_not_allowed_is_refused(driver: Any, scene: Scene) -> None:
    # given an agent; when a proxy looks for it into another's workbin
    payload = json.dumps({**PULL, "workbin": {"type": "Drafts", "agent_id": "ANAT"}}).encode()
    driver.core.receive(driver.now, scene.vicky.source, 5, payload, LISTED)
    # then it gets the error that a pull gets
    reply = packed_reply(driver.core.take(driver.now).replies[0])
    assert (reply.code, reply.rows) == (40, None)


def test_a_share_is_given_whatever_comes_before_it(scene: Scene) -> None:
    # given a share that is not the first one
    share = scene.share(*scene.first[2:4])
    # when it is asked for; then just that is given, in its order
    assert scene.pull(share) == scene.first[2:4]
    assert scene.pull(share) == []


@pytest.mark.parametrize(
    "deed",
    [
        {"message": "RequestStopProcessing"},
        {"message": "RequestHold"},
        {"message": "RequestChangeProperties", "changed_properties": {"priority": 9}},
        {"message": "RequestPlaceInQueue", "queue": "Inbound"},
        {"message": "RequestLockInteraction"},
    ],
    ids=lambda deed: deed["message"],
)
def test_what_is_gone_or_elsewhere_is_passed_over(scene: Scene, deed: dict[str, Any]) -> None:
    # given a share of two, one of which goes or moves
    share = scene.share(*scene.first[:2])
    who = scene.vicky if deed["message"] == "RequestLockInteraction" else scene.media
    assert who.ask(**deed, interaction_id=scene.first[0])["message"] == "EventAck"
    # when it is asked for; then the other one is given
    assert scene.pull(share) == [scene.first[1]]


def test_what_was_changed_where_it_stands_is_given(scene: Scene) -> None:
    # given a share whose interaction is changed, but not where it stands
    share = scene.share(scene.first[0])
    scene.media.ask("RequestChangeProperties", interaction_id=scene.first[0], changed_properties={"seen": 1})
    # when it is asked for; then it is given
    assert scene.pull(share) == [scene.first[0]]


def test_held_ones_are_given_to_who_ignores_holds(scene: Scene) -> None:
    # given one on hold
    scene.media.ask("RequestHold", interaction_id=scene.first[0])
    share = scene.share(scene.first[0], ignore_hold=True)
    # when pulls of both kinds ask for it; then one gets it
    assert scene.pull(share) == []
    assert scene.pull(share, ignore_hold=True) == [scene.first[0]]


def test_marks_that_are_none_are_refused(scene: Scene) -> None:
    # given a share whose mark is no Base64; when it is asked for; then the field is named
    reply = scene.vicky.ask(**PULL, share={scene.first[0]: "?"})
    assert (reply["code"], reply["field"]) == (3, "share")
