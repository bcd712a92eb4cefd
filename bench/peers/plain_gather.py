"""The floor for fan-out: a scatter-gather proxy as one writes it with pyzmq in an hour. A shell.

    python -m bench.peers.plain_gather FRONT NODE…

A ROUTER for clients, a DEALER per node, a blocking poller that drains. Every request goes to every node as a message of
its own; when all have answered, their lists become one. It decides nothing: no sessions, no routing, no order, no
count, no deadline, and a node that is lost is waited for until the end.
"""

from __future__ import annotations

import sys

import zmq

from broker.sockets import Socket

FOUND = b'{"message":"EventInteractionsFound","interactions":['
REGISTER = b'{"message":"RequestRegisterClient","client_name":"plain gather","client_type":"Monitor"}'

Pending = dict[bytes, tuple[bytes, bytes, list[bytes]]]
"""Requests under way: number -> client, its ref, what nodes have answered."""


def serve(front: Socket, nodes: list[Socket]) -> None:
    """Serves for ever."""
    poller = zmq.Poller()
    for socket in (front, *nodes):
        poller.register(socket, zmq.POLLIN)
    pending: Pending = {}
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
                        front.send_multipart((client, ref, spliced(answers)))
            except zmq.Again:
                continue


def spliced(answers: list[bytes]) -> bytes:
    """The lists of all answers as one, without decoding any of them."""
    return FOUND + b",".join([answer[len(FOUND) : answer.rindex(b"]")] for answer in answers]) + b"]}"


def connected(context: zmq.Context[Socket], address: str) -> Socket:
    """A registered connection to a node."""
    node = context.socket(zmq.DEALER)
    node.connect(address)
    node.send_multipart([b"", REGISTER])
    node.recv_multipart()
    return node


def main(front_address: str, *addresses: str) -> None:
    """Binds, connects, serves."""
    context: zmq.Context[Socket] = zmq.Context()
    front = context.socket(zmq.ROUTER)
    front.bind(front_address)
    serve(front, [connected(context, address) for address in addresses])


if __name__ == "__main__":
    main(*sys.argv[1:])
