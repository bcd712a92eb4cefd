"""The documentation pages of the messages: up to date, complete, and true where that can be tested."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import UNSET, Meta, Raw, UnsetType

from broker.errors import Code
from broker.messages import EVENTS, NOTIFICATIONS, REPLIES, REQUESTS, decode_request, page
from broker.messages.kinds import Party
from broker.messages.refusals import GENERAL, OF_ROUTE, refusals
from broker.messages.wording import default_of, in_words, kind_of, params, story

PROJECT = Path(__file__).parents[2]
SERVERS = [*PROJECT.glob("node/**/*.py"), *PROJECT.glob("proxy/**/*.py"), PROJECT / "broker/front.py"]
DECODING = [PROJECT / "broker/messages/__init__.py", *PROJECT.glob("broker/conditions/*.py")]


# ---- the pages


@pytest.mark.parametrize("name", page.PAGES)
def test_a_page_is_up_to_date(name: str) -> None:
    """Given the classes, when a page is made, then it is the one in docs/."""
    made = page.PAGES[name]()
    written = (PROJECT / "docs" / f"{name}.md").read_text()
    assert written == made, "run `python -m broker.messages.page`"


def test_every_message_has_its_place() -> None:
    """Given all messages, when the pages are made, then each is a heading of its own."""
    headings = re.findall(r"^#{3,4} (\S+)", page.requests_page() + page.events_page(), re.MULTILINE)
    assert sorted({*REQUESTS, *EVENTS, *NOTIFICATIONS, *REPLIES} - set(headings)) == []


def anchors(markdown: str) -> set[str]:
    """What the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def links() -> list[tuple[str, str, str]]:
    """All links between files of the project: from where, to which file, to which heading."""
    found = []
    for file in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text()):
            if "://" not in target:
                path, _, anchor = target.partition("#")
                found.append((file.name, str((file.parent / path).resolve() if path else file), anchor))
    return found


def test_links_lead_somewhere() -> None:
    """Given all pages, when their links are followed, then file and heading are there."""
    dead = []
    for origin, path, anchor in sorted(set(links())):
        target = Path(path)
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            dead.append(f"{origin}: {target.name}#{anchor}")
    assert dead == []


def test_the_readme_shows_the_example_as_it_is() -> None:
    """Given the example of a bare client, when the README shows it, then it shows the very file."""
    assert (PROJECT / "examples/bare_client.py").read_text() in (PROJECT / "README.md").read_text()


def defined_in(path: Path) -> set[str]:
    """The names of the tests in a file, those of classes with the class in front."""
    found = set()
    for thing in ast.parse(path.read_text()).body:
        inner = thing.body if isinstance(thing, ast.ClassDef) else [thing]
        prefix = f"{thing.name}::" if isinstance(thing, ast.ClassDef) else ""
        found |= {f"{prefix}{one.name}" for one in inner if isinstance(one, ast.FunctionDef)}
    return found


def test_promises_name_tests_that_exist() -> None:
    """Given the page of promises, when it names a test, then there is one."""
    text = (PROJECT / "docs/reliability.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", text)
    missing = [f"{file}::{test}" for file, test in named if test not in defined_in(PROJECT / file)]
    assert named
    assert missing == []


# ---- the catalogue behind them


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_has_an_example_that_decodes(name: str) -> None:
    """Given a request's own example, when it is named and decoded, then it is that request."""
    cls = REQUESTS[name]
    assert "example" in vars(cls), "the example is the class's own"
    request = decode_request(json.dumps({"message": name, **cls.example}).encode())
    assert type(request) is cls
    assert "…" not in json.dumps(cls.example, ensure_ascii=False)


@pytest.mark.parametrize("name", REQUESTS)
def test_every_field_of_a_request_says_what_it_means(name: str) -> None:
    """Given a request, when its fields are described, then none is without words."""
    mute = [
        field.encode_name for field in msgspec.structs.fields(REQUESTS[name]) if not kind_of(field.type).description
    ]
    assert mute == []


def test_parameters_in_docstrings_are_fields() -> None:
    """Given the messages and their parts, when docstrings describe fields, then these exist."""
    said = [*EVENTS.values(), *NOTIFICATIONS.values(), *REPLIES.values(), *page._parts()]
    strangers = {cls.__name__: set(params(cls)) - set(cls.__struct_fields__) for cls in said}
    assert {name: fields for name, fields in strangers.items() if fields} == {}


ONLY_HEARD = {"DATABASE_TIMEOUT"}
"""Codes that a proxy knows how to take from a node, and that no node of this release says."""


def used(files: list[Path]) -> set[str]:
    """The names of codes in these sources."""
    return {name for file in files for name in re.findall(r"\bCode\.([A-Z_]+)\b", file.read_text())}


def test_every_code_that_servers_use_is_documented() -> None:
    """Given the sources of nodes and proxies, when a code is used there, then the pages say what is refused with it."""
    documented = {code.name for cls in REQUESTS.values() for code in refusals(cls)} | {code.name for code in GENERAL}
    assert used([*SERVERS, *DECODING]) - documented == ONLY_HEARD


def test_every_documented_code_is_used() -> None:
    """Given the codes of the pages, when the servers' sources are searched, then each is used."""
    own = [cls.refuses for cls in REQUESTS.values()]
    documented = [*GENERAL, *(code for codes in (*OF_ROUTE.values(), *own) for code in codes)]
    assert {code.name for code in documented} - used([*SERVERS, *DECODING]) == set()


def test_own_codes_are_no_general_ones() -> None:
    """Given what requests say they are refused with, when it is compared, then no code is said twice."""
    for cls in REQUESTS.values():
        assert not GENERAL.keys() & set(cls.refuses), cls
        assert len(set(cls.refuses)) == len(cls.refuses), cls


def test_the_page_of_errors_says_what_is_never_said() -> None:
    """Given a code that no request is refused with, when the page is made, then it says so."""
    rows = {row.split(" | ")[0].strip("| "): row for row in page.errors_page().splitlines() if row.startswith("| ")}
    assert rows[str(int(Code.DATABASE_TIMEOUT))].endswith("nothing in this release |")
    assert "all requests about an interaction" in rows["2003"]


# ---- words


class Thing(msgspec.Struct):
    """A thing.

    Of two paragraphs with ``code`` and :class:`broker.errors.Code`.

    :param name: what it is called
    :param size: how large it is,
        over two lines
    """

    name: str
    size: int = 0


SHORT = Annotated[str, Meta(min_length=1, max_length=9, description="inner")]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, "string"),
        (str | None, "string"),
        (SHORT, "string, 1 to 9 characters"),
        (Annotated[SHORT | None, Meta(description="outer")], "string, 1 to 9 characters"),
        (Annotated[int, Meta(ge=0, le=1)], "0 or 1"),
        (Annotated[int, Meta(ge=1, le=1000)], "whole number from 1 to 1000"),
        (Annotated[float, Meta(ge=0.5)], "number from 0.5"),
        (bool, "true or false"),
        (Raw | UnsetType, "JSON"),
        (list[SHORT] | None, "array of strings"),
        (list[Party], "array of [Party](events.md#party)"),
        (list[dict[str, int]], "array of objects"),
        (dict[str, Any], "object"),
        (list[str] | dict[str, Any], "array of strings or object"),
    ],
)
def test_a_type_in_words(annotation: Any, expected: str) -> None:
    """Given an annotation, when it is put in words, then people can read what a value may be."""
    assert in_words(annotation) == expected


def test_the_outermost_description_counts() -> None:
    """Given a described type, when a field describes it anew, then the field's own words count."""
    assert kind_of(SHORT).description == "inner"
    assert kind_of(Annotated[SHORT | None, Meta(description="outer")]).description == "outer"


def test_a_docstring_is_story_and_parameters() -> None:
    """Given a docstring, when it is taken apart, then the story is in paragraphs and each parameter is one line."""
    assert story(Thing) == "A thing.\n\nOf two paragraphs with `code` and `broker.errors.Code`."
    assert params(Thing) == {"name": "what it is called", "size": "how large it is, over two lines"}


def test_defaults() -> None:
    """Given fields with and without defaults, when they are shown, then None means that one must be given."""

    class Fields(msgspec.Struct):
        needed: int
        absent: str | None = None
        unset: Raw | UnsetType = UNSET
        number: int = 3
        empty: dict[str, int] = {}

    assert [default_of(field) for field in msgspec.structs.fields(Fields)] == [None, "", "", "`3`", "`{}`"]
