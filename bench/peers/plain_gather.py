"""The floor for fan-out: a scatter-gather proxy as one writes it with pyzmq in an hour. A shell.

    python -m bench.peers.plain_gather spliced|ordered FRONT NODE…

A ROUTER for clients, a DEALER per node, a blocking poller that drains. Every request goes to every node as a message
of its own; when all have answered, their lists become one: ``spliced`` as they came, nothing decoded, or ``ordered`` as
the proxy answers. It decides nothing: no sessions, no routing, no deadline; a lost node is waited for for ever.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import orjson
import zmq

from broker.sockets import Socket

FOUND = b'{"message":"EventInteractionsFound","interactions":['
REGISTER = b'{"message":"RequestRegisterClient","client_name":"plain gather","client_type":"Monitor"}'
COUNT = 100


def spliced(answers: list[bytes]) -> bytes:
    """The lists of all answers one behind the other."""
    return FOUND + b",".join([answer[len(FOUND) : answer.rindex(b"]")] for answer in answers]) + b"]}"


def ordered(answers: list[bytes]) -> bytes:
    """The lists of all answers in the order of ``received_at``, at most so many as the request's default says."""
    found = [one for answer in answers for one in orjson.loads(answer)["interactions"]]
    found.sort(key=lambda one: (one["received_at"], one["interaction_id"]))
    return orjson.dumps({"message": "EventInteractionsFound", "interactions": found[:COUNT], "complete": True})


def serve(front: Socket, nodes: list[Socket], joined: Callable[[list[bytes]], bytes]) -> None:
    """Serves for ever."""
    poller = zmq.Poller()
    for socket in (front, *nodes):
        poller.register(socket, zmq.POLLIN)
    pending: dict[bytes, tuple[bytes, bytes, list[bytes]]] = {}
    number = 0
    while True:
        for socket, _ in poller.poll():
            try:
                while socket is front:
                    client, ref, payload = front.recv_multipart(zmq.NOBLOCK)
                    number += 1
                    key = b"%d" % number
                    pending[key] = client, ref, []
                    for node in nodes:
                        node.send_multipart((key, payload))
                while True:
                    key, payload = socket.recv_multipart(zmq.NOBLOCK)
                    client, ref, answers = pending[key]
                    answers.append(payload)
                    if len(answers) == len(nodes):
                        del pending[key]
                        front.send_multipart((client, ref, joined(answers)))
            except zmq.Again:
                continue


def connected(context: zmq.Context[Socket], address: str) -> Socket:
    """A registered connection to a node."""
    node = context.socket(zmq.DEALER)
    node.connect(address)
    node.send_multipart([b"", REGISTER])
    node.recv_multipart()
    return node


def main(join: str, address: str, *nodes: str) -> None:
    """Binds, connects, serves."""
    context: zmq.Context[Socket] = zmq.Context()
    front = context.socket(zmq.ROUTER)
    front.bind(address)
    serve(front, [connected(context, node) for node in nodes], {"spliced": spliced, "ordered": ordered}[join])


if __name__ == "__main__":
    main(*sys.argv[1:])
