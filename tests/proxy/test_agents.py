"""Agents: every change on all nodes of the tenant or on none, and nodes that come back get what they missed."""

from __future__ import annotations

from typing import Any

import pytest

from broker.wire import ECHO

LOGIN: dict[str, Any] = {"tenant_id": 101, "agent_id": "V", "media_list": {"voice": 1}}
REFUSED = {"message": "EventError", "code": 30, "text": "Licence limit reached"}
SAME = {"message": "EventError", "code": 25, "text": "Already in this state"}
NOT_LOGGED_IN = {"message": "EventError", "code": 22, "text": "Agent is not logged in"}


def history(world: Any) -> list[tuple[str, str, str]]:
    """All agent requests in the order of their numbers: node, request without its prefix, ``echo`` or ``says``."""
    rows = [
        (entry.number, name, request["message"].removeprefix("Request"), "echo" if entry.flags & ECHO else "says")
        for name, node in world.nodes.items()
        for entry, request in node.log
    ]
    return [row[1:] for row in sorted(rows)]


def speaking(world: Any) -> str:
    """The node that speaks for the only agent."""
    (agent,) = world.core.agents._roster
    return str(agent.speaking)


def states(world: Any) -> list[dict[str, Any]]:
    """What agent V is at each node that has it."""
    return [agent for node in world.nodes.values() for key, agent in node.agents.items() if key[1] == "V"]


def are_in_step(world: Any) -> bool:
    """Whether every node has the only agent in its state."""
    (agent,) = world.core.agents._roster
    state = {"media": agent.state.media, "donot_disturb": agent.state.donot_disturb}
    return states(world) == [state] * len(world.nodes)


def come_back(world: Any, name: str) -> None:
    """A node is served again, and the client is still there."""
    world[name].active = "primary"
    world.ask(b"desk", "RequestPing")
    world.run(0.1)


def logged_in(world: Any) -> tuple[bytes, str, list[str]]:
    """A client with agent V at all nodes; the speaking node and the others. The nodes' logs are empty."""
    client = world.client(b"desk")
    assert world.ask(client, "RequestAgentLogin", **LOGIN) == {"message": "EventAck"}
    first = speaking(world)
    for node in world.nodes.values():
        node.log.clear()
    return client, first, [name for name in world.nodes if name != first]


# -- who speaks


def test_the_speaking_node_logs_in_first_the_others_echo(world: Any) -> None:
    # given a client
    client = world.client(b"desk")
    # when its agent logs in
    reply = world.ask(client, "RequestAgentLogin", **LOGIN)
    # then one node says so, and after it the others as its echo
    assert reply == {"message": "EventAck"}
    first = speaking(world)
    rows = history(world)
    assert rows[0] == (first, "AgentLogin", "says")
    assert sorted(rows[1:]) == [(name, "AgentLogin", "echo") for name in sorted(world.nodes) if name != first]


def test_a_logout_ends_with_the_speaking_node(world: Any) -> None:
    # given an agent
    client, first, others = logged_in(world)
    # when it logs out
    reply = world.ask(client, "RequestAgentLogout", agent_id="V")
    # then the others are first, and the proxy has forgotten it
    assert reply == {"message": "EventAck"}
    rows = history(world)
    assert sorted(rows[:2]) == [(name, "AgentLogout", "echo") for name in others]
    assert rows[2] == (first, "AgentLogout", "says")
    assert list(world.core.agents._roster) == []


def test_the_speaking_node_is_remembered(world: Any) -> None:
    # given an agent
    client, first, others = logged_in(world)
    # when it changes, without naming itself
    for message in ("RequestNotReadyForMedia", "RequestCancelNotReadyForMedia"):
        world.ask(client, message, media_type="voice")
    world.ask(client, "RequestDoNotDisturbOn")
    # then the same node says so each time, before the others
    assert [row[0] for row in history(world) if row[2] == "says"] == [first] * 3
    assert [row[0] for row in history(world)][::3] == [first] * 3


def test_agents_are_spread_over_the_nodes(world: Any) -> None:
    # given a client
    client = world.client(b"desk")
    # when many agents log in
    for number in range(40):
        world.ask(client, "RequestAgentLogin", tenant_id=101, agent_id=f"A{number}")
    # then each node speaks for some
    assert {agent.speaking for agent in world.core.agents._roster} == set(world.nodes)


# -- refusals


def test_a_refusal_of_the_speaking_node_is_the_answer(world: Any) -> None:
    # given nodes that all refuse
    client = world.client(b"desk")
    for node in world.nodes.values():
        node.script["RequestAgentLogin"] = REFUSED
    # when an agent logs in
    reply = world.ask(client, "RequestAgentLogin", **LOGIN)
    # then only one was asked
    assert reply["code"] == 30
    assert len(history(world)) == 1


def test_a_refusal_at_another_node_undoes_the_login(world: Any) -> None:
    # given a node with no seat left, which does not speak for the agent
    client = world.client(b"desk")
    world.ask(client, "RequestAgentLogin", **LOGIN)
    first = speaking(world)
    world.ask(client, "RequestAgentLogout")
    for node in world.nodes.values():
        node.log.clear()
    full, other = (name for name in world.nodes if name != first)
    world[full].script["RequestAgentLogin"] = REFUSED
    # when the agent logs in
    reply = world.ask(client, "RequestAgentLogin", **LOGIN)
    # then it is logged out where it was logged in, the speaking node last, and the refusal is the answer
    assert reply["code"] == 30
    undo = [row for row in history(world) if row[1] == "AgentLogout"]
    assert undo == [(other, "AgentLogout", "echo"), (first, "AgentLogout", "says")]
    assert list(world.core.agents._roster) == []
    assert world.ask(client, "RequestAgentLogout", agent_id="V")["message"] == "EventAck"


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("RequestAddMedia", {"media_type": "email"}),
        ("RequestRemoveMedia", {"media_type": "voice"}),
        ("RequestNotReadyForMedia", {"media_type": "voice"}),
        ("RequestCancelNotReadyForMedia", {"media_type": "fax"}),
        ("RequestDoNotDisturbOn", {}),
    ],
)
def test_a_refused_change_is_taken_back(world: Any, message: str, fields: dict[str, Any]) -> None:
    # given an agent, and a node that refuses its change
    client, first, others = logged_in(world)
    world[others[0]].script[message] = {"message": "EventError", "code": 12, "text": "Unknown media type"}
    # when it changes
    reply = world.ask(client, message, **fields)
    # then the other nodes are brought back to what it was
    assert reply["code"] == 12
    assert states(world) == [{"media": {"voice": 1}, "donot_disturb": False}] * 3
    assert world[others[0]].asked("RequestAlignAgent") == []
    assert [len(world[name].asked("RequestAlignAgent")) for name in (first, others[1])] == [1, 1]


def test_what_was_no_change_is_not_turned_round(world: Any) -> None:
    # given an agent that is ready, and a node whose database fails
    client, first, others = logged_in(world)
    world[others[0]].script["RequestCancelNotReadyForMedia"] = UNSURE
    # when it says that it is ready
    reply = world.ask(client, "RequestCancelNotReadyForMedia", media_type="voice")
    # then no node makes it not ready
    assert reply["code"] == 60
    assert [world[name].asked("RequestNotReadyForMedia") for name in world.nodes] == [[], [], []]


UNSURE = {"message": "EventError", "code": 60, "text": "Database failure"}


def test_a_node_that_cannot_say_whether_it_changed_takes_it_back_too(world: Any) -> None:
    # given an agent, and a node whose database fails with its change
    client, first, others = logged_in(world)
    world[others[0]].script["RequestDoNotDisturbOn"] = UNSURE
    # when it changes
    reply = world.ask(client, "RequestDoNotDisturbOn")
    # then all nodes are brought back to what it was
    assert reply["code"] == 60
    assert [len(world[name].asked("RequestAlignAgent")) for name in world.nodes] == [1, 1, 1]
    assert are_in_step(world)


def test_a_speaking_node_that_cannot_say_whether_it_changed_takes_it_back(world: Any) -> None:
    # given an agent, and its speaking node whose database fails, also with what comes next
    client, first, others = logged_in(world)
    for message in ("RequestDoNotDisturbOn", "RequestAlignAgent"):
        world[first].script[message] = UNSURE
    assert world.ask(client, "RequestDoNotDisturbOn")["code"] == 60
    # when it changes again, and then the database is well
    reply = world.ask(client, "RequestNotReadyForMedia", media_type="voice")
    world[first].script.clear()
    world.run(1.1)
    # then another node speaks meanwhile, and the first is brought to what the agent is
    assert reply["message"] == "EventAck" and speaking(world) in others
    assert states(world) == [{"media": {"voice": 0}, "donot_disturb": False}] * 3
    assert not any(agent.is_behind(name) for agent in world.core.agents._roster for name in world.nodes)


def test_what_was_so_already_is_not_undone_where_nobody_could_say(world: Any) -> None:
    # given an agent without do-not-disturb, and its speaking node whose database fails
    client, first, _ = logged_in(world)
    world[first].script["RequestDoNotDisturbOff"] = UNSURE
    # when do-not-disturb is taken off all the same
    assert world.ask(client, "RequestDoNotDisturbOff")["code"] == 60
    world.run(1.1)
    # then it is off everywhere
    assert states(world) == [{"media": {"voice": 1}, "donot_disturb": False}] * 3


def test_a_logout_that_a_node_cannot_do_now_is_done_later(world: Any) -> None:
    # given an agent, and a node whose database fails
    client, _, others = logged_in(world)
    world[others[0]].script["RequestAgentLogout"] = UNSURE
    # when it logs out, and later the database is well
    reply = world.ask(client, "RequestAgentLogout")
    world.run(2.5)
    world[others[0]].script.clear()
    before = len(world[others[0]].log)
    world.run(2.5)
    # then that node has logged it out, and is told no more
    assert reply["message"] == "EventAck"
    assert len(world[others[0]].log) == before + 1


def test_a_login_that_a_node_cannot_do_now_is_undone_there_too(world: Any) -> None:
    # given nodes of which one cannot say whether it has logged an agent in
    client, first, others = logged_in(world)
    world.ask(client, "RequestAgentLogout")
    world[others[0]].script["RequestAgentLogin"] = UNSURE
    world[others[0]].log.clear()
    # when the agent logs in
    reply = world.ask(client, "RequestAgentLogin", **LOGIN)
    world.run(1.1)
    # then it is nowhere, there neither
    assert reply["code"] == 60
    assert [request["message"] for _, request in world[others[0]].log] == ["RequestAgentLogin", "RequestAgentLogout"]


def test_a_node_that_is_there_already_agrees(world: Any) -> None:
    # given an agent, and a node where it is not ready already
    client, _, others = logged_in(world)
    world[others[0]].script["RequestNotReadyForMedia"] = SAME
    # when it is made not ready
    reply = world.ask(client, "RequestNotReadyForMedia", media_type="voice")
    # then all agree, nothing is undone, and that node is asked what else it has of the agent
    assert reply["message"] == "EventAck"
    assert [row for row in history(world) if row[1] == "AlignAgent"] == [(others[0], "AlignAgent", "echo")]
    assert are_in_step(world)


def test_a_second_change_meanwhile_is_refused(world: Any) -> None:
    # given a change that one node has not answered
    client, first, _ = logged_in(world)
    world[first].script["RequestDoNotDisturbOn"] = None
    ref = world.send(client, "RequestDoNotDisturbOn")
    world.flow()
    # when the same agent changes, and another one logs in
    second = world.ask(client, "RequestNotReadyForMedia", agent_id="V", media_type="voice")
    other = world.ask(client, "RequestAgentLogin", tenant_id=101, agent_id="W")
    # then the first is in progress, the other not
    assert second["code"] == 2004
    assert other["message"] == "EventAck"
    # and when the first is over, the agent can change again
    world.run(10.1)
    assert world.reply(client, ref)["code"] == 2002
    assert world.ask(client, "RequestNotReadyForMedia", agent_id="V", media_type="voice")["message"] == "EventAck"


def test_the_same_name_in_another_tenant_is_another_agent(world: Any) -> None:
    # given a change of an agent that one node has not answered
    client, first, _ = logged_in(world)
    world[first].script["RequestDoNotDisturbOn"] = None
    world.send(client, "RequestDoNotDisturbOn")
    world.flow()
    # when an agent of the same name in another tenant logs in
    other = world.client(b"other", tenants=[102])
    reply = world.ask(other, "RequestAgentLogin", tenant_id=102, agent_id="V")
    # then nothing keeps it
    assert reply["message"] == "EventAck"


@pytest.mark.parametrize(
    ("message", "fields", "code"),
    [
        ("RequestAgentLogin", {"tenant_id": 999, "agent_id": "V"}, 2001),
        ("RequestAgentLogin", {"tenant_id": 101}, 2),
        ("RequestDoNotDisturbOn", {}, 2),
        ("RequestDoNotDisturbOn", {"agent_id": 5}, 3),
    ],
)
def test_changes_that_the_proxy_refuses(world: Any, message: str, fields: dict[str, Any], code: int) -> None:
    # given a client with two agents
    client = world.client(b"desk")
    for agent in ("V", "W"):
        world.ask(client, "RequestAgentLogin", tenant_id=101, agent_id=agent)
    for node in world.nodes.values():
        node.log.clear()
    # when a request names a foreign tenant, nobody, or not which of the two
    reply = world.ask(client, message, **fields)
    # then the proxy says so
    assert reply["code"] == code
    assert history(world) == []


def test_a_client_without_the_agent_cannot_change_it(world: Any) -> None:
    # given a client without agents, and one whose login is under way
    client, other = world.client(b"desk"), world.client(b"other")
    for node in world.nodes.values():
        node.script["RequestAgentLogin"] = None
    world.send(other, "RequestAgentLogin", **LOGIN)
    world.flow()
    # when they change an agent
    replies = [world.ask(one, "RequestDoNotDisturbOn", agent_id="V") for one in (client, other)]
    # then it is not logged in there, or in progress; no node is asked
    assert [reply["code"] for reply in replies] == [22, 2004]
    assert {row[1] for row in history(world)} == {"AgentLogin"}


def test_a_logout_of_an_agent_that_the_proxy_does_not_know_is_the_nodes_matter(world: Any) -> None:
    # given a client without agents
    client = world.client(b"desk")
    for node in world.nodes.values():
        node.script["RequestAgentLogout"] = NOT_LOGGED_IN
    # when it logs one out
    # then a node says what is wrong
    assert world.ask(client, "RequestAgentLogout", agent_id="X")["code"] == 22


# -- nodes that are away


def test_a_node_that_was_away_at_login_gets_it_when_it_is_back(world: Any) -> None:
    # given an agent that logged in while a node was away, and has changed since
    client = world.client(b"desk")
    world.kill("n2")
    world.run(1.1)
    reply = world.ask(client, "RequestAgentLogin", **LOGIN)
    world.ask(client, "RequestNotReadyForMedia", media_type="voice")
    world.ask(client, "RequestDoNotDisturbOn")
    assert reply["message"] == "EventAck"
    # when the node is back
    come_back(world, "n2")
    # then it gets the agent as it is now, as an echo
    (request,) = world["n2"].asked("RequestAlignAgent")
    assert (request["agent_id"], request["media_list"], request["donot_disturb"]) == ("V", {"voice": 0}, True)
    assert {entry.flags for entry, _ in world["n2"].log} == {ECHO}
    # and nothing more when it is away and back again
    world.kill("n2")
    world.run(1.1)
    come_back(world, "n2")
    assert len(world["n2"].log) == 1


def test_a_node_that_misses_a_change_gets_it_when_it_is_back(world: Any) -> None:
    # given an agent at all nodes, and a change while one that does not speak is away
    client, _, others = logged_in(world)
    world.kill(others[0])
    world.run(1.1)
    world.ask(client, "RequestNotReadyForMedia", media_type="voice")
    # when the node is back
    come_back(world, others[0])
    # then it is told what the agent is now
    assert [row for row in history(world) if row[0] == others[0]] == [(others[0], "AlignAgent", "echo")]
    assert are_in_step(world)


@pytest.mark.parametrize("named", [{}, {"agent_id": "V"}])
def test_a_node_that_misses_a_logout_is_told_when_it_is_back(world: Any, named: dict[str, str]) -> None:
    # given an agent at all nodes, who logs out while one that does not speak is away; the client has another one
    client, _, others = logged_in(world)
    world.kill(others[0])
    world.run(1.1)
    assert world.ask(client, "RequestAgentLogout", **named) == {"message": "EventAck"}
    world.ask(client, "RequestAgentLogin", **{**LOGIN, "agent_id": "W"})
    # when the node is back
    come_back(world, others[0])
    # then it logs out the one and in the other
    told = [(request["message"], request["agent_id"]) for request in world[others[0]].asked()]
    assert told == [("RequestAgentLogout", "V"), ("RequestAlignAgent", "W")]


def test_a_node_that_falls_silent_during_a_login_gets_it_when_it_is_back(world: Any) -> None:
    # given a node that does not answer a login
    client = world.client(b"desk")
    world.ask(client, "RequestAgentLogin", **LOGIN)
    silent = next(name for name in world.nodes if name != speaking(world))
    world.ask(client, "RequestAgentLogout")
    for message in ("RequestAgentLogin", "RequestAlignAgent"):
        world[silent].script[message] = None
    ref = world.send(client, "RequestAgentLogin", **LOGIN)
    world.run(10.1)
    # when the agent is logged in where somebody answered, and the node answers again after it was away
    assert world.reply(client, ref)["message"] == "EventAck"
    world[silent].script.clear()
    world.kill(silent)
    world.run(1.1)
    come_back(world, silent)
    # then it has the agent
    assert are_in_step(world)


def test_a_login_that_may_have_been_executed_is_undone_later(world: Any) -> None:
    # given a speaking node that falls silent during a login
    client = world.client(b"desk")
    for node in world.nodes.values():
        node.script["RequestAgentLogin"] = None
    ref = world.send(client, "RequestAgentLogin", **LOGIN)
    world.run(10.1)
    assert world.reply(client, ref)["code"] == 2002
    (first,) = (name for name, node in world.nodes.items() if node.log)
    assert world.reply(client, ref)["missing"] == [first]
    # when it is away and back
    world.kill(first)
    world.run(1.1)
    world[first].active = "primary"
    world.run(0.1)
    # then it is told to log the agent out, if it has logged it in
    assert [request["message"] for _, request in world[first].log][-1] == "RequestAgentLogout"


def test_a_login_waits_for_a_node_when_none_is_there(world: Any) -> None:
    # given a failover of all nodes at once
    client = world.client(b"desk")
    for name in world.nodes:
        world.kill(name)
    world.run(1.1)
    ref = world.send(client, "RequestAgentLogin", **LOGIN)
    world.run(1.0)
    # when they are back
    for node in world.nodes.values():
        node.active = "primary"
    world.run(0.1)
    # then the agent is logged in, at last on all of them
    assert world.reply(client, ref)["message"] == "EventAck"
    world.run(0.1)
    assert are_in_step(world)


def test_another_node_speaks_when_the_speaking_node_is_gone_for_long(world: Any) -> None:
    # given an agent whose speaking node has been away for longer than a request waits
    client, first, others = logged_in(world)
    world.kill(first)
    world.run(11.2)
    # when it changes
    reply = world.ask(client, "RequestNotReadyForMedia", media_type="voice")
    # then another node speaks for it, and the first gets the change as an echo when it is back
    assert reply["message"] == "EventAck"
    assert speaking(world) in others
    come_back(world, first)
    assert [row for row in history(world) if row[0] == first] == [(first, "AlignAgent", "echo")]


def test_a_node_that_forgot_its_sessions_gets_the_agents_again(world: Any) -> None:
    # given an agent at all nodes
    client, first, _ = logged_in(world)
    # when the speaking node loses the link's sessions, as after a lost connection
    world[first].known.clear()
    world.run(1.3)
    # then it has the agent again, and speaks for it
    assert history(world) == [(first, "AlignAgent", "says")]


def test_a_node_that_was_away_for_long_gets_the_agents_again(world: Any) -> None:
    # given an agent at all nodes
    client, first, _ = logged_in(world)
    other = next(name for name in world.nodes if name != first)
    # when a node cannot be reached for longer than it keeps silent sessions
    world[other].deaf = True
    world.run(40.0)
    world[other].deaf = False
    world.ask(client, "RequestPing")
    world.run(1.0)
    # then it has the agent again
    assert history(world) == [(other, "AlignAgent", "echo")]


def test_a_login_is_not_made_up_for_while_the_agent_is_logged_out(world: Any) -> None:
    # given a logout that the speaking node has not answered when it dies
    client, first, _ = logged_in(world)
    world[first].script["RequestAgentLogout"] = None
    ref = world.send(client, "RequestAgentLogout")
    world.flow()
    world[first].script.clear()
    world[first].log.clear()
    # when its other member takes over, and knows nobody
    world[first].fail_over()
    world.core.links._forgot.add(first)
    world.run(0.2)
    # then it is told to log out, and nothing else
    assert world.reply(client, ref)["message"] == "EventAck"
    assert [request["message"] for request in world[first].asked()] == ["RequestAgentLogout"]


def test_an_agent_that_a_returning_node_refuses_is_logged_out_everywhere(world: Any) -> None:
    # given an agent that logged in while a node was away, which has no seat for it
    client = world.client(b"desk")
    world.kill("n2")
    world.run(1.1)
    world.ask(client, "RequestAgentLogin", **LOGIN)
    world["n2"].script["RequestAlignAgent"] = REFUSED
    # when the node is back, and has none either when those who have logged out meanwhile are sure to be known to it
    come_back(world, "n2")
    assert list(world.core.agents._roster) != []
    world.run(world.core.settings.request_timeout + 1)
    # then the agent is on none, and its application is told
    assert list(world.core.agents._roster) == []
    assert {row[0] for row in history(world) if row[1] == "AgentLogout"} == set(world.nodes)
    note = world.notes[client][-1]
    assert (note["message"], note["agent_id"]) == ("EventAgentConnectionClosed", "V")


def test_a_node_that_does_not_know_the_agent_is_told(world: Any) -> None:
    # given an agent that one node has lost
    client, _, others = logged_in(world)
    world[others[0]].script["RequestNotReadyForMedia"] = NOT_LOGGED_IN
    # when it changes
    reply = world.ask(client, "RequestNotReadyForMedia", media_type="voice")
    # then the change is made, and the node gets the agent as it is now
    assert reply["message"] == "EventAck"
    (request,) = world[others[0]].asked("RequestAlignAgent")
    assert request["media_list"] == {"voice": 0}


def test_a_node_that_has_spoken_is_told_so_once_when_it_is_back(world: Any) -> None:
    # given an agent for whom another node speaks since the one that did has gone
    client, first, _ = logged_in(world)
    world.kill(first)
    world.run(12.0)
    assert world.ask(client, "RequestNotReadyForMedia", media_type="voice")["message"] == "EventAck"
    # when that one is back, and says later that the agent is otherwise
    world[first].active = "primary"
    world.run(2.0)
    said = {"message": "EventCurrentAgentStatus", "agent_id": "V", "media_state_list": {"voice": 1}}
    world[first].notify(world.number_of(client), **said)
    world.ask(client, "RequestPing")
    world.run(2.0)
    # then it is told that it has spoken, but only the first time
    told = [request.get("spoke", False) for request in world[first].asked("RequestAlignAgent")]
    assert told == [True, False]


# -- the end of a session


def ends(world: Any) -> list[str]:
    """The nodes that were told of the end of a session, in that order."""
    told = [
        (entry.number, name)
        for name, node in world.nodes.items()
        for entry, request in node.seen
        if request["message"] == "RequestUnregisterClient"
    ]
    return [name for _, name in sorted(told)]


def test_the_end_of_a_client_is_told_to_the_node_that_speaks_for_its_agent_last(world: Any) -> None:
    # given a client with an agent
    client, first, others = logged_in(world)
    # when its session ends
    world.ask(client, "RequestUnregisterClient")
    # then the nodes end the session, and with it log the agent out unless it has another connection; first the others
    assert history(world) == []
    assert sorted(ends(world)[:2]) == others and ends(world)[2:] == [first]
    assert list(world.core.agents._roster) == []
    world.run(0.1)
    assert world.core.own._ending == {}


def test_a_client_that_has_ended_is_brought_back_at_no_node(world: Any) -> None:
    # given a client with an agent, and nodes whose word that they know the client was lost on the way
    number = world.number_of(client := world.client(b"desk"))
    for node in world.nodes.values():
        node.known.add(number)
        node.script["RequestRegisterClient"] = None
    world.ask(client, "RequestAgentLogin", **LOGIN)
    for node in world.nodes.values():
        del node.script["RequestRegisterClient"]
    # when its session ends, and what has no answer is sent again
    world.ask(client, "RequestUnregisterClient")
    world.run(2.0)
    # then it stays unknown at all of them
    assert len(ends(world)) == 3
    assert all(number not in node.known for node in world.nodes.values())


@pytest.mark.parametrize("answers_late", [False, True])
def test_a_client_that_ends_while_a_link_breaks_is_brought_back_nowhere(world: Any, answers_late: bool) -> None:
    # given a client with an agent, which has gone, and a node that has ended its session as its link breaks
    client, _, others = logged_in(world)
    number, node = world.number_of(client), world[others[0]]
    node.script["RequestUnregisterClient"] = None
    world.ask(client, "RequestUnregisterClient")
    entry = next(entry for entry, request in node.seen if request["message"] == "RequestUnregisterClient")
    node.known.discard(number)
    world.kill(others[0])
    world.run(1.1)
    # when the link is there again, so that clients are introduced, and the node's answer comes after that, or with it
    node.active = "primary"
    world.beat()
    if answers_late:
        world.flow()
    node.reply(entry, {"message": "EventAck"})
    del node.script["RequestUnregisterClient"]
    world.run(2.0)
    # then it does not know the client in the end
    assert number not in node.known


def test_the_end_of_a_client_with_agents_everywhere(world: Any) -> None:
    # given a client with so many agents that every node speaks for some
    client = world.client(b"desk", "Proxy")
    for number in range(20):
        world.ask(client, "RequestAgentLogin", tenant_id=101, agent_id=f"A{number}")
    # when its session ends
    world.ask(client, "RequestUnregisterClient")
    # then all nodes are told
    assert sorted(ends(world)) == ["n1", "n2", "n3"]


def test_the_end_of_a_client_while_a_node_is_away(world: Any) -> None:
    # given a client with an agent, and a node that is away, and another one that does not answer
    client, first, others = logged_in(world)
    world.kill(others[0])
    world.run(1.1)
    world[others[1]].script["RequestUnregisterClient"] = None
    # when its session ends
    world.ask(client, "RequestUnregisterClient")
    world.run(10.1)
    # then the speaking node is told when the request's time is over, the one that was away when it is back
    assert ends(world)[0] == others[1] and first in ends(world)
    world[others[0]].active = "primary"
    world.run(0.1)
    assert others[0] in ends(world)


def test_a_session_that_ends_during_a_change_is_ended_after_it(world: Any) -> None:
    # given a login that a node has not answered yet
    client = world.client(b"desk")
    for node in world.nodes.values():
        node.script["RequestAgentLogin"] = None
    world.send(client, "RequestAgentLogin", **LOGIN)
    world.flow()
    # when the client leaves, and then the node answers
    world.ask(client, "RequestUnregisterClient")
    ((first, entry),) = [(node, entry) for node in world.nodes.values() for entry, _ in node.log]
    for node in world.nodes.values():
        del node.script["RequestAgentLogin"]
    first.reply(entry, {"message": "EventAck"})
    world.flow()
    world.run(0.1)
    # then the login is made everywhere, and after it the nodes are told of the end, the speaking node last
    assert len(history(world)) == 3
    assert len(ends(world)) == 3 and ends(world)[-1] == first.name
    assert list(world.core.agents._roster) == [] and world.core.own._ending == {}


# -- notifications


def test_the_agents_application_hears_of_a_change_once(world: Any) -> None:
    # given an agent
    client, first, _ = logged_in(world)
    number = world.number_of(client)
    world.notes.clear()
    # when every node tells of its state, and one of an invitation
    for node in world.nodes.values():
        node.notify(number, message="EventCurrentAgentStatus", agent_id="V", place_id="V", by=node.name)
    world["n1"].notify(number, message="EventInvite", agent_id="V", ticket_id=5)
    world.flow()
    # then the application sees the speaking node's word, and the invitation
    notes = world.notes[client]
    assert [note["by"] for note in notes if note["message"] == "EventCurrentAgentStatus"] == [first]
    assert [note["ticket_id"] for note in notes if note["message"] == "EventInvite"] == [5]


def test_the_application_hears_of_a_login_once_though_it_is_under_way(world: Any) -> None:
    # given a login that the speaking node has acknowledged and another one has not answered
    client = world.client(b"desk")
    world.ask(client, "RequestAgentLogin", **LOGIN)
    first = speaking(world)
    world.ask(client, "RequestAgentLogout")
    for name, node in world.nodes.items():
        node.script["RequestAgentLogin"] = {"message": "EventAck"} if name == first else None
    world.send(client, "RequestAgentLogin", **LOGIN)
    world.flow()
    world.notes.clear()
    # when another node tells of the agent's state as well
    for name in world.nodes:
        if name != first:
            world[name].notify(world.number_of(client), message="EventCurrentAgentStatus", agent_id="V", by=name)
    world.flow()
    # then the application sees the speaking node's word, when it has its own answer
    assert client not in world.notes
    world.run(10.1)
    assert [note["by"] for note in world.notes[client]] == [first]


def test_a_closed_connection_is_heard_of_once_and_the_agent_forgotten(world: Any) -> None:
    # given an agent that logs in from elsewhere
    client, _, _ = logged_in(world)
    number = world.number_of(client)
    world.notes.clear()
    # when every node tells the first application that it is closed
    for node in world.nodes.values():
        node.notify(number, message="EventAgentConnectionClosed", agent_id="V", reason="taken")
    world.flow()
    # then it hears so once, and what the proxy does at its end concerns the agent no more
    assert len(world.notes[client]) == 1
    world.ask(client, "RequestUnregisterClient")
    assert history(world) == []
    assert all(any(r["message"] == "RequestUnregisterClient" for _, r in node.seen) for node in world.nodes.values())


# -- arrears


def test_a_change_during_a_login_at_a_returning_node_comes_after_it(world: Any) -> None:
    # given a node that was away at login, and is back, but has not answered the login
    client = world.client(b"desk")
    world.kill("n2")
    world.run(1.1)
    world.ask(client, "RequestAgentLogin", **LOGIN)
    world["n2"].script["RequestAlignAgent"] = None
    come_back(world, "n2")
    # when the agent changes, and then the node answers
    assert world.ask(client, "RequestNotReadyForMedia", media_type="voice")["message"] == "EventAck"
    world["n2"].script.clear()
    for entry, _ in list(world["n2"].log):
        world["n2"].reply(entry, {"message": "EventAck"})
    world.flow()
    # then it has got the change as well
    assert are_in_step(world)


def test_a_logout_that_a_login_makes_void_is_not_sent_again(world: Any) -> None:
    # given a login of which the speaking node does not answer, so that it is told to log out; which does not reach it
    client = world.client(b"desk")
    for node in world.nodes.values():
        node.script["RequestAgentLogin"] = None
    ref = world.send(client, "RequestAgentLogin", **LOGIN)
    world.run(10.1)
    assert world.reply(client, ref)["code"] == 2002
    (first,) = (name for name, node in world.nodes.items() if node.log)
    world[first].script["RequestAgentLogout"] = None
    world.run(1.1)
    assert world[first].asked("RequestAgentLogout")
    for node in world.nodes.values():
        node.script.clear()
    # when the agent logs in
    assert world.ask(client, "RequestAgentLogin", **LOGIN)["message"] == "EventAck"
    world[first].log.clear()
    world.run(5.0)
    # then the logout is not sent again, neither with the probes nor anew
    assert world[first].asked("RequestAgentLogout") == []


def test_a_login_that_a_logout_makes_void_is_not_sent_again(world: Any) -> None:
    # given a node that was away when an agent logged in, and is back, but the login does not reach it
    client = world.client(b"desk")
    world.kill("n2")
    world.run(1.1)
    world.ask(client, "RequestAgentLogin", **LOGIN)
    world["n2"].script["RequestAlignAgent"] = None
    come_back(world, "n2")
    assert len(world["n2"].asked("RequestAlignAgent")) == 1
    # when the agent logs out
    assert world.ask(client, "RequestAgentLogout")["message"] == "EventAck"
    world.run(5.0)
    # then the login is not sent again
    assert len(world["n2"].asked("RequestAlignAgent")) == 1
    assert world["n2"].log[-1][1]["message"] == "RequestAgentLogout"


def test_the_agent_of_a_silent_client_is_left_alone(make_world: Any) -> None:
    # given a login that a node may have executed, of a client that is silent from then on: it may be elsewhere by now
    world = make_world(("n1",), keepalive_interval=5.0, request_timeout=6.0)
    client = world.client(b"desk")
    world["n1"].script["RequestAgentLogin"] = None
    world.send(client, "RequestAgentLogin", **LOGIN)
    # when time passes
    world.run(12.0)
    before = world["n1"].asked("RequestAgentLogout")
    world.run(5.0)
    # then nobody is logged out, but for what the end of the session does
    assert before == world["n1"].asked("RequestAgentLogout") == []
    assert ends(world) == ["n1"]


def test_the_logout_that_makes_up_for_a_login_is_seen_where_the_login_was(world: Any) -> None:
    # given a login that its speaking node may have executed
    client = world.client(b"desk")
    for node in world.nodes.values():
        node.script["RequestAgentLogin"] = None
    world.send(client, "RequestAgentLogin", **LOGIN)
    world.run(10.1)
    # when it is told to log the agent out
    world.run(1.1)
    # then that is no echo
    (first,) = (node for node in world.nodes.values() if node.log)
    assert first.flags("RequestAgentLogout") == [0]


# -- the nodes' words about an agent


def test_nodes_that_say_different_things_are_brought_to_the_speaking_nodes_word(world: Any) -> None:
    # given an agent that is logged in at one node already, not ready, by an earlier session of its application
    client, first, others = logged_in(world)
    world.ask(client, "RequestAgentLogout")
    for node in world.nodes.values():
        node.script["RequestAgentLogin"] = None
    ref = world.send(client, "RequestAgentLogin", **LOGIN)
    world.flow()
    (entry,) = [entry for entry, request in world[first].log if request["message"] == "RequestAgentLogin"]
    number = world.number_of(client)
    for node in world.nodes.values():
        node.script.clear()
    # when it logs in, and that node says what it is there
    world[first].reply(entry, {"message": "EventAck"})
    world[first].agents[number, "V", None]["media"] = {"voice": 0}
    world[first].notify(number, message="EventCurrentAgentStatus", agent_id="V", media_state_list={"voice": 0})
    world.flow()
    # then it is so at all nodes
    assert world.reply(client, ref)["message"] == "EventAck"
    assert states(world) == [{"media": {"voice": 0}, "donot_disturb": False}] * 3


def test_a_change_that_another_proxy_makes_is_noted(world: Any) -> None:
    # given an agent that has a connection through another proxy as well
    client, first, others = logged_in(world)
    number = world.number_of(client)
    # when it changes there, of which all nodes tell, and then a node loses it
    for name in (first, *others):
        world[name].notify(number, message="EventCurrentAgentStatus", agent_id="V", donot_disturb=True)
    world.flow()
    world[others[0]].known.clear()
    world[others[0]].agents.clear()
    world.run(1.3)
    # then that node gets the agent as it is now, and the others nothing
    assert [row for row in history(world) if row[0] != others[0]] == []
    assert [agent["donot_disturb"] for agent in world[others[0]].agents.values()] == [True]


def test_what_one_node_has_changed_by_itself_is_so_everywhere(world: Any) -> None:
    # given an agent
    client, first, others = logged_in(world)
    number = world.number_of(client)
    world.notes.clear()
    # when a node that does not speak for it makes it not ready, for it has not answered an invitation
    forced = {"message": "EventForcedAgentStateChange", "agent_id": "V", "media_type": "voice", "reason": "expired"}
    world[others[0]].agents[number, "V", None]["media"] = {"voice": 0}
    world[others[0]].notify(number, **forced, media_state_list={"voice": 0})
    world.run(1.1)
    # then the application is told, and the other nodes make it not ready too
    assert world.notes[client][0]["message"] == "EventForcedAgentStateChange"
    assert states(world) == [{"media": {"voice": 0}, "donot_disturb": False}] * 3


def test_an_agent_that_was_closed_by_one_node_is_nowhere(world: Any) -> None:
    # given an agent that was logged out through another proxy, which could not reach one of the nodes
    client, first, others = logged_in(world)
    number = world.number_of(client)
    world[first].notify(number, message="EventAgentConnectionClosed", agent_id="V", reason="logout")
    world.flow()
    # when a moment has passed
    world.run(1.1)
    # then the proxy has told the nodes that have not said so, and brings it back nowhere
    assert sorted(history(world)) == [(name, "AgentLogout", "echo") for name in sorted(others)]


def test_an_agent_is_logged_out_where_a_login_may_be_on_its_way(world: Any) -> None:
    # given a node that has lost the agent, and is told to log it in again, but does not answer
    client, _, others = logged_in(world)
    world[others[0]].script["RequestAlignAgent"] = None
    world[others[0]].known.clear()
    world.run(1.3)
    assert world[others[0]].asked("RequestAlignAgent")
    # when the agent logs out, while that node is away
    world.kill(others[0])
    world.run(1.1)
    assert world.ask(client, "RequestAgentLogout")["message"] == "EventAck"
    come_back(world, others[0])
    # then it is told to log it out
    assert world[others[0]].asked()[-1]["message"] == "RequestAgentLogout"


def test_a_change_that_is_taken_back_where_the_word_about_it_was_lost(world: Any) -> None:
    # given a node that makes a change, but whose word about it is lost, and one that refuses it
    client, _, others = logged_in(world)
    world[others[0]].script["RequestDoNotDisturbOn"] = {"message": "EventError", "code": 30, "text": "Licence limit"}
    world[others[1]].notify = lambda *given, **named: None
    world.ask(client, "RequestDoNotDisturbOn")
    # when words are heard again
    del world[others[1]].notify
    world.run(1.1)
    # then it is as it was there too
    assert states(world) == [{"media": {"voice": 1}, "donot_disturb": False}] * 3


def test_a_node_is_told_of_no_agent_of_a_silent_client(make_world: Any) -> None:
    # given an agent, whose client is silent from then on: the agent may be elsewhere by now
    world = make_world(("n1", "n2"), keepalive_interval=5.0)
    client = world.client(b"desk")
    world.ask(client, "RequestAgentLogin", **LOGIN)
    world.run(6.0)
    # when a node has lost it
    world["n2"].known.clear()
    world.run(3.0)
    # then it is not logged in there again, until the client is heard
    assert world["n2"].asked("RequestAlignAgent") == []
    world.ask(client, "RequestPing")
    world.run(1.1)
    assert len(world["n2"].asked("RequestAlignAgent")) == 1


def test_a_node_that_cannot_end_a_session_now_is_told_again(world: Any) -> None:
    # given a client whose agent a node has, and whose database fails
    client, _, others = logged_in(world)
    world[others[0]].script["RequestUnregisterClient"] = UNSURE
    # when the client's session ends, and later the database is well
    world.ask(client, "RequestUnregisterClient")
    world.run(2.5)
    tried = ends(world).count(others[0])
    world[others[0]].script.clear()
    world.run(2.5)
    # then the node is told again until it has ended it, and not more than once a second
    assert 2 <= tried <= 5
    assert ends(world).count(others[0]) == tried + 1
    assert not world.core.links.links[others[0]].unheeded
