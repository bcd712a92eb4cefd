"""A whole client in bare pyzmq: python bare_client.py [REQUESTS-ADDRESS of a proxy or node]"""

import json
import sys

import zmq

address = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7001"
socket = zmq.Context.instance().socket(zmq.DEALER)
socket.rcvtimeo, socket.linger = 15_000, 1_000  # for one reply; for the last word
socket.connect(address)


def ask(message, **fields):
    """One request and its reply. The first frame is ours: it comes back with the reply, empty it is a notification."""
    socket.send_multipart([b"1", json.dumps({"message": message, **fields}).encode()])
    while (frames := socket.recv_multipart())[0] != b"1":
        print("told:", frames[1].decode())
    print(message, "->", frames[1].decode())
    return json.loads(frames[1])


ask("RequestRegisterClient", client_name="bare", client_type="MediaServer")
card = ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound", user_data={"Subject": "Card blocked"})
ask("RequestChangeProperties", interaction_id=card["interaction_id"], changed_properties={"priority": 5})
ask("RequestGetInteractionProperties", interaction_id=card["interaction_id"])
ask("RequestStopProcessing", interaction_id=card["interaction_id"])
ask("RequestUnregisterClient")
