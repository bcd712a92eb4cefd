"""The sockets' defaults, seen from a peer, and the audience of an XPUB."""

from __future__ import annotations

import resource
import socket as plain

import pytest
import zmq

from broker import sockets
from broker.config.objects import Limits
from broker.wire import PACKED_TOPIC

ANY = "tcp://127.0.0.1:*"


def endpoint(socket):
    return socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()


def received(socket, wait_ms=2000):
    assert socket.poll(wait_ms), "nothing came"
    return socket.recv_multipart()


def silent(socket, wait_ms=50):
    return not socket.poll(wait_ms)


@pytest.fixture
def router(context):
    return sockets.router(context, ANY, Limits())


@pytest.fixture
def dealer(context, router):
    """A dealer that connects to the router; sending waits for the connection."""
    dealer = sockets.dealer(context, endpoint(router))
    dealer.sndtimeo = 2000
    return dealer


@pytest.fixture
def peer(router, dealer):
    """The dealer's routing id at the router: it has sent one message, which was taken."""
    dealer.send_multipart([b"hello", b"{}"])
    return received(router)[0]


class TestRequests:
    @pytest.mark.parametrize("address", [ANY, "ipc://{folder}/new/n1.sock"])
    def test_a_request_and_its_reply(self, context, tmp_path, address):
        router = sockets.router(context, address.format(folder=tmp_path), Limits())
        dealer = sockets.dealer(context, endpoint(router))
        dealer.sndtimeo = 2000

        dealer.send_multipart([b"ref", b"request"])
        peer, *frames = received(router)
        router.send_multipart([peer, frames[0], b"reply"])

        assert received(dealer) == [b"ref", b"reply"]

    def test_an_address_in_use_is_refused(self, context, router):
        with pytest.raises(zmq.ZMQError, match="in use"):
            sockets.router(context, endpoint(router), Limits())

    def test_a_reply_to_a_lost_client_is_an_error(self, router, dealer, peer, wait_until):
        dealer.close()

        def unreachable():
            try:
                router.send_multipart([peer, b"", b""])
            except zmq.ZMQError as error:
                return error.errno == zmq.EHOSTUNREACH
            return False

        wait_until(unreachable)

    def test_nothing_queues_for_a_server_that_is_away(self, context):
        with plain.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            dealer = sockets.dealer(context, f"tcp://127.0.0.1:{unused.getsockname()[1]}")

            with pytest.raises(zmq.Again):
                dealer.send(b"", zmq.DONTWAIT)

    def test_a_burst_of_replies_waits_for_a_busy_client(self, router, dealer, peer):
        numbers = [b"%d" % number for number in range(30_000)]
        for number in numbers:
            router.send_multipart([peer, number, bytes(1000)], zmq.DONTWAIT)

        assert [received(dealer)[0] for _ in numbers] == numbers

    def test_a_payload_a_bit_too_long_arrives_so_that_it_can_be_answered(self, router, dealer):
        payload = bytes(Limits().max_message_size + 1)
        dealer.send_multipart([b"", payload])

        assert received(router)[2] == payload

    def test_the_sender_of_an_endless_frame_is_disconnected(self, context, monkeypatch):
        monkeypatch.setattr(sockets, "_PACKED_BYTES", 1024)
        limits = Limits(max_message_size=1024)
        router = sockets.router(context, ANY, limits)
        dealer = sockets.dealer(context, endpoint(router))
        dealer.sndtimeo = 2000

        dealer.send_multipart([b"", bytes(sockets.max_frame_size(limits))])
        assert received(router)
        dealer.send_multipart([b"", bytes(sockets.max_frame_size(limits) + 1)])

        assert silent(router, 200)

    def test_a_packed_frame_passes_whatever_the_message_size(self):
        for size in (1024, 1_048_576, 64 * 1024 * 1024):
            limits = Limits(max_message_size=size)
            assert size < sockets.max_packed_size(limits) < sockets.max_frame_size(limits)

    def test_a_silent_connection_is_ended(self, context, monkeypatch):
        monkeypatch.setattr(sockets, "HANDSHAKE_MS", 100)
        router = sockets.router(context, ANY, Limits())
        host, port = endpoint(router).removeprefix("tcp://").split(":")

        with plain.create_connection((host, int(port)), timeout=2) as connection:
            while connection.recv(64):  # the greeting, then the end
                pass


COMMON = {
    zmq.LINGER: 0,
    zmq.HANDSHAKE_IVL: 2000,
    zmq.HEARTBEAT_IVL: 1000,
    zmq.HEARTBEAT_TIMEOUT: 3000,
    zmq.TCP_KEEPALIVE: 1,
    zmq.RECONNECT_IVL: 50,
    zmq.RECONNECT_IVL_MAX: 500,
}


class TestDefaults:
    """Reliability, fact 15."""

    @pytest.mark.parametrize(
        ("make", "special"),
        [
            (lambda context: sockets.router(context, ANY, Limits()), {}),
            (lambda context: sockets.dealer(context, "tcp://127.0.0.1:9"), {zmq.IMMEDIATE: 1}),
            (lambda context: sockets.dealer(context, "tcp://127.0.0.1:9", 1000), {zmq.LINGER: 1000}),
            (lambda context: sockets.xpub(context, ANY), {zmq.MAXMSGSIZE: 257}),
            (lambda context: sockets.sub(context, "tcp://127.0.0.1:9", [b""]), {}),
        ],
        ids=["router", "dealer", "lingering dealer", "xpub", "sub"],
    )
    def test_every_kind_of_socket_has_them(self, context, make, special):
        socket = make(context)
        expected = COMMON | special

        assert {option: socket.getsockopt(option) for option in expected} == expected

    def test_the_address_family_follows_the_address(self, context):
        assert sockets.dealer(context, "tcp://[::1]:9").getsockopt(zmq.IPV6) == 1
        assert sockets.dealer(context, "tcp://127.0.0.1:9").getsockopt(zmq.IPV6) == 0

    def test_the_limit_of_open_files_is_raised_to_what_is_allowed(self):
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] - 1, before[1]))

        assert sockets.raise_file_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])


def zmtp_message(body):
    """One short frame of ZMTP 3.0."""
    return bytes([0, len(body)]) + body


def raw_subscriber(address):
    """A SUB that is no libzmq: it says what it likes."""
    host, port = address.removeprefix("tcp://").split(":")
    connection = plain.create_connection((host, int(port)), timeout=2)
    signature = b"\xff" + bytes(8) + b"\x7f"
    connection.sendall(signature + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    ready = b"\x05READY" + b"\x0bSocket-Type" + b"\0\0\0\x03SUB"
    connection.sendall(bytes([4, len(ready)]) + ready)
    greeting = connection.recv(64, plain.MSG_WAITALL)
    assert len(greeting) == 64
    assert b"XPUB" in connection.recv(256)
    return connection


class TestAudience:
    @pytest.fixture
    def audience(self, context):
        return sockets.Audience(sockets.xpub(context, ANY, manual=True))

    @staticmethod
    def hear(audience):
        """The audience takes what subscribers say next."""
        assert audience.socket.poll(2000), "nobody said anything"
        audience.drain()

    @pytest.fixture
    def listen(self, context, audience):
        """``listen(topic)``: a subscriber whose subscription the audience has taken."""

        def listen(topic):
            sub = sockets.sub(context, endpoint(audience.socket), [topic])
            self.hear(audience)
            return sub

        return listen

    @staticmethod
    def publish(audience):
        for topic in (PACKED_TOPIC, b"101/agent/EventAgentLogin", b"7/interaction/EventX"):
            audience.socket.send_multipart([topic, b"", b""])

    @staticmethod
    def topics(sub):
        seen = []
        while sub.poll(100):
            seen.append(sub.recv_multipart()[0])
        return seen

    def test_everything_means_every_topic_of_clients(self, audience, listen):
        everything = listen(b"")
        self.publish(audience)

        assert self.topics(everything) == [b"101/agent/EventAgentLogin", b"7/interaction/EventX"]

    def test_packed_messages_go_to_those_who_name_them(self, audience, listen):
        proxy, client = listen(PACKED_TOPIC), listen(b"101/agent/")
        self.publish(audience)

        assert self.topics(proxy) == [PACKED_TOPIC]
        assert self.topics(client) == [b"101/agent/EventAgentLogin"]

    def test_every_proxy_that_comes_is_noticed(self, audience, listen):
        listen(b"101/")
        assert not audience.joined
        for _ in range(2):
            listen(PACKED_TOPIC)
            assert audience.joined
            audience.joined = False

    def test_only_clients_make_it_watched(self, audience, listen):
        assert not audience.watched
        listen(PACKED_TOPIC)
        assert not audience.watched
        listen(b"101/")
        assert audience.watched

    def test_a_lost_client_is_no_longer_counted(self, audience, listen):
        first, second = listen(b""), listen(b"101/")

        first.close()
        self.hear(audience)
        assert audience.watched

        second.close()
        self.hear(audience)
        assert not audience.watched

    def test_one_clients_unsubscription_does_not_silence_another(self, audience, listen):
        staying, leaving = listen(b""), listen(b"")
        leaving.setsockopt(zmq.UNSUBSCRIBE, b"")
        self.hear(audience)
        self.publish(audience)

        assert len(self.topics(staying)) == 2
        assert self.topics(leaving) == []

    def test_a_stranger_cannot_take_back_what_it_never_asked_for(self, audience, listen):
        staying = listen(b"101/")
        with raw_subscriber(endpoint(audience.socket)) as stranger:
            stranger.sendall(zmtp_message(b"\x00101/"))
            self.hear(audience)
            self.publish(audience)

            assert audience.watched
            assert self.topics(staying) == [b"101/agent/EventAgentLogin"]

    def test_what_is_no_subscription_is_ignored(self, context, audience):
        stranger = context.socket(zmq.XSUB)
        stranger.connect(endpoint(audience.socket))
        for junk in (b"", b"\xffjunk", b"hello"):
            stranger.send(junk)
        self.hear(audience)

        assert not audience.watched
        stranger.close()

    def test_an_endless_topic_is_not_taken(self, context, audience):
        sockets.sub(context, endpoint(audience.socket), [b"1" * (sockets.MAX_TOPIC + 1)])

        assert silent(audience.socket, 200)
