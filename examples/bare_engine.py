"""A routing engine in bare pyzmq: python bare_engine.py AGENT [ADDRESS [NAME]], the address as of bare_client.py.

It loads a strategy and offers everything that it is sent to one agent, until it is ended.
"""

import json
import sys

import zmq

agent, address, name = [*sys.argv[1:], *["VICKY", "tcp://127.0.0.1:7001", "bare-engine"][len(sys.argv) - 1 :]]
socket = zmq.Context.instance().socket(zmq.DEALER)
socket.connect(address)


def send(message, ref, **fields):
    socket.send_multipart([ref.encode(), json.dumps({"message": message, **fields}).encode()])


send("RequestRegisterClient", "hello", client_name=name, client_type="RoutingEngine")
send("RequestLoadStrategy", "load", tenant_id=101, strategy_id="Greeting", view_ids=["Inbound/all"], max_submitted=20)
while True:
    if not socket.poll(1000):  # a session without any message ends after three keepalive intervals
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
