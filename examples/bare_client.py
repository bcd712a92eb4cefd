"""A client in bare pyzmq: python bare_client.py [ADDRESS], the address of a proxy's or node's requests."""

import json
import sys

import zmq

socket = zmq.Context.instance().socket(zmq.DEALER)
socket.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7001")
socket.rcvtimeo, socket.linger = 15_000, 0  # milliseconds: for a reply, and at the end


def ask(message, **fields):
    socket.send_multipart([b"1", json.dumps({"message": message, **fields}).encode()])
    while (frames := socket.recv_multipart())[0] != b"1":  # the reply has our reference, a notification has none
        print("told:", frames[1].decode())
    print(message, "->", frames[1].decode())
    return json.loads(frames[1])


ask("RequestRegisterClient", client_name="bare", client_type="MediaServer")
new = ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound", user_data={"Subject": "Card blocked"})
ask("RequestChangeProperties", interaction_id=new["interaction_id"], changed_properties={"priority": 5})
ask("RequestGetInteractionProperties", interaction_id=new["interaction_id"])
ask("RequestStopProcessing", interaction_id=new["interaction_id"])
ask("RequestUnregisterClient")
