"""Identifiers that carry their node, and homes by rendezvous."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from broker.ids import ID_LENGTH, code_of, make_id, node_code, rendezvous


@given(st.text(min_size=1, max_size=30), st.integers(10**15, 4 * 10**15 - 1))
def test_an_id_names_its_node(name, us):
    made = make_id(node_code(name), us)
    assert len(made) == ID_LENGTH == 16
    assert code_of(made) == node_code(name)


@given(st.integers(10**15, 4 * 10**15 - 1), st.integers(10**15, 4 * 10**15 - 1))
def test_ids_of_different_times_differ(one, other):
    assert (make_id("0001", one) == make_id("0001", other)) == (one == other)


@given(st.text(max_size=20))
def test_any_text_may_be_asked(text):
    assert code_of(text) is None or len(text) == ID_LENGTH


def test_an_id_of_another_make_is_rarely_taken_for_ours():
    strange = sum(code_of(f"{number:016d}") is not None for number in range(20_000))
    assert strange < 20_000 / 1296 * 3


def test_a_node_that_leaves_moves_only_its_own_keys():
    names = ["n1", "n2", "n3", "n4"]
    homes = {f"key{number}": rendezvous(f"key{number}", names)[0] for number in range(2000)}
    after = {key: rendezvous(key, names[:3])[0] for key in homes}
    assert all(after[key] == home for key, home in homes.items() if home != "n4")
    assert min(Counter(homes.values()).values()) > 2000 / 4 * 0.8
    assert min(Counter(after.values()).values()) > 2000 / 3 * 0.8
