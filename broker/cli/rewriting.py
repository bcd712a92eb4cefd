"""The configuration file, changed: one option of its text, or all of it in the place of the old one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click
import tomlkit


def with_media_types(text: str, node: str, media_types: list[str] | None) -> str:
    """The text of a configuration with other media types for a node; all else stays as it is written."""
    document = tomlkit.parse(text)
    nodes: Any = document["nodes"]
    settings = nodes[node].get("cluster-settings")
    if settings is None:
        settings = nodes[node]["cluster-settings"] = tomlkit.table()
    if media_types is None:
        settings.pop("media-types", None)
    else:
        settings["media-types"] = media_types
    return tomlkit.dumps(document)


def write(path: Path, content: bytes) -> None:
    """Puts a file in the place of another, at once and as a whole, with the old one's owner and rights."""
    target = path.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _like(target, name)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _like(target: Path, name: str) -> None:
    """The new file gets the old one's rights and, where that is allowed, its owner; a first one everybody's to read."""
    if not target.exists():
        Path(name).chmod(0o644)
        return
    status = target.stat()
    Path(name).chmod(status.st_mode & 0o7777)
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        try:
            os.chown(name, status.st_uid, status.st_gid)
        except PermissionError:
            click.echo(f"{target} belongs to another user; now it is yours", err=True)
