"""``ixn events``: the merged stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import click
import orjson

from broker.messages.kinds import ClientType
from broker.positions import read_cursor
from broker.subscription import OLDEST, OWN_WORDS, Followed

from .output import output_option, print_bytes
from .reach import connected

_FROM_OLDEST = "oldest"


@click.command("events")
@click.option(
    "--from", "start", metavar="CURSOR", help="Begin after this cursor, or with the oldest event kept.  [default: now]"
)
@click.option(
    "--topic", "topics", metavar="PREFIX", multiple=True, help="Only topics that begin so, such as 101/agent."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@output_option("jsonl")
@click.pass_context
def command(context: click.Context, start: str | None, topics: tuple[str, ...], count: int | None, output: str) -> None:
    """Print the cluster's event stream, until --count or Ctrl-C.

    One line an event: {"cursor": …, "topic": …, "event": …}. The cursor is where to go on after it (--from), at this
    proxy or another; --from oldest begins with the oldest event that is kept. Gaps are filled by replay. All proxies
    print the same lines in the same order.

    What a proxy itself has to say about its stream (that it goes on without a node that is silent) is no event of the
    cluster: it goes to stderr. -o json prints an array, -o text one short line an event.
    """
    with connected(context, ClientType.REPORTING) as client:
        events = client.events(_start(start), topics or ("",))
        try:
            _print(islice(of_nodes(events), count), output)
        except KeyboardInterrupt:
            return
        finally:
            events.close()


def _start(start: str | None) -> str | None:
    if start is None or start == _FROM_OLDEST:
        return None if start is None else OLDEST
    try:
        read_cursor(start)
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="--from") from None
    return start


def of_nodes(events: Iterable[Followed]) -> Iterator[Followed]:
    """The nodes' events; the proxy's own words go to stderr."""
    for event in events:
        if event.topic.rpartition("/")[2] in OWN_WORDS:
            click.echo(event.payload.decode(), err=True)
        else:
            yield event


def _print(events: Iterable[Followed], output: str) -> None:
    if output == "json":
        _print_array(events)
        return
    for event in events:
        print_bytes(_text(event) if output == "text" else as_line(event))


def _print_array(events: Iterable[Followed]) -> None:
    before = b"["
    try:
        for event in events:
            print_bytes(before + as_line(event))
            before = b","
    finally:
        print_bytes(b"]" if before == b"," else b"[]")


def as_line(event: Followed) -> bytes:
    """An event as a line of JSON; the event's own bytes are not touched."""
    cursor, topic = orjson.dumps(event.cursor), orjson.dumps(event.topic)
    return b'{"cursor":%b,"topic":%b,"event":%b}' % (cursor, topic, event.payload)


def _text(event: Followed) -> bytes:
    """Cursor, topic, and who and what it is about."""
    said = orjson.loads(event.payload)
    about = said.get("interaction") or said.get("agent") or said.get("body") or {}
    party = said.get("party") or {}
    names = ("interaction_id", "queue", "agent_id", "place_id", "media_type", "member", "epoch")
    parts = [f"{name}={about[name]}" for name in names if about.get(name) is not None]
    parts += [f"party={party[name]}" for name in ("agent_id", "place_id", "strategy_id") if party.get(name)]
    return " ".join([event.cursor, event.topic, *parts]).encode()
