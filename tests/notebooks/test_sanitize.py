"""The patterns of sanitize.cfg: each replaces what it should, and nothing else is touched."""

import re
from pathlib import Path

import pytest
from nbval.plugin import get_sanitize_patterns

from labkit.exercises.verdict import MARKS

TEXT = Path(__file__).with_name("sanitize.cfg").read_text()
PATTERNS = get_sanitize_patterns(TEXT)
ID = "470cd1edaea0df048a7c458ba4bbb92ae6e143b3b540ea3adeb7bb574996b800"

EXAMPLES = [
    (f'"Id": "{ID}"', '"Id": "ID-OF-64"'),
    ("NETWORK ID\n1d17d72a467e   bridge", "NETWORK ID\nID-OF-12   bridge"),
    ('{"NetworkID": "cdf4b0f…"}', '{"NetworkID": "ID-OF-7"}'),
    ("link/ether 02:42:ac:11:00:02 brd ff:ff:ff:ff:ff:ff", "link/ether MAC brd ff:ff:ff:ff:ff:ff"),
    (
        "inet6 fe80::42:7eff:fe13:a52e/64 scope link tentative proto kernel_ll \n  valid_lft",
        "inet6 fe80::LINK/64 scope link\n  valid_lft",
    ),
    ("inet6 ::1/128 scope host proto kernel_lo \n", "inet6 ::1/128 scope host\n"),
    ("5: vethc407844@if4: <UP>", "5: vethNAME@if4: <UP>"),
    ('"Created": "2026-11-24T12:03:41.134632986Z"', '"Created": "TIME"'),
    ('- [24/Nov/2026:12:03:48 +0000] "GET', '- [TIME] "GET'),
    (
        "COMMAND    CREATED                  STATUS                  PORTS     NAMES",
        "COMMAND    CREATED STATUS PORTS     NAMES",
    ),
    ("g 'daemon of…\"   Less than a second ago   Up 2 seconds   80/tcp", None),
    ("g 'daemon of…\"   1 second ago   Up Less than a second          80/tcp", None),
    ("seq=1 ttl=64 time=0.299 ms", "seq=1 ttl=64 time MS"),
    ("0% packet loss, time 1030ms", "0% packet loss, time MS"),
    (
        "rtt min/avg/max/mdev = 0.078/0.188/0.299/0.110 ms",
        "rtt min/avg/max/mdev = MS",
    ),
    (
        "curl: (28) Connection timed out after 1502 milliseconds",
        "curl: (28) Connection timed out after MS",
    ),
    (
        "Failed to connect to host1 port 80 after 0 ms:",
        "Failed to connect to host1 port 80 after MS:",
    ),
    ("443/tcp -> [::]:32768", "443/tcp -> [::]:EPHEMERAL"),
    (":::40123->443/tcp", ":::EPHEMERAL->443/tcp"),
    ("tcp dpt:60999 to:172.17.0.4:443", "tcp dpt:EPHEMERAL to:172.17.0.4:443"),
    ("--dport 32769 -j DNAT", "--dport EPHEMERAL -j DNAT"),
    ("sport=37344 dport=8080", "sport=EPHEMERAL dport=8080"),
    ('(("docker-proxy",pid=254,fd=4))', '(("docker-proxy",pid=PID,fd=4))'),
    ("tcp      6 119 TIME_WAIT src=", "tcp      6 SECONDS TIME_WAIT src="),
    ("Chain INPUT (policy ACCEPT 3 packets, 184 bytes)", "Chain INPUT (policy ACCEPT)"),
    (
        "   82  7789 RETURN     all  --  *      *       0.0.0.0/0",
        "COUNTED RETURN     all  --  *      *       0.0.0.0/0",
    ),
    ("TX packets 8  bytes 648 (648.0 B)", "TX packets COUNTED"),
    ("TX errors 0  dropped 1 overruns 0", "TX errors 0 dropped COUNTED overruns 0"),
    ("172.17.0.3\tstore 06d1d3bb9cd1 right", "172.17.0.3\tstore ID-OF-12 right"),
    ('(("dockerd",pid=40,fd=44))', '(("dockerd",pid=PID,fd=FD))'),
    (f"join --token SWMTKN-1-{'a1' * 25}-{'b2' * 12}c 192", "join --token TOKEN 192"),
    ("q2404k7x6kfocdhgpj56dqf3e *   host1", "ID-OF-25 *   host1"),
    ("NETWORK ID\nvncbrjp034by   ingress", "NETWORK ID\nID-OF-12   ingress"),
    ("1d17d72a467e web", "ID-OF-12 web"),
    ("ICMP echo request, id 2293, seq 1", "ICMP echo request, id ID, seq 1"),
    ("this kernel: no IPVS", "this kernel: ITS ANSWER"),
    ("8: br-470cd1edaea0: <UP>", "8: br-ID: <UP>"),
    ("<td>sandbox 1-hjb8lovwkn on host1</td>", "<td>sandbox 1-ID on host1</td>"),
    ("br-back          DOWN           172.20", "br-back          STATE           172.20"),
    ("br-back          UP             172.20", "br-back          STATE           172.20"),
    ("dev eth0 lladdr ff:ff:ff:ff:ff:ff STALE", "dev eth0 lladdr ff:ff:ff:ff:ff:ff KNOWN"),
    ("to:127.0.0.11:40618", "to:127.0.0.11:EPHEMERAL"),
    ('<td style="x">172.18.0.2:49484</td>', '<td style="x">172.18.0.2:EPHEMERAL</td>'),
    (
        "<td>source 172.18.0.2:49484 → 192.168.56.11:49484</td>",
        "<td>source 172.18.0.2:EPHEMERAL → 192.168.56.11:EPHEMERAL</td>",
    ),
    (
        "<details><summary>Every step of curl -s outside, as a table</summary><table>…</details>",
        "<details><summary>Every step of curl -s outside, as a table</summary> STEPS",
    ),
    ("--sport 40618 -j SNAT --to-source :53", "--sport EPHEMERAL -j SNAT --to-source :53"),
    ("udp spt:40618 to::53", "udp spt:EPHEMERAL to::53"),
    ("icmp     1 29 src=172.19.0.2", "icmp     1 SECONDS src=172.19.0.2"),
    ("type=8 code=0 id=47632 src=", "type=8 code=0 id=ID src="),
    (
        "IP 172.18.0.2.46451 > 192.168.56.1.53: 20342+ A? outside. (25)",
        "IP 172.18.0.2.EPHEMERAL > 192.168.56.1.53: NUMBER+ A? outside. (25)",
    ),
    (
        "IP 192.168.56.1.53 > 172.18.0.2.46451: 20342* 1/0/0 A 203.0.113.10 (41)",
        "IP 192.168.56.1.53 > 172.18.0.2.EPHEMERAL: NUMBER* 1/0/0 A 203.0.113.10 (41)",
    ),
    ("<Lab on a root machine: host1>", "<Lab on a KIND machine: host1>"),
]
KEPT = [
    "link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00",
    "0.0.0.0:8080->80/tcp, :::8080->80/tcp",
    "    3   180 DNAT  tcp  --  !docker0 *  0.0.0.0/0  0.0.0.0/0  tcp dpt:8080 to:172.17.0.3:80",
    "    1    60 RETURN     all  --  docker0 *       0.0.0.0/0            0.0.0.0/0",
    "    2   120 DROP       tcp  --  eth0   *       0.0.0.0/0            0.0.0.0/0   tcp dpt:80",
    "2 packets transmitted, 2 received, 0% packet loss",
    "32768\t60999",
    "inet 172.17.0.2/16 brd 172.17.255.255 scope global eth0",
    "TX errors 3  dropped 1",
    "bridge   bridge    local",
    "4: eth0@if5: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500",
    "✓ the container has lo and eth0, no more",
]


def sanitized(text: str, patterns=PATTERNS) -> str:
    for pattern, replacement in patterns:
        text = re.sub(pattern, replacement, text)
    return text


def test_every_pattern_of_the_file_is_read():
    lines = TEXT.splitlines()
    assert len(PATTERNS) == sum(line.startswith("regex") for line in lines) > 15
    assert len(PATTERNS) == sum(line.startswith("replace") for line in lines)


@pytest.mark.parametrize(("before", "after"), EXAMPLES)
def test_what_varies_is_replaced(before, after):
    after = after or "g 'daemon of…\"   CREATED Up TIME |80/tcp"
    assert sanitized(before) == after


@pytest.mark.parametrize("text", KEPT)
def test_what_a_lesson_is_about_is_compared(text):
    assert sanitized(text) == text


def test_verdicts_are_all_that_is_compared_of_another_engine():
    patterns = get_sanitize_patterns(Path(__file__).with_name("verdicts.cfg").read_text())
    kinds = "".join(f"{mark} {kind}: so it is\n" for kind, (mark, _) in MARKS.items())
    verdicts = f"✓ a claim\n{kinds}○ still missing: nothing was done"
    others = "engine 26.1.5\n\n→ /NetworkDriver.Join\n-P INPUT ACCEPT\n! -d 172.17.0.0/16\n"
    assert sanitized(others + verdicts, patterns) == sanitized(verdicts, patterns) == verdicts


@pytest.mark.parametrize("number", range(len(PATTERNS)), ids=[p for p, _ in PATTERNS])
def test_every_pattern_is_needed(number):
    others = PATTERNS[:number] + PATTERNS[number + 1 :]
    assert any(sanitized(before, others) != sanitized(before) for before, _ in EXAMPLES)
