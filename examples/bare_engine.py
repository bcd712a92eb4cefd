"""A routing engine in bare pyzmq: python bare_engine.py AGENT [ADDRESS [NAME]], the address as of bare_client.py.

It loads a strategy and offers everything that it is sent to one agent, until it is ended.
"""

import json
import sys

import zmq

agent, address, name = [*sys.argv[1:], *["VICKY", "tcp://127.0.0.1:7001", "bare-engine"][len(sys.argv) - 1 :]]
socket = zmq.Context.instance().socket(zmq.DEALER)
socket.connect(address)
me = {"client_name": name, "client_type": "RoutingEngine"}


def send(message, ref, **fields):
    socket.send_multipart([ref.encode(), json.dumps({"message": message, **fields}).encode()])


def begin():
    send("RequestRegisterClient", "hello", **me)
    strategy = {"tenant_id": 101, "strategy_id": "Greeting", "view_ids": ["Inbound/all"]}
    send("RequestLoadStrategy", "load", **strategy, max_submitted=20)


begin()
while True:
    if not socket.poll(1000):  # to be heard, and to hear whether the server still knows us
        send("RequestPing", "alive")
        continue
    frames = socket.recv_multipart()
    for ref, payload in zip(frames[::2], frames[1::2], strict=True):
        said = json.loads(payload)
        if said["message"] == "EventRouteRequest":
            ident = said["interaction"]["interaction_id"]
            send("RequestDeliver", ident, interaction_id=ident, token=said["token"], agent_id=agent)
            again = [word for word in ("resubmitted", "repeated") if said.get(word)]
            print(said["strategy_id"], ident, "to", agent, *again, flush=True)
        elif said["message"] != "EventPong":  # EventAck, EventError, EventAbandoned and the like
            print(ref.decode(), payload.decode(), flush=True)
        if "session_id" in said:
            me["session_id"] = said["session_id"]
        elif (said.get("code") == 1 and ref != b"load") or said.get("registered") is False:  # the server has restarted
            begin()
