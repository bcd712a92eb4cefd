"""Clients that mean harm, for some seconds, at every port: ``python -m tests.live.attackers SEED SECONDS ADDRESS…``

With ``raw`` before the addresses they say nothing but bytes that are no ZMTP, or end in the middle of its beginning,
some hundred connections a second. An own process, so that what it does to its own memory and time is not the cluster's.
Prints what it has done as JSON.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress

import msgspec
import zmq

from broker.messages import REQUESTS
from broker.wire import PackedEvents, PackedReplies, PackedReply, PackedRequest, PackedRequests, pack

GREETING = b"\xff" + b"\0" * 8 + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" + b"\0" * 31
MEBI = 1024 * 1024
RAW_PAUSE_S = 0.002
HANGING = 40
"""Connections that are opened and then say nothing more."""


class Attacker:
    """One source of harm. What it does is a list of methods; each takes an address, and raises nothing that matters."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.hanging: list[socket.socket] = []
        self.done: Counter[str] = Counter()

    def bytes(self, longest: int = 400) -> bytes:
        """Any bytes."""
        return self.random.randbytes(self.random.randrange(longest))

    # -- raw TCP

    def raw(self, address: str, said: bytes, *, hang: bool = False, kind: bytes = b"") -> None:
        """Connects, says something, and goes; or hangs. :param kind: of ZeroMQ's sockets, as which it begins"""
        connection = _connect(address)
        with suppress(OSError):
            if kind:
                _shake_hands(connection, kind)
            connection.sendall(said)
        if hang and len(self.hanging) < HANGING:
            self.hanging.append(connection)
        else:
            connection.close()

    def noise(self, address: str) -> None:
        self.raw(address, self.bytes(5000))

    def http(self, address: str) -> None:
        self.raw(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    def silence(self, address: str) -> None:
        self.raw(address, self.random.choice([b"", GREETING, GREETING[:11]]), hang=True)

    def noise_after_the_greeting(self, address: str) -> None:
        connection = _connect(address)
        with suppress(OSError):
            _greet(connection)
            connection.sendall(self.bytes(2000))
        connection.close()

    def frame_of_no_end(self, address: str) -> None:
        """Announces a frame of any length up to the longest there is, and sends a little of it."""
        length = self.random.choice([2**63 - 1, 2**62, 2**32, 100 * MEBI, 16 * MEBI])
        self.raw(address, b"\x02" + struct.pack(">Q", length) + b"x" * 1000, hang=True, kind=b"DEALER")

    def bad_frames(self, address: str) -> None:
        """Flags that there are not, commands that nobody knows, a message that never ends."""
        said = b"".join(bytes([self.random.randrange(256), 5]) + b"abcde" for _ in range(50))
        self.raw(address, said, kind=self.random.choice([b"DEALER", b"REQ", b"SUB", b"ROUTER"]))

    def hang_up(self, address: str) -> None:
        """Asks for much, or subscribes to all, reads a little, and breaks the connection off in the middle of it."""
        with _connect(address) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            asked = [b"", LONG] * self.random.randrange(1, 1500)
            said = b"".join(_frame(part, more=True) for part in asked[:-1]) + _frame(LONG, more=False)
            topics = b"".join(_frame(b"\1" + topic, more=False) for topic in (b"", b"\0packed"))
            kind = self.random.choice([b"DEALER", b"SUB"])
            with suppress(OSError):
                _shake_hands(connection, kind)
                connection.sendall(topics if kind == b"SUB" else said)
                time.sleep(self.random.uniform(0.0, 0.02))
                connection.recv(self.random.choice([1, 100, 100_000]))

    # -- valid ZMTP

    def send(self, address: str, *messages: list[bytes], kind: int = zmq.DEALER) -> None:
        """Sends messages and takes what comes back, for a moment."""
        with closing(self.context.socket(kind)) as client:
            client.linger = 200
            client.sndtimeo = 500
            client.connect(address)
            with suppress(zmq.Again):
                for message in messages:
                    client.send_multipart(message)
                while client.poll(20):
                    client.recv_multipart()

    def frames(self, address: str) -> None:
        """Any number of any frames."""
        self.send(address, *([self.bytes() for _ in range(self.random.randrange(1, 9))] for _ in range(20)))

    def many_frames(self, address: str) -> None:
        count = self.random.choice([3001, 30_000, 100_000])
        self.send(address, [b""] * count, [b"", b'{"message":"RequestPing"}'] * 1000, [b"x" * 65] * 200)

    def requests(self, address: str) -> None:
        """Requests with anything in their fields, of a registered client of any type, about what there is."""
        payloads = [self.registration()]
        for _ in range(20):
            payloads += [SUBMIT, LOGIN, PULL, *(self.request() for _ in range(15))]
        self.send(address, *([b"r", payload] for payload in payloads))

    def registration(self) -> bytes:
        kinds = [
            "AgentApplication",
            "MediaServer",
            "MediaServer",
            "RoutingEngine",
            "ReportingEngine",
            "Proxy",
            "Monitor",
        ]
        name = self.random.choice(["evil", "load-MediaServer", "p1", "\n", "e" * 255])
        fields = {"client_name": name, "client_type": self.random.choice(kinds)}
        if self.random.random() < 0.3:
            fields["session_id"] = self.random.choice(["p1.1", "a\nb", "x" * 80])
        return json.dumps({"message": "RequestRegisterClient", **fields}).encode()

    def request(self) -> bytes:
        request = self.random.choice(HARMLESS)
        document = {"message": request.__name__, **request.example}
        document[self.random.choice(request.__struct_encode_fields__)] = "GARBAGE"
        text = json.dumps(document).encode()
        return text.replace(b'"GARBAGE"', self.random.choice(VALUES))

    def packed(self, address: str) -> None:
        """Single frames that look packed, are packed in a wrong way, or are what nobody has asked for."""
        number = self.random.choice([0, 1, -1, 2**63, 2**64 - 1])
        entries = [PackedRequest(number, self.random.choice([0, 1, 2**40]), self.random.choice([0, 1, 2, 255]), payload)
                   for payload in (self.registration(), self.request(), self.bytes())]  # fmt: skip
        good = pack(PackedRequests(self.random.choice([0, 2**64 - 1]), entries))
        replies = pack(PackedReplies(10**9, [PackedReply(1, 1, 0, self.bytes())]))
        events = pack(PackedEvents("n1", "primary", "active", 10**9, 2**62, 1, 1, []))
        cut = good[: self.random.randrange(len(good))]
        at = self.random.randrange(len(good))
        flipped = good[:at] + bytes([good[at] ^ 1 << self.random.randrange(8)]) + good[at + 1 :]
        bombs = [b"\x92\0\xdd\xff\xff\xff\xff", b"\x92\0\xdc\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x91" * 5000]
        frames = [good, cut, flipped, replies, events, *bombs, msgspec.msgpack.encode([0, [[1, 2]]])]
        self.send(address, *([frame] for frame in frames))

    def huge(self, address: str) -> None:
        """Payloads above the limit, frames above the limit, and many parts that are each below it."""
        size = self.random.choice([1, 2, 17, 20])
        self.send(address, [b"r", b"x" * (size * MEBI + 1)])
        self.send(address, [b"y" * MEBI] * 20)

    def wrong_kind(self, address: str) -> None:
        """Sockets that do not fit; and subscribers that send what nobody expects."""
        kind = self.random.choice([zmq.PUSH, zmq.PAIR, zmq.PUB, zmq.REQ, zmq.ROUTER])
        with suppress(zmq.ZMQError):
            self.send(address, [b"\x01" + self.bytes(300)], [b"\x00" + self.bytes()], [self.bytes()], kind=kind)

    def subscriptions(self, address: str) -> None:
        """Topics of all kinds, also of everything and of what proxies get, some ended that were never begun."""
        verbs = [b"\0", b"\1"]
        topics = [self.random.choice(verbs) + self.bytes(250) for _ in range(100)]
        topics += [b"\1", b"\0", b"\1\0packed", b"\0\0packed", b"\0" + b"1", b"\1" + b"t" * MEBI]
        frames = [b"\x02" + struct.pack(">Q", len(topic)) + topic for topic in topics]
        self.raw(address, b"".join(frames), kind=self.random.choice([b"SUB", b"XSUB"]))

    def all(self) -> list[Callable[[str], None]]:
        """Everything it can do."""
        return [
            self.noise, self.http, self.silence, self.noise_after_the_greeting, self.frame_of_no_end, self.bad_frames,
            self.hang_up, self.frames, self.many_frames, self.requests, self.requests, self.packed, self.packed,
            self.wrong_kind, self.subscriptions,
        ]  # fmt: skip

    def only_raw(self) -> list[Callable[[str], None]]:
        """What it can do without ZeroMQ."""
        return [self.noise, self.http, self.silence, self.noise_after_the_greeting]

    def attack(self, addresses: list[str], seconds: float) -> None:
        """Goes on for some seconds; everything is done at every address once at least."""
        rounds = [(act, address) for act in self.all() for address in addresses]
        self.random.shuffle(rounds)
        until = time.monotonic() + seconds
        for act, address in rounds + [(self.huge, address) for address in addresses]:
            self.one(act, address)
        while time.monotonic() < until:
            self.one(self.random.choice(self.all()), self.random.choice(addresses))

    def attack_raw(self, addresses: list[str], seconds: float) -> None:
        """The same with bytes only; not as fast as it can, for then it would just take the processor away."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for address in addresses:
                self.one(self.random.choice(self.only_raw()), address)
                time.sleep(RAW_PAUSE_S)

    def one(self, act: Callable[[str], None], address: str) -> None:
        try:
            act(address)
        except (OSError, zmq.ZMQError) as fault:
            self.done[f"{act.__name__}: {type(fault).__name__}"] += 1
        self.done[act.__name__] += 1


LEFT_OUT = (
    *("RequestSwitchover", "RequestDrain", "RequestPurgeQueue"),
    *("RequestRegisterClient", "RequestUnregisterClient"),
)
"""What an operator orders would be no attack: whoever registers as a Monitor may. The others would end the session."""
HARMLESS = [request for name, request in sorted(REQUESTS.items()) if name not in LEFT_OUT]

HELD = {"tenant_id": 101, "media_type": "voice", "queue": "IN", "interaction_id": "30FGHMI2NBPV2PWI"}
SUBMIT = json.dumps({"message": "RequestSubmit", **HELD}).encode()
LOGIN = b'{"message":"RequestAgentLogin","tenant_id":101,"agent_id":"VICKY","media_list":{"voice":1}}'
PULL = b'{"message":"RequestPull","tenant_id":101,"view_id":"IN/all"}'
"""What makes the examples of the catalogue possible: they are about this interaction and this agent."""

VALUES = (
    b"null", b"1e999", b"9" * 40, b'"\xff\xfe"', b'"\\ud800"', b"[" * 3000, b"[" * 990 + b"]" * 990, b'{"a":' * 500,
    b'{"a":1e999}', b'{"a":%b}' % (b"9" * 400), b'{"\xc3":1}', b'"x"', b"[[]]", b"-1", b'"%b"' % (b"z" * 70_000),
    b"[" * 300 + b"]" * 300, b'{"a":%b%b}' % (b"[" * 900, b"]" * 900), b'{"priority":%b}' % (b"9" * 40),
)  # fmt: skip


LONG = b'{"message":"RequestGetStatus","x":"%b"}' % (b"y" * 300)


def _connect(address: str) -> socket.socket:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=1.0)


def _greet(connection: socket.socket) -> None:
    """It hears the other's greeting before it says more, else it is left."""
    connection.sendall(GREETING)
    heard = 0
    while heard < len(GREETING) and (heard_now := len(connection.recv(len(GREETING) - heard))):
        heard += heard_now


def _shake_hands(connection: socket.socket, kind: bytes) -> None:
    """What a ZMTP peer of a kind says first."""
    _greet(connection)
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
    connection.sendall(b"\x04" + bytes([len(ready)]) + ready)


def _frame(body: bytes, *, more: bool) -> bytes:
    """A ZMTP frame."""
    return bytes([2 | more]) + struct.pack(">Q", len(body)) + body


def main() -> None:
    seed, seconds, *addresses = sys.argv[1:]
    attacker = Attacker(int(seed))
    if addresses[0] == "raw":
        attacker.attack_raw(addresses[1:], float(seconds))
    else:
        attacker.attack(addresses, float(seconds))
    print(json.dumps(attacker.done))
    attacker.context.destroy(linger=0)


if __name__ == "__main__":
    main()
