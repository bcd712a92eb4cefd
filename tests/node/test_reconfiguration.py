"""Another configuration while a node runs: taken on, kept back, refused; views built in slices; the standby follows."""

from __future__ import annotations

import copy

import pytest

from broker.config.changes import fingerprint
from broker.config.listing import listing
from broker.config.objects import Addresses, AgentGroup, ESPServer, MediaType, Queue, Tenant, View, WorkbinType
from node import reconfiguration


@pytest.fixture
def media(driver):
    return driver.client("gateway", "MediaServer")


@pytest.fixture
def router(driver):
    return driver.client("urs", "RoutingEngine")


@pytest.fixture
def monitor(driver):
    return driver.client("top", "Monitor")


@pytest.fixture
def edited(driver):
    """The file, to be changed in a test: a copy of the configuration that the node has begun with."""
    driver.file = copy.deepcopy(driver.configuration)
    return driver.file


def submit(party, count=1, **fields):
    given = {"tenant_id": 101, "media_type": "email", "queue": "Inbound", **fields}
    return [party.ask("RequestSubmit", **given)["interaction_id"] for _ in range(count)]


def pull(party, view="Inbound/all", **fields):
    reply = party.ask("RequestPull", tenant_id=101, view_id=view, **fields)
    return [it["interaction_id"] for it in reply.get("interactions", ())] or reply.get("code", [])


class TestTakenOn:
    def test_it_says_what_it_has_changed_and_which_configuration_it_has_now(self, driver, monitor, edited):
        # Given a file with another option, a new media type and a new queue; when it is read; then all of it is said
        edited.nodes["n1"].settings.delivering_timeout = 5.0
        edited.tenants[101].media_types = {**edited.tenants[101].media_types, "sms": MediaType()}
        edited.queues["New"] = Queue(tenant=101)
        reply = monitor.ask("RequestReconfigure")
        assert sorted(reply["changed"]) == [
            *("nodes.n1.settings.delivering-timeout: 5, was 30", "queues.New: added"),
            "tenants.101.media-types.sms: added",
        ]
        assert reply["fingerprint"] == fingerprint(edited) == monitor.ask("RequestPing")["configuration"]
        assert driver.events() == ["EventNodeActive", "EventConfigurationChanged"]
        assert "kept" not in reply

    def test_it_is_in_force_at_once(self, driver, monitor, media, edited):
        # Given a media type, a queue and a tenant that there are not; when they are in the file; then they are served
        fields = {"tenant_id": 101, "media_type": "sms", "queue": "New"}
        assert media.ask("RequestSubmit", **fields)["code"] == 12
        edited.tenants[101].media_types["sms"] = MediaType()
        edited.queues["New"] = Queue(tenant=101)
        edited.tenants[103] = Tenant(media_types={"sms": MediaType()})
        edited.queues["Third"] = Queue(tenant=103)
        monitor.ask("RequestReconfigure")
        assert media.ask("RequestSubmit", **fields)["message"] == "EventAck"
        third = media.ask("RequestSubmit", tenant_id=103, media_type="sms", queue="Third")
        assert third["message"] == "EventAck"

    def test_a_client_that_named_its_tenants_has_no_others(self, driver, monitor, edited):
        # Given a client of tenant 101; when there is a tenant more; then it is none of its
        bound = driver.client("bound", "MediaServer", tenants=[101])
        edited.tenants[103] = Tenant(media_types={"sms": MediaType()})
        edited.queues["Third"] = Queue(tenant=103)
        monitor.ask("RequestReconfigure")
        assert bound.ask("RequestSubmit", tenant_id=103, media_type="sms", queue="Third")["code"] == 10

    def test_nothing_new_changes_nothing(self, driver, monitor, edited):
        # Given the same file; when it is read; then there is no row, no event, and the answer says so
        driver.events()
        rows = len(driver.rows)
        reply = monitor.ask("RequestReconfigure")
        assert "changed" not in reply and reply["fingerprint"] == fingerprint(edited)
        assert (driver.events(), len(driver.rows)) == ([], rows)

    def test_a_disabled_queue_gives_nothing_and_enabled_again_serves_who_waits(self, driver, monitor, edited, media):
        # Given a queue that is disabled in the file; when it is enabled again; then a held pull is served
        (ident,) = submit(media)
        edited.queues["Inbound"].enabled = False
        monitor.ask("RequestReconfigure")
        router = driver.client("urs", "RoutingEngine")
        held = {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"}
        assert driver.ask(router.source, {**held, "extension": {"pull-for-strategy": 1}}) is None
        driver.file = copy.deepcopy(driver.configuration)
        monitor.ask("RequestReconfigure")
        (reply,) = driver.late.values()
        assert [it["interaction_id"] for it in reply["interactions"]] == [ident]

    def test_fewer_seats_log_out_who_came_last(self, driver, monitor, edited):
        # Given three agents and seats for thirty; when there are two; then the last one is logged out and told
        agents = [driver.agent(name) for name in ("ANAT", "BELLA", "CLARA")]
        driver.events()
        edited.nodes["n1"].licenses["ics_multi_media_agent_seat"] = 2
        monitor.ask("RequestReconfigure")
        said = ["EventAgentLogout", "EventConfigurationChanged"]
        assert driver.events() == ["EventLicenceUsage", *said, "EventLicenceUsage"]
        assert [agent.told() for agent in agents] == [[], [], ["EventAgentConnectionClosed"]]
        fourth = driver.client("desk", "AgentApplication")
        assert fourth.ask("RequestAgentLogin", tenant_id=101, agent_id="DORA", media_list={"voice": 1})["code"] == 30

    def test_another_capacity_holds_from_now_on_and_applications_are_told(self, driver, monitor, edited):
        # Given two agents, one with an e-mail; when e-mail is limited to one each; then both are told, and the busy one
        # gets no more
        busy, _ = agents = [driver.agent(name, email=1) for name in ("ANAT", "BELLA")]
        submit(driver.client("gateway", "MediaServer"), count=2)
        assert len(pull(busy)) == 1
        busy.told()
        edited.tenants[101].media_types["email"].capacity = 1
        monitor.ask("RequestReconfigure")
        told = [note for agent in agents for note in agent.notes]
        assert [note["media_capacity_list"] for note in told] == [{"email": 1}, {"email": 1}]
        assert pull(busy) == 52


class TestKept:
    @pytest.mark.parametrize(
        ("change", "key"),
        [
            (lambda c: setattr(c.nodes["n1"], "database", "sqlite:///other.db"), "nodes.n1.database"),
            (lambda c: setattr(c.nodes["n1"].primary, "events", "tcp://127.0.0.1:9"), "nodes.n1.primary.events"),
            (
                lambda c: setattr(c.nodes["n1"], "backup", Addresses(requests="ipc://a", events="ipc://b")),
                "nodes.n1.backup",
            ),
            (lambda c: setattr(c.nodes["n1"].settings, "lease_timeout", 9.0), "nodes.n1.settings.lease-timeout"),
            (
                lambda c: setattr(c.nodes["n1"].settings, "keepalive_interval", 9.0),
                "nodes.n1.settings.keepalive-interval",
            ),
            (lambda c: c.tenants.pop(102) and [c.queues.pop("Shop"), c.views.pop("Shop/all")], "tenants.102"),
            (lambda c: c.tenants[101].media_types.pop("fax"), "tenants.101.media-types.fax"),
            (
                lambda c: [c.esp_servers.update(x=ESPServer(address="ipc://x")), c.nodes["n1"].connections.append("x")],
                "nodes.n1.connections",
            ),
        ],
    )
    def test_what_needs_a_restart_stays_and_is_named(self, driver, monitor, edited, change, key):
        # Given a file with something that cannot be changed, and something that can; when it is read
        # Then the one is in force, the other is as it was and named with the reason
        change(edited)
        edited.nodes["n1"].settings.delivering_timeout = 5.0
        reply = monitor.ask("RequestReconfigure")
        (kept,) = [sentence for sentence in reply["kept"] if sentence.startswith(f"{key}: ")]
        assert "; " in kept
        assert "nodes.n1.settings.delivering-timeout: 5, was 30" in reply["changed"]
        assert reply["fingerprint"] != fingerprint(edited)
        assert driver.core.settings.delivering_timeout == 5
        old = driver.configuration
        assert driver.core.configuration.nodes["n1"].database == old.nodes["n1"].database
        assert 102 in driver.core.configuration.tenants and "fax" in driver.core.configuration.tenants[101].media_types

    def test_another_node_may_move(self, driver, monitor, edited):
        # Given a node that is not this one; when it comes, and moves; then it is only taken note of
        edited.nodes["n2"] = copy.deepcopy(edited.nodes["n1"])
        edited.nodes["n2"].database = "sqlite:///n2.db"
        for number, kind in enumerate(("requests", "events")):
            setattr(edited.nodes["n2"].primary, kind, f"tcp://127.0.0.1:{7 + number}")
        assert monitor.ask("RequestReconfigure")["changed"] == ["nodes.n2: added"]


class TestRefused:
    @pytest.mark.parametrize("named", [True, False])
    def test_a_queue_with_interactions_stays(self, driver, monitor, edited, named):
        # Given two interactions of a queue, one waiting, one held by a strategy; when the queue is gone from the file
        # Then nothing of the file is taken on, and the queue is named
        router = driver.client("urs", "RoutingEngine")
        submit(driver.client("gateway", "MediaServer"), 2)
        pull(router)
        del edited.queues["Inbound"], edited.views["Inbound/all"], edited.views["Inbound/urgent"]
        edited.nodes["n1"].settings.delivering_timeout = 5.0
        fields = {"configuration": listing(edited)} if named else {}
        reply = monitor.ask("RequestReconfigure", **fields)
        assert (reply["code"], reply["detail"]) == (
            63,
            "queues.Inbound: cannot be removed, n1 has 2 interactions there",
        )
        assert driver.core.settings.delivering_timeout == 30
        assert pull(router)

    def test_all_that_speaks_against_it_is_said(self, driver, monitor, edited, media):
        # Given something in a queue, in a group's workbin and in an agent's; when all are gone or another
        # Then there is a line for each
        submit(media)
        submit(media, queue=None, workbin={"type": "Team", "agent_group": "Support"})
        submit(media, queue=None, workbin={"type": "Notes", "agent_id": "VICKY"})
        edited.queues["Inbound"].tenant = 102
        del edited.workbins["Team"]
        edited.workbins["Notes"].owner = "place"
        edited.agent_groups = {"Sales": AgentGroup(agents=[])}
        reply = monitor.ask("RequestReconfigure")
        assert reply["detail"].splitlines() == [
            "workbins.Team: cannot be removed, n1 has 1 interaction there",
            "agent-groups.Support: cannot be removed, n1 has 1 interaction there",
            "queues.Inbound.tenant: cannot be changed, n1 has 1 interaction there",
            "workbins.Notes.owner: cannot be changed, n1 has 1 interaction there",
        ]

    def test_a_node_with_interactions_does_not_go(self, driver, monitor, edited, media):
        # Given a file in which the node is no more; while it has an interaction; then it refuses
        (ident,) = submit(media)
        mark = monitor.ask("RequestPing")["configuration"]
        del edited.nodes["n1"]
        edited.queues["New"] = Queue(tenant=101)
        reply = monitor.ask("RequestReconfigure")
        assert (reply["code"], reply["detail"]) == (63, "nodes.n1: cannot be removed, n1 has 1 interaction there")
        # When that has gone; then it says that it stays as it is until it is ended, and takes nothing on
        media.ask("RequestStopProcessing", interaction_id=ident)
        reply = monitor.ask("RequestReconfigure")
        assert reply["kept"] == ["nodes.n1: removed; a node that runs is not removed: end it"]
        assert "changed" not in reply and reply["fingerprint"] == mark == monitor.ask("RequestPing")["configuration"]

    def test_an_empty_queue_goes(self, driver, monitor, edited, media, router):
        # Given a queue whose interactions have all gone; when the file is without it; then so is the node
        (ident,) = submit(media)
        media.ask("RequestStopProcessing", interaction_id=ident)
        held = {"message": "RequestPull", "tenant_id": 101, "view_id": "Inbound/all"}
        assert driver.ask(router.source, {**held, "extension": {"pull-for-strategy": 1}}) is None
        del edited.queues["Inbound"], edited.views["Inbound/all"], edited.views["Inbound/urgent"]
        assert "queues.Inbound: removed" in monitor.ask("RequestReconfigure")["changed"]
        # And who waited for its view is told that there is none
        assert [reply["code"] for reply in driver.late.values()] == [14]
        assert pull(router) == 14
        assert media.ask("RequestSubmit", tenant_id=101, media_type="email", queue="Inbound")["code"] == 11

    def test_a_queue_that_was_paused_is_not_so_when_it_comes_back(self, driver, monitor, edited, media, router):
        # Given a paused queue; when it goes from the file, and comes back; then it gives again
        monitor.ask("RequestPauseQueue", queue="Done")
        del edited.queues["Done"], edited.views["Done/all"]
        monitor.ask("RequestReconfigure")
        driver.file = copy.deepcopy(driver.configuration)
        monitor.ask("RequestReconfigure")
        idents = submit(media, queue="Done")
        assert pull(router, "Done/all") == idents
        assert driver.reopened().core.memory.queues.rows == {}

    def test_faults_change_nothing_and_come_all_at_once(self, driver, monitor):
        # Given a text with two faults; when it is checked; then both are in the answer
        text = listing(driver.configuration).replace('queue = "Inbound"', 'queue = "Inbund"')
        reply = monitor.ask("RequestReconfigure", configuration=text)
        assert reply["code"] == 63
        assert [line.split(": ")[1] for line in reply["detail"].splitlines()] == [
            *('views."Inbound/all".queue', 'views."Inbound/urgent".queue')
        ]

    def test_a_check_changes_nothing(self, driver, monitor, edited):
        # Given another configuration as text; when it is only checked; then the answer says what would be, and no more
        edited.nodes["n1"].settings.delivering_timeout = 5.0
        driver.events()
        reply = monitor.ask("RequestReconfigure", configuration=listing(edited))
        assert reply["changed"] == ["nodes.n1.settings.delivering-timeout: 5, was 30"]
        assert driver.core.settings.delivering_timeout == 30 and driver.events() == []

    def test_only_operators_may(self, media):
        assert media.ask("RequestReconfigure")["code"] == 40


def others(driver, monitor, edited):
    """The two views of Inbound as another file has them; the call that is not answered until they are built."""
    edited.views["Inbound/all"].order = "received_at desc"
    edited.views["Inbound/new"] = View(queue="Inbound", condition="priority = 1", order="priority")
    return driver.ask(monitor.source, {"message": "RequestReconfigure"})


class TestViews:
    @pytest.fixture(autouse=True)
    def slices(self, monkeypatch):
        """Two interactions in each turn."""
        monkeypatch.setattr(reconfiguration, "SLICE", 2)

    def test_they_are_built_beside_and_then_serve(self, driver, monitor, edited, media, router):
        # Given five interactions and views that are another and new; when the file is read
        idents = []
        for priority in (0, 1, 0, 1, 0):
            idents += submit(media, priority=priority, received_at=1000.0 + len(idents))
        assert others(driver, monitor, edited) is None
        # Then pulls go on in the old view, what comes and goes meanwhile is in both, and the new one is not there yet
        assert pull(router, "Inbound/new") == 14
        assert pull(router) == [idents[1]]
        idents += submit(media, priority=1, received_at=2000.0)
        media.ask("RequestStopProcessing", interaction_id=idents[4])
        assert driver.late == {}
        while not driver.late:
            driver.core.tick(driver.now)
            driver.settle()
        # And when they are built they serve, each interaction once, in the new order
        assert pull(router, "Inbound/new", count=9) == [idents[3], idents[5]]
        assert pull(router, count=9) == [idents[2], idents[0]]
        assert not driver.core.memory.building

    def test_another_file_has_to_wait(self, driver, monitor, edited, media):
        # Given views that are being built; when the file is to be read again; then that has to wait
        submit(media, 5)
        assert others(driver, monitor, edited) is None
        assert monitor.ask("RequestReconfigure")["code"] == 2004

    def test_a_change_of_what_only_the_new_view_looks_at_counts(self, driver, monitor, edited, media, router):
        # Given a view that is being built on a property that the old one does not look at
        idents = submit(media, 5)
        edited.views["Done/all"].condition = "is_online = 1"
        edited.views["Done/all"].queue = "Inbound"
        assert driver.ask(monitor.source, {"message": "RequestReconfigure"}) is None
        # When it changes after the interaction was looked at, and before; then the new view has it right
        for ident in (idents[0], idents[4]):
            media.ask("RequestChangeProperties", interaction_id=ident, changed_properties={"is_online": 1})
        while not driver.late:
            driver.core.tick(driver.now)
            driver.settle()
        assert pull(router, "Done/all", count=9) == [idents[0], idents[4]]

    def test_a_take_over_in_the_middle_goes_on(self, driver, monitor, edited, media):
        # Given views that are being built; when the other member takes over; then it builds them, and serves from them
        idents = submit(media, 5, priority=1)
        assert others(driver, monitor, edited) is None
        other = driver.reopened()
        other.wait(0.1)
        router = other.client("urs", "RoutingEngine")
        assert pull(router, "Inbound/new", count=9) == idents
        assert other.core.fingerprint == fingerprint(edited)

    def test_a_routing_engine_is_sent_from_the_views_as_they_are_now(self, driver, monitor, edited, media):
        # Given an engine that is sent what comes into a view, one at a time, and five that wait
        engine = driver.client("urs", "RoutingEngine")
        loaded = {"tenant_id": 101, "strategy_id": "Sales", "view_ids": ["Inbound/all"], "max_submitted": 1}
        assert engine.ask("RequestLoadStrategy", **loaded)["message"] == "EventAck"
        idents = [*submit(media, received_at=1000.0), *submit(media, received_at=1001.0), *submit(media, 3)]
        (first,) = engine.notes
        # When the view's order is turned round, and built; then the next that it is sent is the first by that
        assert others(driver, monitor, edited) is None
        driver.wait(0.1)
        engine.notes.clear()
        taken = first["interaction"]["interaction_id"]
        engine.ask("RequestStopProcessing", interaction_id=taken, token=first["token"])
        (second,) = engine.notes
        assert (taken, second["interaction"]["interaction_id"]) == (idents[0], idents[2])
        # And when the view has gone; then it is sent nothing more
        driver.file = copy.deepcopy(edited)
        driver.file.views = {"Done/all": edited.views["Done/all"]}
        monitor.ask("RequestReconfigure")
        engine.notes.clear()
        engine.ask("RequestStopProcessing", interaction_id=idents[2], token=second["token"])
        assert engine.notes == []

    def test_a_workbin_gets_its_new_order(self, driver, monitor, edited, media):
        # Given drafts of two agents; when their order is another one; then pulls follow it, once both are in it
        for agent in ("ANAT", "VICKY"):
            where = {"type": "Drafts", "agent_id": agent}
            first, second = (submit(media, queue=None, workbin=where, priority=priority) for priority in (0, 1))
        vicky = driver.agent("VICKY")
        edited.workbins["Drafts"].order = "priority"
        assert driver.ask(monitor.source, {"message": "RequestReconfigure"}) is None
        driver.wait(0.1)
        assert pull(vicky, "Drafts/PrivateView", count=2) == [*first, *second]


class TestPair:
    def test_the_standby_has_it_from_the_journal(self, driver, monitor, edited, media):
        # Given a node that has taken on a file; when its standby takes over; then that has the same configuration
        edited.queues["New"] = Queue(tenant=101)
        edited.workbins["More"] = WorkbinType(owner="agent")
        monitor.ask("RequestReconfigure")
        other = driver.reopened()
        assert other.core.fingerprint == driver.core.fingerprint == fingerprint(edited)
        again = other.client("gateway", "MediaServer")
        assert submit(again, queue="New")

    def test_a_member_that_has_read_a_later_file_keeps_that(self, driver, monitor, edited):
        # Given a node that has taken on a file; when a member starts later with another one; then that one is in force
        edited.queues["New"] = Queue(tenant=101)
        monitor.ask("RequestReconfigure")
        core = driver.reopened().core
        core.configured_us = core.clock.last_us + 1
        core.configuration = driver.configuration
        assert reconfiguration.follow(core) == ""
        assert "New" not in core.configuration.queues

    def test_what_no_release_understands_is_passed_over(self, driver, monitor, edited):
        # Given a row of another release; when a member follows it; then it keeps its own file, and says so
        edited.queues["New"] = Queue(tenant=101)
        monitor.ask("RequestReconfigure")
        driver.rows = [(us, changes.replace(b'"queues"', b'"queries"'), events) for us, changes, events in driver.rows]
        core = driver.reopened().core
        assert "New" not in core.configuration.queues
        assert reconfiguration.follow(core) == ""
