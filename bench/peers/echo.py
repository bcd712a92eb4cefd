"""How fast the driver can be: a ROUTER that answers every request at once with the same bytes. A shell.

python -m bench.peers.echo ADDRESS BYTES
"""

from __future__ import annotations

import sys

import zmq

from broker.sockets import Lean


def main(address: str, size: str) -> None:
    """Binds, answers."""
    front = Lean(zmq.Context(), zmq.ROUTER)
    front.bind(address)
    reply = b"x" * int(size)
    while True:
        peer, ref, _ = front.recv_multipart()
        front.send_multipart((peer, ref, reply))


if __name__ == "__main__":
    main(*sys.argv[1:])
