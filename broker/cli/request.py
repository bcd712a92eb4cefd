"""``ixn request``: one raw request, one reply."""

from __future__ import annotations

import sys
from typing import Any

import click
import orjson

from broker.answers import ClientError
from broker.messages.kinds import ClientType

from .exits import BadData, Exit, exit_of_code
from .output import output_option, print_bytes, print_json
from .reach import connected


@click.command("request")
@click.argument("message")
@click.option(
    "--type",
    "client_type",
    type=click.Choice([kind.value for kind in ClientType]),
    default=ClientType.MONITOR.value,
    show_default=True,
    help="Register as this type of client; what a client may ask depends on it.",
)
@click.option("--tenant", "tenants", type=int, multiple=True, help="Register for this tenant.  [default: all]")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=15.0,
    show_default=True,
    help="Seconds to wait for the reply.",
)
@output_option("json")
@click.pass_context
def command(context: click.Context, /, message: str, **options: Any) -> int:
    """Send one request and print the reply.

    MESSAGE is the request's JSON, such as '{"message": "RequestPing"}', or - to read it from stdin. The reply is
    printed as it came (-o text: over several lines). An EventError is printed, too: then the exit code is what `ixn
    --help` says of it: 65 for a field that is missing or wrong, 77 for access denied, 69 for servers that are not
    there, 75 for a timeout, else 1.
    """
    payload = _payload(message)
    with connected(context, ClientType(options["client_type"]), list(options["tenants"]) or None) as client:
        try:
            reply = client.request_raw(payload, options["timeout"])
        except ClientError as error:
            _print(orjson.dumps(error.reply), options["output"])
            return exit_of_code(error.code)
    _print(reply, options["output"])
    return Exit.FINE


def _payload(message: str) -> bytes:
    """The request's bytes. :raises BadData: it is no JSON object with a message"""
    payload = sys.stdin.buffer.read() if message == "-" else message.encode(errors="surrogateescape")
    try:
        request = orjson.loads(payload)
    except orjson.JSONDecodeError as fault:
        raise BadData(f"the request is not JSON: {fault}") from None
    if not isinstance(request, dict) or not isinstance(request.get("message"), str):
        raise BadData('the request is a JSON object with a "message"')
    return payload.strip()


def _print(reply: bytes, output: str) -> None:
    if output == "text":
        print_json(orjson.loads(reply))
    else:
        print_bytes(reply)
