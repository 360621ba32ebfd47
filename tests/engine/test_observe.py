"""What the agent reads: the same sockets as ss, and every kind of rule, on a real kernel."""

import re


def by_ss(text):
    found = []
    for line in text.splitlines():
        protocol, _, _, _, local, *rest = line.split()
        address, _, port = local.rpartition(":")
        names = re.findall(r'\("(.*?)",pid=(\d+)', " ".join(rest))
        found.append((protocol, address.strip("[]"), int(port), sorted(names)))
    return found


def test_sockets_are_those_that_ss_lists(host):
    host.run("nginx", name="web", publish=["8080:80", "127.0.0.1:5353:53/udp"])
    host.read(
        "nc -lk -p 7001 & nc -lk -s ::1 -p 7002 & nc -luk -p 7003 & "
        'python3 -c \'import socket as s; x=s.create_server(("::", 7004), family=s.AF_INET6, '
        "dualstack_ipv6=True); x.listen(); import time; time.sleep(60)' & "
        "until [ $(ss -Hlntu | grep -c :700) = 4 ]; do sleep 0.02; done"
    )
    try:
        sockets = host.snapshot().root.sockets
        expected = by_ss(host.read("ss -Hlntup"))
    finally:
        host.read("kill $(ss -Hlntup | grep :700 | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u)")
    assert [(s.protocol, s.address, s.port) for s in sockets] == [e[:3] for e in expected]
    for socket, (*_, holders) in zip(sockets, expected, strict=True):
        assert (socket.process, str(socket.pid)) in holders
    assert ("tcp", "*", 7004) in [e[:3] for e in expected]


def test_rules_of_nft_and_of_ipv6_and_of_the_older_iptables(host):
    of_ipv4 = {chain.table for chain in host.snapshot().root.chains}
    assert of_ipv4 >= {"nat", "filter"}
    host.read("""
        nft add table inet lesson
        nft 'add chain inet lesson guard { type filter hook input priority -5; policy accept; }'
        nft 'add rule inet lesson guard ip saddr { 203.0.113.1, 203.0.113.2, 203.0.113.3,
             203.0.113.4, 203.0.113.5 } tcp dport 8081 counter drop comment "kept # out"'
        nft add table bridge lesson
        ip6tables -A INPUT -p tcp --dport 8082 -j DROP
    """)
    try:
        root = host.snapshot().root
        (guard,) = root.nftables
        assert (guard.family, guard.hook, guard.priority) == ("inet", "INPUT", -5)
        assert guard.rules[0].target == "DROP"
        assert guard.rules[0].match("comment").value == "kept # out"
        assert "203.0.113.5" in guard.rules[0].match("source").values
        assert [r.spec for c in root.chains6 for r in c.rules] == [
            "-p tcp -m tcp --dport 8082 -j DROP"
        ]
        assert {c.table for c in root.chains} == of_ipv4
    finally:
        host.read("nft delete table inet lesson; nft delete table bridge lesson; "
                  "nft delete table ip6 filter")  # fmt: skip
    assert host.snapshot().root.nftables == host.snapshot().root.chains6 == ()


def test_a_table_that_nft_changed_in_its_own_way_is_read_from_nft(host):
    host.read("nft add table ip raw; nft 'add chain ip raw mine { type filter hook input "
              "priority 3; }'; nft 'add rule ip raw mine tcp dport vmap { 1 : drop }'")  # fmt: skip
    try:
        root = host.snapshot().root
        assert [(c.table, c.name) for c in root.nftables] == [("raw", "mine")]
        assert {c.table for c in root.chains} >= {"nat", "filter"}
    finally:
        host.read("nft delete table ip raw")


def test_no_tool_runs_where_the_kernel_has_no_rule(host):
    host.run("busybox", name="bare", command="sleep 1d")
    snapshot = host.snapshot()
    bare = snapshot.namespace(snapshot.container("bare").namespace)
    assert (bare.chains, bare.chains6, bare.nftables) == ((), (), ())
    # which looking has not changed: the tools would not have made a table either
    assert host.read("nft list ruleset | grep -c '^table'").strip() == "2"


def test_connections_are_read_where_there_are_some(host):
    """A container on a network of its own tracks what it asks; one with no rules tracks nothing."""
    host.read("docker network create own")
    web = host.run("nginx", name="web", network="own")
    host.run("busybox", name="idle", command="sleep 1d")
    web.sh("getent hosts outside > /dev/null")
    snapshot = host.snapshot()
    tracked = snapshot.namespace(snapshot.container("web").namespace).conntrack
    asked = {(e.original.destination, e.original.destination_port) for e in tracked}
    assert asked == {("127.0.0.11", 53), ("192.168.56.1", 53)}  # Docker's server, and whom it asks
    listed = host.read(f"nsenter -t {web.pid} -n conntrack -L 2> /dev/null").splitlines()
    assert len(tracked) == len(listed) > 0
    assert snapshot.namespace(snapshot.container("idle").namespace).conntrack == ()
    assert snapshot.root.conntrack


def test_connections_of_ipv6_are_read_too(host):
    host.read("ip6tables -t nat -A POSTROUTING -j MASQUERADE; ping -c 1 ::1")
    try:
        tracked = host.snapshot().root.conntrack
    finally:
        host.read("nft delete table ip6 nat")
    pinged = [e.original.source for e in tracked if e.protocol == "icmpv6"]
    assert "::1" in pinged


def test_a_namespace_of_which_docker_has_no_file_is_read_too(host):
    host.run("busybox", name="box", command="sleep 1d")
    file = host.read("docker inspect -f '{{.NetworkSettings.SandboxKey}}' box").strip()
    host.read(f"umount {file}")
    snapshot = host.snapshot()
    inside = snapshot.namespace(snapshot.container("box").namespace)
    (eth0,) = (i for i in inside.interfaces if i.kind == "veth")
    assert eth0.peer.name in [i.name for i in snapshot.root.interfaces if i.master == "docker0"]
