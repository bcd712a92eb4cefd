"""What nodes have granted to pulls, and the replies that are put together of it. Interactions stay as they came."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from msgspec import Raw, Struct

from broker.messages.pulls import Unpulled


class Granted(Struct, gc=False):
    """A node's positive reply to a pull. :param errors: of a pull by ids, what became of the others"""

    interactions: list[Raw]
    errors: dict[str, Unpulled] = {}


class _Id(Struct, gc=False):
    interaction_id: str


_read_granted = msgspec.json.Decoder(Granted).decode
_read_id = msgspec.json.Decoder(_Id).decode


def read_granted(payload: bytes | Raw) -> Granted:
    """:raises ValueError, RecursionError: it is none"""
    return _read_granted(payload)


def id_of(interaction: Raw) -> str:
    """:raises ValueError, RecursionError: it has none"""
    return _read_id(interaction).interaction_id


def granted_payload(
    interactions: list[Raw], missing: Collection[str] = (), errors: Mapping[str, Unpulled] | None = None
) -> bytes:
    """The reply with these interactions, byte for byte.

    :param missing: nodes that could have given something and did not answer
    :param errors: of a pull by ids, what became of the others
    """
    end = b',"complete":true}'
    if missing:
        end = b',"complete":false,"missing":' + msgspec.json.encode(sorted(missing)) + b"}"
    if errors:
        end = b',"errors":' + msgspec.json.encode(errors) + end
    return b'{"message":"EventPulledInteractions","interactions":[%b]%b' % (b",".join(interactions), end)
