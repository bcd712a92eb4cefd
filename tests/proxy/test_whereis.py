"""Where an interaction is: named by its id, remembered, or asked of all."""

from __future__ import annotations

from broker.ids import make_id, node_code
from proxy.whereis import Whereabouts, WhereIs

NODES = ("n1", "n2", "n3")


def test_an_id_of_the_cluster_names_its_node() -> None:
    # given a proxy that has just started
    whereis = WhereIs(NODES, 100)
    # when it is asked for an id that a node made
    # then it knows, and it is certain
    assert whereis.find(make_id(node_code("n2"), 1)) == Whereabouts(("n2",), True)


def test_an_unknown_id_may_be_anywhere() -> None:
    # given a proxy that has just started
    whereis = WhereIs(NODES, 100)
    # when it is asked for ids that clients made, one of which looks nearly like the cluster's
    # then any node may have them; so may one of a node that is not there
    for ident in ("x", make_id(node_code("n2"), 1)[:-1] + "?", make_id(node_code("n9"), 1)):
        assert whereis.find(ident) == Whereabouts(NODES, True)


def test_a_learned_id_is_asked_of_its_node_first_but_is_not_certain() -> None:
    # given an id that a node has shown to hold
    whereis = WhereIs(NODES, 100)
    whereis.learn("mine", "n3")
    # when it is asked for
    # then that node comes first; in a cluster of one it is certain
    assert whereis.find("mine") == Whereabouts(("n3",), False)
    alone = WhereIs(("n1",), 100)
    alone.learn("mine", "n1")
    assert alone.find("mine") == Whereabouts(("n1",), True)


def test_the_oldest_is_forgotten_first() -> None:
    # given room for three ids, and a fourth after the first was seen again
    whereis = WhereIs(NODES, 3)
    for ident in ("a", "b", "c", "a", "d"):
        whereis.learn(ident, "n1")
    # when they are asked for
    # then the one not seen for longest is forgotten
    assert [whereis.find(ident).certain for ident in "abcd"] == [False, True, False, False]
    assert len(whereis) == 3


def test_ids_of_the_cluster_take_no_room() -> None:
    # given ids that say where they are
    whereis = WhereIs(NODES, 3)
    # when they are learned
    for us in range(10):
        whereis.learn(make_id(node_code("n1"), us), "n1")
    # then nothing is kept of them
    assert len(whereis) == 0


def test_the_home_of_an_id_is_the_same_for_everybody() -> None:
    # given an id of a client's own, and one that names a node
    whereis = WhereIs(NODES, 100)
    named = make_id(node_code("n2"), 1)
    # when it is submitted
    # then its home is one of the eligible nodes, whatever was learned; the named node is the home of what names it, and
    # there is none when that one takes no submits
    assert whereis.homes("mine", NODES) == WhereIs(NODES, 5).homes("mine", NODES)
    assert whereis.homes("mine", ("n1",)) == ("n1",)
    assert whereis.homes(named, NODES) == ("n2",)
    assert whereis.homes(named, ("n1", "n3")) == ()
