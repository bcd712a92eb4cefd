"""A scripted server for tests of clients: a ROUTER and an XPUB in a thread, with the answers that a test gives it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import zmq

Reply = dict[str, Any] | bytes | None
Script = Callable[[dict[str, Any]], Reply]
"""A request -> its reply; None: there is none."""


class Peer:
    """A server. Use it in a ``with`` statement.

    :param script: answers everything but registrations and pings
    :param register: answers RequestRegisterClient
    """

    def __init__(self, script: Script, register: Script | None = None, port: tuple[int, int] | None = None) -> None:
        self.requests: list[dict[str, Any]] = []
        self.messages: list[list[bytes]] = []
        self.silent = False
        self._script = script
        self._register = register or (lambda request: {"message": "EventAck", "session_id": f"s{id(self)}"})
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._xpub = self._context.socket(zmq.XPUB)
        self._inbox = self._context.socket(zmq.PULL)
        self._outbox = self._context.socket(zmq.PUSH)
        for socket in (self._router, self._xpub, self._inbox, self._outbox):
            socket.linger = 0
        self.ports = (self._bind(self._router, port and port[0]), self._bind(self._xpub, port and port[1]))
        self._inbox.bind(f"inproc://{id(self)}")
        self._outbox.connect(f"inproc://{id(self)}")
        self.endpoint = f"tcp://127.0.0.1:{self.ports[0]},tcp://127.0.0.1:{self.ports[1]}"
        self._clients: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _bind(self, socket: zmq.Socket[bytes], port: int | None) -> int:
        if port is None:
            return socket.bind_to_random_port("tcp://127.0.0.1")
        socket.bind(f"tcp://127.0.0.1:{port}")
        return port

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server as a crash would: connections are closed, nothing more is said."""
        if self._thread.is_alive():
            self._outbox.send_multipart([b"stop"])
            self._thread.join(5)
        self._context.destroy(linger=0)

    def notify(self, note: dict[str, Any]) -> None:
        """Tells every client something unasked."""
        self._outbox.send_multipart([b"notify", json.dumps(note).encode()])

    def publish(self, *messages: tuple[bytes, bytes, bytes]) -> None:
        """Publishes messages of the stream."""
        for message in messages:
            self._outbox.send_multipart([b"publish", *message])

    def named(self, message: str) -> list[dict[str, Any]]:
        """The requests of a name that have come."""
        return [request for request in self.requests if request["message"] == message]

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._router, self._xpub, self._inbox):
            poller.register(socket, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._inbox in ready and not self._obey(self._inbox.recv_multipart()):
                return
            if self._xpub in ready:
                self._xpub.recv()
            if self._router in ready:
                self._serve(self._router.recv_multipart())

    def _obey(self, order: list[bytes]) -> bool:
        if order[0] == b"notify":
            for client in self._clients:
                self._router.send_multipart([client, b"", order[1]])
        elif order[0] == b"publish":
            self._xpub.send_multipart(order[1:])
        return order[0] != b"stop"

    def _serve(self, frames: list[bytes]) -> None:
        client, *pairs = frames
        self.messages.append(pairs)
        if client not in self._clients:
            self._clients.append(client)
        for ref, payload in zip(pairs[::2], pairs[1::2], strict=True):
            reply = self._answer(json.loads(payload))
            if reply is not None and not self.silent:
                self._router.send_multipart(
                    [client, ref, reply if isinstance(reply, bytes) else json.dumps(reply).encode()]
                )

    def _answer(self, request: dict[str, Any]) -> Reply:
        self.requests.append(request)
        if request["message"] == "RequestRegisterClient":
            return self._register(request)
        if request["message"] == "RequestPing":
            return {"message": "EventPong", "server": "x", "kind": "y", "member": "primary", "role": "active", "pid": 1}
        return self._script(request)
