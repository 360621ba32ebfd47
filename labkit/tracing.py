"""Run a request and follow its packets through the lab."""

from __future__ import annotations

import shlex

from labkit.errors import UsageError
from labkit.host import ContainerHandle, Node
from labkit.model import trace
from labkit.model.facts import snapshot_of
from labkit.model.journey import Journey


def journey(where: Node | ContainerHandle, command: str, *, timeout: float = 30) -> Journey:
    """Run a shell command, and tell the way of its packets and of their replies through the lab.

    Packets are captured on every interface of every node and container, and the kernel tells
    which rules they meet (nf_tables' trace, nft(8)). Followed are the conversations that begin
    while the command runs; a container that the command itself starts is not listened in. The
    lab should be quiet: what others begin meanwhile is followed too.
    Nothing is added to the hosts' own chains, and nothing is left behind.

    The command's output and status are in the journey; one that fails is no error.

    Args:
        where: a lab host, a station, ``lab.outside``, or a container from ``host.run``.
        command: text for bash; in a container for its sh.
        timeout: seconds after which the command is interrupted.

    Raises:
        UsageError: there is nothing to tell, for no packet was sent; or an argument makes no sense.

    Example:
        >>> web = lab.host1.run("toolbox", command="sleep 1d")  # doctest: +SKIP
        >>> journey(web, "curl -s outside")  # doctest: +SKIP
    """
    return trace.join(**heard(where, command, timeout))


def heard(where: Node | ContainerHandle, command: str, timeout: float) -> dict:
    """Run the command, and give what ``labkit.model.trace.join`` makes a journey of."""
    if not isinstance(command, str) or not command.strip():
        raise UsageError(f"{command!r} is no command: give text for a shell, as 'curl -s outside'")
    if not isinstance(timeout, int | float) or timeout <= 0:
        raise UsageError(f"timeout={timeout!r}: give seconds, more than 0")
    node: Node
    if isinstance(where, ContainerHandle):
        node, start = where.host, f"{where.name} on {where.host.name}"
        # The limit holds inside too: `docker exec` that is interrupted leaves what it runs.
        inside = f"timeout -s INT {timeout} sh -c {shlex.quote(command)}"
        script, timeout = f"docker exec {where.name} {inside}", timeout + 1
    elif isinstance(where, Node):
        node, start, script = where, where.name, command
    else:
        raise UsageError(f"{where!r} is no place to start from: give a node or a container")
    written: list[bytes] = []
    call = node.channel.call

    def keep(_: int, data: bytes) -> None:
        written.append(data)

    raw = call("journey", keep, node=node.name, script=script, timeout=timeout)
    output = b"".join(written).decode(errors="replace").replace("\r\n", "\n")
    snapshots = [snapshot_of(call("observe", node=name)) for name in trace.nodes(raw)]
    if not snapshots:
        last = f"; it wrote: {output.strip().splitlines()[-1]}" if output.strip() else ""
        raise UsageError(f"{command!r} on {start} sent no packet that could be traced{last}")
    return {
        "heard": raw,
        "snapshots": snapshots,
        "command": command,
        "start": start,
        "output": output,
    }
