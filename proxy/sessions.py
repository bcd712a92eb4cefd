"""The proxy's clients: registration, liveness, resumption, end (protocol 3).

A client has a number here, its address at the nodes; the session survives a lost connection, so a client that comes
back with its ``session_id`` within three keep-alive intervals goes on where it was.
"""

from __future__ import annotations

from hashlib import blake2b
from heapq import heapify, heappop, heappush
from itertools import count

from broker.errors import Code, Refusal
from broker.messages import encode
from broker.messages.connection import RequestRegisterClient, RequestUnregisterClient
from broker.messages.kinds import ClientType

from .link import Farewell

INTERVALS = 3
"""Keep-alive intervals without any message after which a session ends."""


class Session:
    """A registered client.

    :param client: its number in packed frames
    :param session_id: what the client resumes it by; no other client can guess it
    :param source: where it is now
    :param introduction: the RequestRegisterClient that introduces it to a node; ``changed``: it is another than before,
        or the client is somewhere else, so that what nodes have told it since it was lost has to be told again
    :param vanished: it has ended, and the client has not said that it goes
    """

    __slots__ = (
        "changed",
        "client",
        "ended",
        "heard",
        "introduction",
        "name",
        "session_id",
        "source",
        "tenants",
        "type",
        "vanished",
    )

    def __init__(self, client: int, session_id: str, source: bytes, request: RequestRegisterClient) -> None:
        self.client = client
        self.session_id = session_id
        self.source: bytes | None = source
        self.name = request.client_name
        self.type = request.client_type
        self.tenants: frozenset[int] = frozenset(request.tenants or ())
        self.heard = 0.0
        self.introduction = b""
        self.changed = False
        self.ended = False
        self.vanished = False

    @property
    def farewell(self) -> Farewell:
        """How nodes are told of its end."""
        return Farewell(self.introduction, encode(RequestUnregisterClient(vanished=self.vanished)))


class Sessions:
    """All sessions, by address, number and id.

    :param server: the proxy's name; :param boot: the boot's random hex, the secret behind session ids
    :param tenants: the tenants there are
    """

    def __init__(self, server: str, boot: str, tenants: frozenset[int], max_clients: int, keepalive: float) -> None:
        self.by_source: dict[bytes, Session] = {}
        self.by_client: dict[int, Session] = {}
        self._by_id: dict[str, Session] = {}
        self._server = server
        self._boot = boot
        self._tenants = tenants
        self._max_clients = max_clients
        self._limit_s = INTERVALS * keepalive
        self._numbers = count(1)
        self._due: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self.by_client)

    def reload(self, tenants: frozenset[int], max_clients: int) -> None:
        """Other tenants, another bound. Sessions keep the tenants that they have until they register again."""
        self._tenants, self._max_clients = tenants, max_clients

    def register(self, now: float, source: bytes, request: RequestRegisterClient) -> tuple[Session, Session | None]:
        """A client registers: a new session, or its old one at this address.

        :returns: the session, and the one that this ended (another client's at the same address), if any
        :raises Refusal: unknown tenant, somebody else's session, too many clients
        """
        tenants = self._asked_tenants(request)
        here = self.by_source.get(source)
        known = self._by_id.get(request.session_id) if request.session_id else here
        if known is not None and not _is(known, request):
            if known is not here or request.session_id:
                raise Refusal(Code.ACCESS_DENIED, "this session belongs to another client", field="session_id")
            known = None
        if known is None and len(self.by_client) >= self._max_clients:
            raise Refusal(Code.BUSY, f"{len(self.by_client)} clients are registered", retry_after=1.0)
        replaced = here if here is not known else None
        if replaced is not None:
            self.end(replaced)
        moved = known is not None and known is not here
        session = self._move(known, source) if known else self._new(now, source, request)
        session.heard = now
        session.tenants = tenants
        introduction = self._introduction(session, request)
        session.changed = moved or (known is not None and session.introduction != introduction)
        session.introduction = introduction
        return session, replaced

    def _asked_tenants(self, request: RequestRegisterClient) -> frozenset[int]:
        if request.tenants is None:
            return self._tenants
        unknown = sorted(set(request.tenants) - self._tenants)
        if unknown:
            raise Refusal(Code.UNKNOWN_TENANT, f"no tenant {unknown[0]}", field="tenants")
        return frozenset(request.tenants)

    def _new(self, now: float, source: bytes, request: RequestRegisterClient) -> Session:
        client = next(self._numbers)
        secret = blake2b(f"{client}".encode(), key=self._boot.encode()[:64], digest_size=12).hexdigest()
        session = Session(client, f"{self._server}.{client}.{secret}", source, request)
        self.by_client[client] = session
        self.by_source[source] = session
        self._by_id[session.session_id] = session
        self._watch(now, client)
        return session

    def _watch(self, now: float, client: int) -> None:
        """Looks at a session again later; what is left of ended ones stays within twice the living."""
        heappush(self._due, (now + self._limit_s, client))
        if len(self._due) > 2 * len(self.by_client) + 1000:
            self._due = [entry for entry in self._due if entry[1] in self.by_client]
            heapify(self._due)

    def _move(self, session: Session, source: bytes) -> Session:
        """A session at its new address; what comes from the old one is not registered any more."""
        if session.source is not None:
            self.by_source.pop(session.source, None)
        session.source = source
        self.by_source[source] = session
        return session

    def _introduction(self, session: Session, request: RequestRegisterClient) -> bytes:
        introduced = RequestRegisterClient(
            client_name=session.name,
            client_type=session.type,
            tenants=sorted(session.tenants),
            media_type=request.media_type,
            services=request.services,
            application_type=request.application_type,
            session_id=f"{self._server}.{self._boot}.{session.client}",
            extension=request.extension,
        )
        return encode(introduced)

    def lost(self, source: bytes) -> Session | None:
        """An address cannot be reached any more: its session waits there for its client."""
        session = self.by_source.pop(source, None)
        if session is not None:
            session.source = None
        return session

    def end(self, session: Session) -> None:
        """Ends a session."""
        session.ended = True
        if session.source is not None:
            self.by_source.pop(session.source, None)
        self.by_client.pop(session.client, None)
        self._by_id.pop(session.session_id, None)

    def silent(self, now: float) -> list[Session]:
        """Sessions that nothing was heard of for three intervals; they are ended."""
        over = []
        due = self._due
        while due and due[0][0] <= now:
            _, client = heappop(due)
            session = self.by_client.get(client)
            if session is None:
                continue
            until = session.heard + self._limit_s
            if until <= now:
                session.vanished = True
                self.end(session)
                over.append(session)
            else:
                heappush(due, (until, client))
        return over

    @property
    def wake_at(self) -> float:
        """When :meth:`silent` has something to look at."""
        return self._due[0][0] if self._due else float("inf")


def hello(server: str, boot: str) -> bytes:
    """The registration of the proxy itself at a node, the first request of a link."""
    return encode(
        RequestRegisterClient(client_name=server, client_type=ClientType.PROXY, session_id=f"{server}.{boot}")
    )


def _is(session: Session, request: RequestRegisterClient) -> bool:
    return session.name == request.client_name and session.type is request.client_type
