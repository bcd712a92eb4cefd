"""An ESP server in bare pyzmq: python bare_service.py [ADDRESS], of a proxy's or node's requests. Ends with Ctrl-C."""

import json
import sys

import zmq

server = zmq.Context.instance().socket(zmq.DEALER)
server.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7001")
me = {"client_name": "sorter", "client_type": "ESPServer", "services": ["Classify"]}


def send(message, **fields):
    server.send_multipart([b"1", json.dumps({"message": message, **fields}).encode()])


send("RequestRegisterClient", **me)
while True:
    if not server.poll(5_000):  # also for the case that the server was started anew, or had lost us
        send("RequestRegisterClient", **me)
        continue
    said = json.loads(server.recv_multipart()[1])
    if said["message"] == "Request3rdServer":
        text = said["request"].get("Parameters", {}).get("Text", "")
        answer = {"Category": "Cards" if "card" in text.lower() else "Other"}
        send("Request3rdServerResponse", esp_server_refid=said["esp_server_refid"], response=answer)
    elif said["message"] == "EventAck" and said.get("session_id"):
        me["session_id"] = said["session_id"]
    elif said.get("code") == 1:
        send("RequestRegisterClient", **me)
