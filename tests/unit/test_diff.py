"""The diff of two snapshots: saved ones of real labs, and those with one thing made different."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rulesets import RULESETS
from test_topology import SCENES, scenes

from labkit import diff
from labkit.model import rules
from labkit.model.snapshot import (
    Address,
    ConntrackEntry,
    ForwardingEntry,
    Neighbour,
    Route,
    Socket,
    Tuple,
)


def lines(changes):
    return [repr(c) for c in changes]


def with_host(snapshot, **fields):
    """The snapshot with these fields of the host's own namespace."""
    host = replace(snapshot.root, **fields)
    rest = tuple(n for n in snapshot.namespaces if n.kind != "host")
    return replace(snapshot, namespaces=(host, *rest))


def with_interface(snapshot, name, /, **fields):
    """The snapshot with these fields of an interface of the host's."""
    interfaces = tuple(
        replace(i, **fields) if i.name == name else i for i in snapshot.root.interfaces
    )
    return with_host(snapshot, interfaces=interfaces)


def with_rules(text):
    return with_host(SCENES["empty"], chains=rules.parse(text))


def chain(*specs, policy="ACCEPT", counted=0):
    text = f"*filter\n:INPUT {policy} [{counted}:{counted}]\n"
    return with_rules(text + "".join(f"[{counted}:9] -A INPUT {s}\n" for s in specs) + "COMMIT\n")


@scenes
def test_a_snapshot_and_itself(snapshot):
    found = diff(snapshot, snapshot)
    assert not found
    assert (found.changes, found.tracked, found.counted) == ((), (), ())
    assert repr(found) == "nothing changed"
    assert "nothing changed" in found._repr_html_()


def test_a_container_with_a_published_port():
    found = diff(SCENES["empty"], SCENES["one"])
    assert lines(c for c in found.changes if c.kind not in ("interface", "rule")) == [
        "+ container web, image nginx, in network bridge",
        "+ published port 8080 → 80/tcp of web",
        "+ listening socket tcp 0.0.0.0:8080, docker-proxy",
        "+ listening socket tcp [::]:8080, docker-proxy",
        "+ default route via 172.17.0.1 by eth0",
        "+ route 172.17.0.0/16 by eth0 with source 172.17.0.2",
        "+ listening socket tcp 0.0.0.0:80, nginx",
    ]
    assert lines(c for c in found.came if c.kind == "rule") == [
        "+ rule filter DOCKER: a TCP packet for port 80 of 172.17.0.2, not in by docker0, "
        "out by docker0 → passes",
        "+ rule nat POSTROUTING: a TCP packet from 172.17.0.2 for port 80 of 172.17.0.2 "
        "→ its source becomes the address of the way out",
        "+ rule nat DOCKER: a TCP packet for port 8080, not in by docker0 "
        "→ its destination becomes 172.17.0.2:80",
    ]
    assert [repr(c) for c in found.came if c.kind == "interface"] == [
        "+ interface vethe939cc2, a port of docker0, other end eth0 of web",
        "+ interface eth0, 172.17.0.2/16, other end vethe939cc2 of host1",
    ]
    assert any("docker0" in c.words and "carrier no → yes" in c.words for c in found.changed)
    assert found.went == ()


def test_it_says_in_which_namespace():
    text = repr(diff(SCENES["empty"], SCENES["one"])).splitlines()
    inside = text.index("in web:")
    assert text[inside + 1] == "  + interface eth0, 172.17.0.2/16, other end vethe939cc2 of host1"
    assert not any(line.startswith(" ") for line in text[:inside])


def test_traffic_is_apart_from_what_changed():
    found = diff(SCENES["empty"], SCENES["one"])
    assert (
        "+ connection tcp 192.168.56.11:49178 → 192.168.56.11:8080, "
        "destination becomes 172.17.0.2:80"
    ) in lines(found.tracked)
    assert any(c.words.endswith("the address of the way out: 2 packets") for c in found.counted)
    assert not {"connection"} & {c.kind for c in found.changes}
    only = replace(found, changes=())
    assert not only
    assert repr(only).splitlines()[:2] == ["nothing changed", "new connections:"]
    assert "  … and 1 more" in repr(only).splitlines()


def test_a_network_with_its_bridge():
    found = lines(diff(SCENES["one"], SCENES["bridges"]).came)
    assert found[0] == (
        "+ Docker network backend, driver bridge, 10.5.0.0/24, bridge br-ff675b7a9e9e"
    )
    assert "+ container web, image nginx, in networks backend and bridge" in found
    assert "+ interface br-ff675b7a9e9e, a bridge, 10.5.0.1/24" in found
    assert "+ route 10.5.0.0/24 by br-ff675b7a9e9e with source 10.5.0.1" in found
    assert "+ published port 127.0.0.1:8443 → 443/tcp of web" in found
    names = "+ 6 rules nat, in OUTPUT, POSTROUTING, DOCKER_OUTPUT, DOCKER_POSTROUTING"
    assert found.count(names) == 3


def test_one_that_is_made_again_under_its_name_is_another():
    found = lines(diff(SCENES["one"], SCENES["three"]).changes)
    words = "container web, image nginx, in network bridge"
    assert found[0] == f"- {words}"
    assert f"+ {words}" in found
    assert "- interface vethe939cc2, a port of docker0, other end eth0 of the former web" in found


def test_every_network_mode():
    came = diff(SCENES["empty"], SCENES["modes"]).came
    assert {c.place for c in came} == {"host1", "neighbour", "web"}
    found = lines(came)
    assert found[:6] == [
        "+ Docker network lan, driver macvlan, 192.168.56.0/24",
        "+ container alone, image busybox, in network none",
        "+ container native, image busybox, in the host's own network namespace",
        "+ container neighbour, image busybox, in network lan",
        "+ container sidecar, image busybox, shares the network namespace of web",
        "+ container web, image nginx, in network bridge",
    ]
    assert "+ interface eth0, a macvlan on eth0, bridge mode, 192.168.56.224/24" in found


@pytest.mark.parametrize(
    ("a", "b"), [("empty", "one"), ("empty", "bridges"), ("one", "modes"), ("three", "twenty")]
)
def test_the_other_way_round_what_came_went(a, b):
    there, back = diff(SCENES[a], SCENES[b]), diff(SCENES[b], SCENES[a])

    def said(changes):
        return Counter((c.kind, c.words.replace("the former ", "")) for c in changes)

    assert there.came
    assert said(there.came) == said(back.went)
    assert said(there.went) == said(back.came)
    assert len(there.changed) == len(back.changed)


def test_what_joined_a_namespace_can_outlive_the_one_that_had_it():
    before = SCENES["modes"]
    after = replace(before, containers=tuple(c for c in before.containers if c.name != "web"))
    assert lines(diff(before, after).changes) == [
        "- container web, image nginx, in network bridge",
        "- published port 32768 → 80/tcp of web",
    ]


def test_a_namespace_that_has_the_number_of_one_that_went_is_another():
    before = SCENES["one"]
    other = replace(before.containers[0], id="f" * 64, name="shop", ports=())
    after = replace(before, containers=(other,))
    found = diff(before, after)
    assert {c.place for c in found.went} == {"host1", "web"}
    assert {c.place for c in found.came} == {"host1", "shop"}


def test_with_no_engine_containers_are_not_known_rather_than_gone():
    before = SCENES["one"]
    namespaces = (before.root, replace(before.namespaces[1], kind="sandbox", name="8f2a"))
    after = replace(before, engine=None, networks=(), containers=(), namespaces=namespaces)
    words = "Docker Engine: 26.1.5 → does not answer"
    assert lines(diff(before, after).changes) == [f"~ {words}"]
    assert lines(diff(after, before).changes) == ["~ Docker Engine: does not answer → 26.1.5"]
    silent = replace(after, namespaces=(before.root, replace(namespaces[1], sockets=())))
    assert [(c.sign, c.place) for c in diff(before, silent).changes[1:]] == [("-", "web")]
    assert [(c.sign, c.place) for c in diff(silent, before).changes[1:]] == [("+", "web")]


def test_a_container_that_started_again_and_one_that_was_renamed():
    before = SCENES["one"]
    web = replace(before.containers[0], pid=7, name="shop")
    found = diff(before, replace(before, containers=(web,)))
    assert lines(found.changes)[:1] == ["~ container shop: name web → shop, started again"]


def test_an_endpoint_that_came():
    before = SCENES["bridges"]
    less = tuple(
        replace(c, endpoints=c.endpoints[1:]) if c.name == "web" else c for c in before.containers
    )
    found = diff(replace(before, containers=less), before)
    assert lines(found.changes) == ["+ endpoint of web in network backend, 10.5.0.4"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"mtu": 1400}, "MTU 1500 → 1400"),
        ({"master": None}, "bridge docker0 → none"),
        ({"up": False, "state": "down"}, "switched off"),
        ({"state": "lowerlayerdown"}, "state up → lowerlayerdown"),
        ({"mac": "02:00:00:00:00:01"}, "MAC address 86:26:44:b6:fb:75 → 02:00:00:00:00:01"),
        ({"index": 70}, "index 5 → 70"),
        ({"peer": None}, "other end eth0 of web → none"),
        ({"name": "cable"}, "name vethe939cc2 → cable"),
        ({"rx_packets": 10**6, "tx_bytes": 10**9}, None),
    ],
)
def test_an_interface_that_is_not_the_same(fields, says):
    after = with_interface(SCENES["one"], "vethe939cc2", **fields)
    changes = diff(SCENES["one"], after).changes
    found = [c for c in changes if c.place == "host1" and c.name != "docker0"]
    name = fields.get("name", "vethe939cc2")
    assert lines(found) == ([f"~ interface {name}: {says}"] if says else [])


def test_the_state_of_a_bridge_that_comes_late_is_no_change():
    late = with_interface(SCENES["empty"], "docker0", state="up")
    assert not diff(SCENES["empty"], late)


def test_a_bridge_whose_port_is_switched_off_loses_carrier():
    after = with_interface(SCENES["one"], "vethe939cc2", up=False, state="down")
    assert lines(diff(SCENES["one"], after).changes) == [
        "~ interface docker0: carrier yes → no",
        "~ interface vethe939cc2: switched off",
    ]


def test_an_address_more_and_the_links_own_left_out():
    own = SCENES["one"].root.interface("docker0").addresses
    more = Address(address="10.0.0.1", prefix=24, scope="global")
    link = Address(address="fe80::1", prefix=64, scope="link")
    after = with_interface(SCENES["one"], "docker0", addresses=(*own, more, link))
    assert lines(diff(SCENES["one"], after).changes) == ["+ address 10.0.0.1/24 of docker0"]
    assert lines(diff(after, SCENES["one"]).changes) == ["- address 10.0.0.1/24 of docker0"]


def test_rows_that_somebody_wrote_and_none_that_the_kernel_learned():
    host = SCENES["one"].root
    mac = "02:42:0a:05:00:03"
    after = with_host(
        SCENES["one"],
        routes=(*host.routes, Route(destination="10.9.0.0/16", gateway="192.168.56.12",
                                    interface="eth0", protocol="static"),
                Route(destination="fe80::/64", interface="veth0", protocol="kernel")),
        neighbours=(
            *host.neighbours[1:],
            Neighbour(address="10.5.0.3", mac=mac, interface="vxlan0", state="permanent"),
            Neighbour(address="10.5.0.4", mac=mac, interface="vxlan0", state="reachable")),
        forwarding=(
            *host.forwarding[1:],
            ForwardingEntry(mac=mac, interface="vxlan0", remote="192.168.56.12"),
            ForwardingEntry(mac=mac, interface="vethe939cc2", master="docker0")),
        sockets=(*host.sockets, Socket(protocol="udp", address="0.0.0.0", port=4789)),
    )  # fmt: skip
    assert lines(diff(SCENES["one"], after).changes) == [
        "+ route 10.9.0.0/16 via 192.168.56.12 by eth0 protocol static",
        f"+ neighbour 10.5.0.3 at {mac} on vxlan0, permanent",
        f"+ forwarding entry {mac} on vxlan0, behind 192.168.56.12",
        "+ socket udp 0.0.0.0:4789",
    ]


def test_a_socket_of_the_same_words_has_come_once_more():
    socket = Socket(protocol="tcp", address="127.0.0.1", port=80, process="nginx", pid=1)
    before = with_host(SCENES["empty"], sockets=(socket,))
    after = with_host(SCENES["empty"], sockets=(socket, replace(socket, pid=2)))
    assert len(diff(before, after).came) == 1
    again = with_host(SCENES["empty"], sockets=(replace(socket, pid=9),))
    assert not diff(before, again)


def test_connections_that_ended_are_not_told():
    entry = ConntrackEntry(
        protocol="2",
        original=Tuple(source="10.0.0.1", destination="10.0.0.2"),
        reply=Tuple(source="10.0.0.2", destination="10.0.0.9"),
        snat=True,
    )
    less, more = (with_host(SCENES["empty"], conntrack=c) for c in ((), (entry,)))
    words = "+ connection protocol 2 10.0.0.1 → 10.0.0.2, source becomes 10.0.0.9"
    assert lines(diff(less, more).tracked) == [words]
    assert repr(diff(more, less)) == "nothing changed"
    assert repr(diff(more, with_host(SCENES["empty"], conntrack=(replace(entry, timeout=9),)))) == (
        "nothing changed"
    )


def test_traffic_says_in_which_namespace():
    entry = SCENES["one"].root.conntrack[0]
    inside = replace(SCENES["one"].namespaces[1], conntrack=(entry,))
    after = replace(SCENES["one"], namespaces=(SCENES["one"].root, inside))
    assert repr(diff(SCENES["one"], after)).splitlines()[:2] == [
        "nothing changed",
        "new connections in web:",
    ]


def test_rules_by_how_often_they_are_there():
    drop, web = "-p udp -j DROP", "-p tcp -m tcp --dport 80 -j ACCEPT"
    assert lines(diff(chain(drop, web), chain(drop, web, drop)).changes) == [
        "+ rule filter INPUT: a UDP packet → is dropped"
    ]
    assert lines(diff(chain(drop, drop), chain(drop)).changes) == [
        "- rule filter INPUT: a UDP packet → is dropped"
    ]


def test_a_rule_above_the_others_moves_none_of_them():
    found = diff(chain("-j A", "-j B"), chain("-j NEW", "-j A", "-j B"))
    assert lines(found.changes) == ["+ rule filter INPUT: every packet → goes to NEW"]


def test_a_rule_that_stands_elsewhere():
    found = diff(chain("-j A", "-j B", "-j C"), chain("-j C", "-j A", "-j B"))
    assert lines(found.changes) == [
        "~ rule filter INPUT: every packet → goes to C: moved from place 3 to 1"
    ]


def test_a_comment_tells_two_rules_apart():
    found = diff(
        chain("-m comment --comment one -j ACCEPT"),
        chain('-m comment --comment "two words" -j ACCEPT'),
    )
    assert lines(found.changes) == [
        "- rule filter INPUT: every packet → passes (“one”)",
        "+ rule filter INPUT: every packet → passes (“two words”)",
    ]


def test_policies_and_chains():
    found = diff(chain(policy="ACCEPT"), chain(policy="DROP"))
    assert lines(found.changes) == ["~ chain filter INPUT: policy ACCEPT → DROP"]
    text = "*filter\n:INPUT ACCEPT [0:0]\n:MINE - [0:0]\nCOMMIT\n"
    assert lines(diff(chain(), with_rules(text)).changes) == ["+ chain filter MINE"]


def test_a_table_that_somebody_looked_at_is_no_difference():
    text = "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
    assert not diff(with_rules(text), with_rules(text + "*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"))
    assert lines(diff(with_rules(""), with_rules(text.replace("ACCEPT", "DROP"))).changes) == [
        "~ chain filter INPUT: policy ACCEPT → DROP"
    ]


def test_counters_that_grew():
    found = diff(chain("-p udp -j DROP", counted=1), chain("-p udp -j DROP", counted=4))
    assert not found
    assert lines(found.counted) == [
        "· rule filter INPUT: a UDP packet → is dropped: 3 packets",
        "· policy ACCEPT of filter INPUT: 3 packets",
    ]
    assert diff(chain("-j A", counted=4), chain("-j A", counted=1)).counted == ()


SPECS = st.lists(st.sampled_from(["-j A", "-j B", "-j C", "-p udp -j DROP"]), max_size=7)


@given(SPECS, SPECS)
def test_rules_came_and_went_as_often_as_the_lists_say(old, new):
    found = diff(chain(*old), chain(*new))
    spec = {c: r.spec for s in (old, new) for r in chain(*s).root.chains[0].rules
            for c in [f"rule filter INPUT: {r.condition} → {r.effect}"]}  # fmt: skip
    came, went = (Counter(spec[c.words] for c in cs) for cs in (found.came, found.went))
    assert came == Counter(new) - Counter(old)
    assert went == Counter(old) - Counter(new)
    # Those that neither came nor went stand in another order exactly if one is said to have moved.
    if not came and not went:
        assert bool(found.changed) == (old != new)


@given(SPECS, SPECS)
def test_as_few_rules_as_can_be_are_said_to_have_come_or_moved(old, new):
    found = diff(chain(*old), chain(*new))
    common = max(
        n for n in range(len(new) + 1)
        if set(combinations(new, n)) & set(combinations(old, n))
    )  # fmt: skip
    assert len(found.came) + len(found.changed) == len(new) - common


@given(SPECS, st.data())
def test_putting_rules_in_between_moves_none(old, data):
    new = list(old)
    for _ in range(data.draw(st.integers(0, 3))):
        new.insert(
            data.draw(st.integers(0, len(new))), data.draw(st.sampled_from(["-j A", "-j X"]))
        )
    found = diff(chain(*old), chain(*new))
    assert found.changed == found.went == ()
    assert len(found.came) == len(new) - len(old)


def test_the_same_two_give_the_same_lines_in_whatever_order_they_were_read():
    before, after = SCENES["empty"], SCENES["bridges"]
    turned = replace(
        after,
        namespaces=tuple(
            replace(
                n, interfaces=n.interfaces[::-1], routes=n.routes[::-1], sockets=n.sockets[::-1]
            )
            for n in after.namespaces[::-1]
        ),
        containers=after.containers[::-1],
        networks=after.networks[::-1],
    )
    assert repr(diff(before, turned)) == repr(diff(before, after))
    assert repr(diff(turned, before)) == repr(diff(after, before))


def test_the_table_says_the_same_and_escapes_names():
    found = diff(SCENES["empty"], SCENES["one"])
    html = found._repr_html_()
    assert html.count("font-family: monospace") == len(found.changes) + len(found.tracked) + 12
    assert "<i>in web</i>" in html
    web = replace(SCENES["one"].containers[0], name="<b>")
    nasty = replace(SCENES["one"], containers=(web,))
    assert "<b>" not in diff(SCENES["empty"], nasty)._repr_html_()


def test_rules_of_ipv6_and_of_nft_are_told_with_their_family():
    native = RULESETS["native-26.1"]
    root = replace(native.root, chains6=(), nftables=())
    others = tuple(root if n is native.root else n for n in native.namespaces)
    bare = replace(native, namespaces=others)
    said = [c.words for c in diff(bare, native).came]
    families = {c.family for c in native.root.nftables}
    assert families
    for family in {*families, *(["ip6"] if native.root.chains6 else [])}:
        assert any(words.startswith(f"rule {family} ") for words in said), family
    assert not any(words.startswith(("rule filter ", "rule nat ")) for words in said)
