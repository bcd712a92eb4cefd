"""Conditions and orders of views and of RequestFindInteractions: text -> predicate, text -> sort key.

    queue = 'Inbound' and (priority >= 2 or received_at < '2026-10-01 08:00:00') and not ServiceType in ('vip', 'gold')

- A condition is terms under ``not``, ``and``, ``or`` (binding in this order) and parentheses; empty, it is true of all.
- A term: ``name = value`` (also ``<> != < <= > >=``), ``name [not] in (value, …)``, ``name [not] between a and b``,
  ``name [not] like 'pattern' [escape 'c']`` (``%`` any text, ``_`` any character; upper and lower case differ, as in
  ``=``; at most 255 characters), ``name is [not] null``. Keywords are written in any case.
- Values: ``'text'`` (a quote in it doubled), numbers, times as seconds since 1970 or as ISO-8601 text (UTC where it
  does not say), states as 0 to 3 or by name (``'queued'`` …), ``null``.
- Names: an interaction's properties as on the wire (``media_type``), as published (``MediaType``) or as the database's
  columns (``state``, ``destinations``), and the configured custom properties of its user data. ``[any name]`` may stand
  in brackets. An exact spelling comes first, a system property's before a custom one's (so the configuration refuses
  such a custom property: :func:`is_system_name`); else case does not matter, but it does for custom ones. Lists of
  queues count as one text with commas; ``workbin_type``, ``workbin_agent_id`` … are the parts of ``workbin``.
- Nulls are SQL's: a comparison with null is neither true nor false, nor is its ``not``. A custom value of a wrong type,
  or a text longer than 4000 characters, is null.
- An order is ``name [asc|desc], …``; nulls first, last when descending. Empty: ``received_at, interaction_id``. An
  order that does not name ``interaction_id`` has it as its last term, so no two interactions are equal.

A text is parsed to a tree (:mod:`.grammar`), and from the tree Python functions are generated (:mod:`.source`), as
predicates run for every interaction and view. Generated source holds only names from the tables here
(:mod:`.properties`); every value of the text is bound to a name (``k7`` …).
The three-valued logic costs nothing at run time: each node yields two expressions, "certainly true" and "certainly
false", and ``not`` swaps them.
"""

from .condition import Condition, Judged, compile_condition
from .grammar import MAX_NESTING, MAX_TEXT
from .order import DEFAULT_ORDER, Descending, Order, compile_order
from .patterns import MAX_PATTERN
from .properties import is_system_name
from .segmentation import Segmentation, compile_segmentation
from .source import MAX_TERMS
from .user_data import MAX_STRING

__all__ = [
    "DEFAULT_ORDER",
    "MAX_NESTING",
    "MAX_PATTERN",
    "MAX_STRING",
    "MAX_TERMS",
    "MAX_TEXT",
    "Condition",
    "Descending",
    "Judged",
    "Order",
    "Segmentation",
    "compile_condition",
    "compile_order",
    "compile_segmentation",
    "is_system_name",
]
