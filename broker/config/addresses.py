"""Where members bind and where databases lie: what the two kinds of address may look like in this release."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address
from posixpath import normpath

from .faults import quoted

ADDRESS_FORMS = "tcp://HOST:PORT or ipc://PATH"
DATABASE_FORM = "sqlite:///PATH"

_TCP = re.compile(r"tcp://([A-Za-z0-9_.*-]+|\[[^\[\]]*\]):([0-9]{1,5})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LAST_PORT = 65_535
_LONGEST_IPC = 107
"""Bytes; the system's bound for the path of a Unix domain socket."""


class WrongAddress(ValueError):
    """An address or URL cannot be used; the text says what was expected, and what came."""


def normal_address(address: str) -> str:
    """An address so spelt that two spellings of one place are equal.

    :raises WrongAddress: it has neither form, or is beyond what this release binds
    """
    if address.startswith("ipc://"):
        return "ipc://" + _normal_ipc(address.removeprefix("ipc://"))
    found = _TCP.fullmatch(address)
    if not found:
        raise WrongAddress(f"expected {ADDRESS_FORMS}, got {quoted(address)}")
    if not 1 <= int(found[2]) <= _LAST_PORT:
        raise WrongAddress(f"expected a port from 1 to {_LAST_PORT}, got {found[2]}")
    return f"tcp://{_normal_host(found[1])}:{int(found[2])}"


def _normal_host(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = IPv4Address(host)
    except AddressValueError:
        address = None
    if address is None or not address.is_loopback:
        raise WrongAddress(
            f"{host} is not a loopback address (localhost, 127.0.0.0/8): TCP beyond loopback needs CURVE;"
            " not in this release"
        )
    return str(address)


def _normal_ipc(path: str) -> str:
    if not path or path == "*" or _CONTROL.search(path):
        raise WrongAddress(f"expected ipc://PATH of a file, got {quoted(f'ipc://{path}')}")
    if len(path.encode(errors="replace")) > _LONGEST_IPC:
        raise WrongAddress(f"expected a path of at most {_LONGEST_IPC} bytes, the system's bound for ipc")
    return path if path.startswith("@") else normpath(path)


def database_path(url: str) -> str:
    """The path of the file that a node's ``database`` names; relative ones are relative to the working directory.

    :raises WrongAddress: it names no SQLite file
    """
    if url.startswith(("postgresql:", "postgres:")):  # not shown: it may hold a password
        raise WrongAddress(f"PostgreSQL is not in this release yet; expected {DATABASE_FORM}")
    path = url.removeprefix("sqlite:///")
    if path == url or not path or path.endswith("/") or _CONTROL.search(path) or "?" in path:
        raise WrongAddress(f"expected {DATABASE_FORM} of a file, got {quoted(url)}")
    if path.startswith(":"):
        raise WrongAddress(f"expected {DATABASE_FORM} of a file that both members can open, got {quoted(url)}")
    return normpath(path)
