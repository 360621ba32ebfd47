"""A lab's way out, for who asks for it: ``Lab(internet=True)``.

passt, a user-mode network stack, takes the frames that leave the lab's router and makes ordinary
connections of them, as any program of the learner's does: nothing of the learner's system is
changed, and nothing can connect to the lab. The frames travel over the channel, so it is the same
on every machine.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
from pathlib import Path

from labkit.agent import SERVERS
from labkit.channel import Channel
from labkit.errors import CommandError, MachineError
from labkit.host import Node
from labkit.machine import prerequisites

ADDRESS, GATEWAY, NAMES = "10.0.2.15", "10.0.2.2", "10.0.2.3"
# Frames that go to passt must be whole: no checksum and no cutting up is left to a network card.
PLUG = f"""
ip link add wan type veth peer name passt
ethtool --offload wan tx off > /dev/null
echo 1 > /proc/sys/net/ipv6/conf/passt/disable_ipv6
ip link set passt up
ip address add {ADDRESS}/24 dev wan
ip link set wan up
ip route add default via {GATEWAY}
iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
echo server={NAMES} > {SERVERS}
pkill -HUP dnsmasq
"""
TRY = f"""
for _ in $(seq 200); do  # until the cable's socket is there: packet(7)
    [ "$(wc -l < /proc/net/packet)" -lt 2 ] || break
    sleep 0.02
done
arping -q -f -w 5 -I wan {GATEWAY}
"""
PASST = (
    "passt", "--foreground", "--quiet", "--ipv4-only", "--mtu", "1500",
    "--address", ADDRESS, "--netmask", "24", "--gateway", GATEWAY, "--dns-forward", NAMES,
    "--mac-addr", "02:00:00:00:00:02",
    # Neither may the lab reach what listens on this computer's loopback, nor is a port forwarded.
    "--no-map-gw", "--tcp-ports", "none", "--udp-ports", "none",
)  # fmt: skip


class Internet:
    """A running passt, and the cable from it to the lab's router.

    Raises:
        ImageError: passt is not here, and could not be installed.
        MachineError: it does not work here.
    """

    def __init__(self, channel: Channel, router: Node) -> None:
        prerequisites.install(programs=prerequisites.INTERNET)
        if not _leads_out():  # newer passts do not say so: they serve this computer alone
            raise _nowhere("no external interface has a default route")
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        ours, its = socket.socketpair()
        with its:
            self._passt = subprocess.Popen(
                [*PASST, "--fd", str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,
            )
        works, said = False, ""
        try:
            router.read(f"set -e\n{PLUG}")
            self._cable = channel.join(ours, "cable", node=router.name, interface="passt")
            with contextlib.suppress(CommandError):
                if self._passt.poll() is None:
                    router.read(TRY)
                    works = True
        finally:
            if not works:
                said = self.close()
        if not works:
            raise _nowhere(said)

    def close(self) -> str:
        """End it: the last that it said. It ends by itself when the learner's kernel does."""
        self._passt.kill()
        self._passt.wait()
        with self._said:
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").splitlines()
        return (lines or [""])[-1]


def _leads_out() -> bool:
    """Whether this computer has a default route of IPv4: proc_pid_net(5)."""
    routes = Path("/proc/self/net/route").read_text().splitlines()  # none: not even its heads
    return any(route.split()[1] == "00000000" for route in routes)


def _nowhere(reason: str) -> MachineError:
    return MachineError(
        f"internet=True: this computer's passt leads nowhere ({reason}); leave it out, or "
        "mend what it says"
    )
