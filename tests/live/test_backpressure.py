"""A node that stands still while clients go on asking: busy for what it would be needed for, nothing lost."""

from __future__ import annotations

import os
import signal
import time

import pytest

from broker.client import Client
from broker.config.objects import ProxySettings
from broker.ids import code_of, node_code

pytestmark = pytest.mark.timeout(90)

LIMIT = 500
ASKED = 4 * LIMIT
STOPPED_S = 3.0


@pytest.fixture
def cluster(start_cluster):
    """Two nodes without a standby, so that nobody takes over; a proxy that leaves a node few requests open."""
    settings = ProxySettings(max_pending_per_node=LIMIT, request_timeout=20.0)
    return start_cluster(proxies=1, backups=False, proxy_settings=settings)


def homes(media):
    """Interactions at each node, by node."""
    found = {}
    while len(found) < 2:
        ident = media.request({"message": "RequestSubmit", "tenant_id": 101, "media_type": "email", "queue": "Inbound"})
        found[next(n for n in ("n1", "n2") if node_code(n) == code_of(ident["interaction_id"]))] = ident
    return {node: ack["interaction_id"] for node, ack in found.items()}


def change(ident, number):
    """A change that shows, by its key, whether it was made."""
    changed = {f"k{number}": number}
    return {"message": "RequestChangeProperties", "interaction_id": ident, "added_properties": changed}


def test_a_node_that_stands_still_is_busy_and_loses_nothing(cluster):
    """Given n2 is stopped, when it is asked for far more than it may leave open, then the rest is answered busy at
    once, n1 serves on, and every request that was not refused has been done once n2 goes on."""
    with Client([cluster.requests("p1")], "mail", "MediaServer", timeout=60) as media:
        ids = homes(media)
        pid = cluster.kill("n2", number=signal.SIGSTOP)
        try:
            began = time.monotonic()
            numbers = dict(
                zip(media.send_all([change(ids["n2"], at) for at in range(ASKED)]), range(ASKED), strict=True)
            )
            busy = {}
            while len(busy) < ASKED - LIMIT and time.monotonic() - began < STOPPED_S:
                media.idle(0.02)
                busy.update((numbers[number], reply) for number, reply in media.arrived())
            shown = media.request({"message": "RequestGetInteractionProperties", "interaction_id": ids["n1"]})
            time.sleep(max(STOPPED_S - (time.monotonic() - began), 0))
        finally:
            os.kill(pid, signal.SIGCONT)
        done = {numbers[number]: reply for number, reply in media.replies()}

        assert shown["interaction"]["interaction_id"] == ids["n1"]
        assert len(busy) == ASKED - LIMIT and len(done) == LIMIT
        assert {(reply["code"], reply["retry_after"]) for reply in busy.values()} == {(91, 0.5)}
        assert {reply["message"] for reply in done.values()} == {"EventAck"}
        there = media.request({"message": "RequestGetInteractionProperties", "interaction_id": ids["n2"]})
        assert {f"k{at}" for at in done} <= set(there["interaction"]["user_data"])
        assert not {f"k{at}" for at in busy} & set(there["interaction"]["user_data"])
