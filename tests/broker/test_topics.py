"""Which topics an event matches, read from its payload as from the event itself."""

from __future__ import annotations

import pytest
from msgspec import Raw

from broker.errors import Refusal
from broker.messages import encode
from broker.messages.agents import EventAgentLogin
from broker.messages.interactions import EventPlacedInQueue
from broker.messages.kinds import Actor, AgentPart, InteractionPart, Party
from broker.messages.topics import Topic
from broker.topics import Key, key_of, key_of_one, keys_of, keys_of_payload

TENANTS = frozenset({101})
ABOUT = InteractionPart(
    interaction_id="i", media_type="email", interaction_state=0, queue="Done", priority=0, is_online=0,
    received_at=1.0, submitted_at=1.0, user_data=Raw(b'{"queue":"Inbound"}'),
)  # fmt: skip
PLACED = EventPlacedInQueue(
    node="n1", seq=1, time=1.0, tenant_id=101, interaction=ABOUT, old_queue="Inbound",
    actor=Actor(agent_id="VICKY", place_id="P1"), party=Party(type=2, agent_id="ANAT"),
)  # fmt: skip
LOGIN = EventAgentLogin(node="n1", seq=1, time=1.0, tenant_id=101, agent=AgentPart(agent_id="VICKY"))


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (PLACED, {("tenant", ""), ("queue", "Done"), ("queue", "Inbound"), ("agent", "VICKY"), ("place", "P1"),
                  ("agent", "ANAT")}),
        (LOGIN, {("tenant", ""), ("agent", "VICKY")}),
    ],
)  # fmt: skip
def test_an_event_matches(event, names):
    """Given an event, when it is looked at, whole or as bytes, then it is about all that it names."""
    keys = {Key(101, kind, name) for kind, name in names}
    assert keys_of(event) == keys
    assert keys_of_payload(encode(event)) == keys


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{}", b'{"tenant_id":"x"}', b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_matches_nothing(payload):
    assert keys_of_payload(payload) == set()


def test_the_key_of_a_topic():
    assert key_of(Topic(tenant_id=101), TENANTS) == Key(101, "tenant", "")
    assert key_of(Topic(tenant_id=101, queue="Done"), TENANTS) == Key(101, "queue", "Done")
    assert key_of_one(101, None, "P1", TENANTS) == Key(101, "place", "P1")


@pytest.mark.parametrize(
    ("tenant", "agent", "place", "code"), [(102, "a", None, 10), (101, None, None, 2), (101, "a", "p", 3)]
)
def test_one_agent_or_place(tenant, agent, place, code):
    with pytest.raises(Refusal) as caught:
        key_of_one(tenant, agent, place, TENANTS)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("topic", "code"), [(Topic(tenant_id=102), 10), (Topic(tenant_id=101, agent_id="a", queue="q"), 3)]
)
def test_a_topic_that_is_none(topic, code):
    with pytest.raises(Refusal) as caught:
        key_of(topic, TENANTS)
    assert caught.value.code == code
