"""An ESP server in bare pyzmq: registers at a proxy (or node), answers what it is asked, pings. Ends with Ctrl-C."""

import json
import sys

import zmq

server = zmq.Context().socket(zmq.DEALER)
server.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7001")


def send(message, **fields):
    server.send_multipart([b"", json.dumps({"message": message, **fields}).encode()])


send("RequestRegisterClient", client_name="sorter", client_type="ESPServer", services=["Classify"])
while True:
    if not server.poll(5_000):
        send("RequestPing")
        continue
    said = json.loads(server.recv_multipart()[1])
    if said["message"] == "Request3rdServer":
        text = said["request"].get("Parameters", {}).get("Text", "")
        answer = {"Category": "Cards" if "card" in text.lower() else "Other"}
        send("Request3rdServerResponse", esp_server_refid=said["esp_server_refid"], response=answer)
    elif said.get("code") == 1:  # the server was started anew
        send("RequestRegisterClient", client_name="sorter", client_type="ESPServer", services=["Classify"])
