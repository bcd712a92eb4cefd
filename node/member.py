"""One member of a node's pair: sockets, disk and clock around the core. A shell.

    drain    what has arrived goes to the core, which decides at once
    turn     due deadlines; then the batch is closed: ONE journal row is committed, and only then events are published
             and replies sent. Under load the batch is what arrived during the last commit; without load it is one request.

A standby reads the journal behind the active member, so it holds the same memory; it answers Ping and refuses the rest.
When the store fails, the batch waits and is tried again, requests are refused, and the other member may take over.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

import msgspec
import orjson
import structlog
import zmq

from broker.clock import to_us
from broker.config.objects import Configuration
from broker.errors import Code, Refusal
from broker.front import Front
from broker.loop import Polled, Stalls
from broker.messages import encode, error_payload
from broker.messages.connection import EventPong
from broker.sockets import Audience, Context, router, xpub
from broker.wire import (
    PACKED_TOPIC,
    PackedEvents,
    PackedReplies,
    PackedReply,
    make_cursor,
    pack,
    unpack_requests,
)

from .calls import Batch, Outgoing, Read
from .core import NodeCore
from .folding import Folding
from .holder import is_alive, kill, this_holder
from .journal import encode_changes
from .pair import Pair
from .store import Fenced, Refused, Row, StoreFailure, open_store
