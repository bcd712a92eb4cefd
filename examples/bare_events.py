"""The event stream in bare pyzmq: python bare_events.py [EVENTS-ADDRESS of a proxy] [TOPIC]"""

import sys

import zmq

address = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7002"
socket = zmq.Context.instance().socket(zmq.SUB)
socket.connect(address)
socket.subscribe(sys.argv[2] if len(sys.argv) > 2 else "101/")
while True:
    topic, cursor, payload = socket.recv_multipart()
    print(cursor.decode(), topic.decode(), payload.decode(), flush=True)
