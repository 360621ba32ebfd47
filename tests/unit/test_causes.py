"""What caused a rule: one test for each shape, and that Docker's rules of both engines have one."""

import pytest
from rulesets import RULESETS

from labkit.model import rules
from labkit.model.causes import cause, rules_of
from labkit.model.snapshot import Namespace

ENGINES = ("20.10", "26.1")
engines = pytest.mark.parametrize("engine", ENGINES)


def of(snapshot, namespace=None):
    """Each rule of a namespace with its cause, by "table chain text"."""
    place = next(n for n in snapshot.namespaces if n.name == namespace) if namespace else (
        snapshot.root)  # fmt: skip
    return {
        f"{r.table} {r.chain} {r.spec}": cause(snapshot, place, r)
        for _, c in place.families()
        for r in c.rules
    }


def words(found, start="", end=""):
    """The causes of the rules whose texts start and end so, in words."""
    some = [why.words for text, why in found.items() if text.startswith(start) and end in text]
    assert some
    return some


@engines
def test_every_rule_that_docker_wrote_has_a_cause(engine):
    for scene in ("networks", "swarm"):
        snapshot = RULESETS[f"{scene}-{engine}"]
        assert snapshot.engine.startswith(engine)
        found = [
            (text, why) for n in snapshot.namespaces for text, why in of(snapshot, n.name).items()
        ]
        assert len(found) > 40
        assert [text for text, why in found if why is None] == []


@engines
def test_a_published_port_and_the_three_rules_of_it(engine):
    snapshot = RULESETS[f"networks-{engine}"]
    found = of(snapshot)
    assert words(found, "nat DOCKER ", "--dport 8443 ") == ["port 8443 of web"]
    assert words(found, "nat DOCKER ", "--dport 8080 ") == ["port 8080 of web"]
    assert words(found, "filter DOCKER -d 10.5.0.2", "--dport 53 ") == ["port 5353 of web"]
    # one rule lets through what two ports of the host lead to
    assert words(found, "filter DOCKER -d 10.5.0.2", "--dport 80 ") == ["ports 8080, 8090 of web"]
    assert words(found, "nat POSTROUTING -s 10.8.0.2", "MASQ") == ["port 9000 of far"]
    dnat = next(w for t, w in found.items() if "--dport 9000 " in t)
    assert (dnat.kind, dnat.container) == ("published port", "far")
    assert dnat.why == (
        "leads from the host's port to the container's: far publishes 9000 → 80/tcp"
    )


@engines
def test_from_a_published_port_to_its_rules(engine):
    snapshot = RULESETS[f"networks-{engine}"]
    web = snapshot.container("web")
    assert len(web.ports) >= 4
    for port in web.ports:
        found = rules_of(snapshot, "web", port)
        assert {(r.table, r.chain) for r in found} == {
            ("nat", "DOCKER"), ("filter", "DOCKER"), ("nat", "POSTROUTING"),
        }  # fmt: skip
        dnat = next(r for r in found if r.target == "DNAT")
        assert dnat.match("destination-port").value == str(port.host_port)
        assert dnat.match("protocol").value == port.protocol
    assert rules_of(snapshot, "far", web.ports[0]) == ()


@engines
def test_networks(engine):
    snapshot = RULESETS[f"networks-{engine}"]
    found = of(snapshot)
    bridge = {n.name: n.bridge for n in snapshot.networks}
    for name, subnet in {"shop": "10.5.0.0/24", "quiet": "10.7.0.0/24"}.items():
        assert words(found, f"nat POSTROUTING -s {subnet}") == [f"network {name}"]
        assert words(found, f"nat DOCKER -i {bridge[name]} -j RETURN") == [f"network {name}"]
        isolated = words(found, "filter DOCKER-ISOLATION", f"{bridge[name]} -j")
        assert set(isolated) == {f"network {name}"}
        assert len(isolated) == 2
        forwarded = words(found, "filter FORWARD", bridge[name])
        assert set(forwarded) == {f"network {name}"}
        assert len(forwarded) == 4

    def why(start, end=""):
        return next(w.why for t, w in found.items() if t.startswith(start) and t.endswith(end))

    both = "filter FORWARD -i {0} -o {0} -j "
    assert "enable_icc is false" in why(both.format(bridge["quiet"]), "DROP")
    assert "talk to each other" in why(both.format(bridge["shop"]), "ACCEPT")
    assert "internal" in why("filter DOCKER-ISOLATION-STAGE-1 ! -s 10.6.0.0/24")
    assert not any("10.8.0.0/24 ! -o" in text for text in found)  # routed does not masquerade


@engines
def test_the_engines_own_and_the_learners(engine):
    found = of(RULESETS[f"networks-{engine}"])
    assert found["filter FORWARD -j DOCKER-USER"].kind == "engine"
    assert found["filter DOCKER-USER -j RETURN"].kind == "engine"
    assert words(found, "nat PREROUTING") == ["Docker"]
    assert words(found, "nat OUTPUT") == ["Docker"]
    assert words(found, "filter DOCKER-USER -s") == ["yours"]


@engines
def test_the_embedded_name_server(engine):
    snapshot = RULESETS[f"networks-{engine}"]
    found = of(snapshot, "web")
    assert len(found) == 6
    assert {w.words for w in found.values()} == {"DNS of shop"}
    assert {(w.kind, w.container, w.network) for w in found.values()} == {
        ("name server", "web", "shop")
    }
    assert of(snapshot, "plain") == {}  # the default bridge has no name server


@engines
def test_swarm(engine):
    snapshot = RULESETS[f"swarm-{engine}"]
    found = of(snapshot)
    # the address on docker_gwbridge is in no endpoint that the engine tells
    assert words(found, "nat DOCKER ", "--dport 8099 ") == ["port 8099 of own"]
    assert words(found, "nat POSTROUTING -s 172.18.0.0/16") == ["network docker_gwbridge"]
    front = next(c.name for c in snapshot.containers if c.name.startswith("front"))
    inside = of(snapshot, front)
    assert words(inside, "nat PREROUTING", "REDIRECT") == ["Swarm's port 8088"]
    assert set(words(inside, "filter ")) == {"Swarm"}
    assert {w.words for w in of(snapshot, "ingress_sbox").values()} == {"DNS"}


def test_the_routing_mesh_where_the_kernel_has_ipvs():
    snapshot = RULESETS["swarm-26.1"]

    def why(table, chain, spec, place=snapshot.root):
        text = f"*{table}\n:{chain} - [0:0]\n[0:0] -A {chain} {spec}\nCOMMIT\n"
        return cause(snapshot, place, rules.parse(text)[0].rules[0])

    mesh = "DOCKER-INGRESS"
    assert why("nat", mesh, "-p tcp -m tcp --dport 8088 -j DNAT --to-destination "
               "172.18.0.2:8088").words == "Swarm's port 8088"  # fmt: skip
    assert why("filter", mesh, "-p tcp -m tcp --dport 8088 -j ACCEPT").kind == "Swarm"
    assert why("filter", mesh, "-p tcp -m state --state RELATED,ESTABLISHED -m tcp --sport 8088 "
               "-j ACCEPT").words == "Swarm's port 8088"  # fmt: skip
    assert why("nat", mesh, "-j RETURN").kind == "engine"
    assert why("nat", "PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER-INGRESS").kind == (
        "engine"
    )
    own = why("nat", "POSTROUTING", "-o docker_gwbridge -m addrtype --src-type LOCAL -j MASQUERADE")
    assert (own.kind, own.network) == ("Swarm", "docker_gwbridge")
    sandbox = Namespace(id=1, kind="sandbox", name="ingress_sbox")
    mark = "-j MARK --set-xmark 0x100/0xffffffff"
    assert why("mangle", "PREROUTING", f"-p tcp -m tcp --dport 8088 {mark}", sandbox).words == (
        "Swarm's port 8088"
    )
    assert why("mangle", "INPUT", f"-d 10.0.0.3/32 {mark}", sandbox).network == "ingress"
    ipvs = "-d 10.0.0.0/24 -m ipvs --ipvs -j SNAT --to-source 10.0.0.2"
    assert why("nat", "POSTROUTING", ipvs, sandbox).network == "ingress"


def test_a_link():
    snapshot = RULESETS["asked-26.1"]
    text = "*filter\n:DOCKER - [0:0]\n[0:0] -A DOCKER -s 172.17.0.3/32 -d 172.17.0.2/32 "
    text += "-i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT\n"
    assert cause(snapshot, snapshot.root, rules.parse(text)[0].rules[0]).words == (
        "link of new and web"
    )


@pytest.mark.parametrize(
    "spec",
    [
        "filter INPUT -p udp -m udp --dport 9 -j DROP",
        "nat POSTROUTING -s 10.9.0.0/24 -o eth0 -j MASQUERADE",
        "nat PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.99.0.1:80",
        "nat PREROUTING -p tcp -m tcp --dport 9999 -j DNAT --to-destination 172.17.0.2:80",
        "nat PREROUTING -p udp -m udp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
        "filter FORWARD -i eth0 -j ACCEPT",
        "nat PREROUTING -j DNAT --to-destination [fd00::2]:80",
    ],
)
def test_what_nobody_published_has_no_cause(spec):
    snapshot = RULESETS["asked-26.1"]
    table, chain, text = spec.split(" ", 2)
    lines = f"*{table}\n:{chain} ACCEPT [0:0]\n[0:0] -A {chain} {text}\nCOMMIT\n"
    assert cause(snapshot, snapshot.root, rules.parse(lines)[0].rules[0]) is None
