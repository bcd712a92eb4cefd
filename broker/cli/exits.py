"""Exit codes, and what each exception becomes: a line on stderr and a code."""

from __future__ import annotations

import traceback
from enum import IntEnum

import click

from broker.answers import ClientError, Unavailable
from broker.config.faults import ConfigurationFaults
from broker.errors import Code
from broker.replay.calls import BadCalls
from broker.replay.play import ReplayFailed


class Exit(IntEnum):
    """The exit codes of ``ixn`` (those above 1 as in sysexits.h)."""

    FINE = 0
    NO = 1
    USAGE = 64
    BAD_DATA = 65
    UNAVAILABLE = 69
    BUG = 70
    TIMEOUT = 75
    REFUSED = 77
    CONFIGURATION = 78
    INTERRUPTED = 130


class BadData(Exception):
    """What the user gave as data cannot be read."""


_OF_CODE = {
    **dict.fromkeys((Code.MISSING_ATTRIBUTE, Code.WRONG_VALUE, Code.MALFORMED, Code.BAD_CONDITION), Exit.BAD_DATA),
    **dict.fromkeys((Code.NOT_PRIMARY, Code.BUSY, Code.DATABASE_FAILURE, Code.NO_SERVERS), Exit.UNAVAILABLE),
    **dict.fromkeys((Code.LOST_CONNECTION, Code.NOT_ACCESSIBLE), Exit.UNAVAILABLE),
    **dict.fromkeys((Code.DATABASE_TIMEOUT, Code.SERVICE_TIMEOUT), Exit.TIMEOUT),
    Code.ACCESS_DENIED: Exit.REFUSED,
    Code.WRONG_CONFIGURATION: Exit.CONFIGURATION,
}
"""Of a server's error; any other is "no"."""


def exit_of_code(code: int) -> Exit:
    """The exit code for an ``EventError``'s code."""
    known = _OF_CODE.get(code)  # type: ignore[call-overload]
    return known if isinstance(known, Exit) else Exit.NO


def explain(error: Exception) -> int:
    """Says on stderr what went wrong, and gives the exit code for it."""
    if isinstance(error, click.ClickException):
        error.show()
        return Exit.USAGE if isinstance(error, click.UsageError) else Exit.BAD_DATA
    if isinstance(error, click.Abort):
        return Exit.INTERRUPTED
    code = _code_of(error)
    if code is Exit.BUG:
        traceback.print_exception(error)
    else:
        click.echo(f"ixn: {error}", err=True)
    return code


def _code_of(error: Exception) -> Exit:
    if isinstance(error, ClientError):
        return exit_of_code(error.code)
    if isinstance(error, ReplayFailed):
        return Exit.REFUSED if error.refused else Exit.TIMEOUT
    for kind, code in _OF_KIND.items():
        if isinstance(error, kind):
            return code
    return Exit.BUG


_OF_KIND: dict[type[Exception], Exit] = {
    ConfigurationFaults: Exit.CONFIGURATION,
    Unavailable: Exit.UNAVAILABLE,
    TimeoutError: Exit.TIMEOUT,
    BadCalls: Exit.BAD_DATA,
    BadData: Exit.BAD_DATA,
    UnicodeDecodeError: Exit.BAD_DATA,
}
