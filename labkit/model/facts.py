"""From the facts that the agent read to a Snapshot: Docker's names joined to the kernel's."""

from __future__ import annotations

import msgspec

from labkit.model import netfilter, nftables, rules
from labkit.model.snapshot import Snapshot


def snapshot_of(facts: dict) -> Snapshot:
    """The snapshot that the agent's facts tell (``labkit.agent.observe``).

    ``facts["engine"]`` is None or holds answers of the Engine API: ``GET /networks`` and
    ``GET /containers/ID/json``, each container with the inode of its namespace added.
    """
    engine = facts["engine"]
    for namespace in facts["namespaces"]:
        texts = namespace.pop("rules")
        for field, tool in (("chains", "iptables"), ("chains6", "ip6tables")):
            saved = (texts.get(name, "") for name in (f"{tool}-legacy", tool))
            namespace[field] = [chain for text in saved for chain in rules.parse(text)]
        known = {("ip", c.table, c.name) for c in namespace["chains"]}
        known |= {("ip6", c.table, c.name) for c in namespace["chains6"]}
        known |= {(*netfilter.TRACING, chain) for chain in ("in", "out")}
        namespace["nftables"] = nftables.parse(texts.get("nft", ""), known)
    return msgspec.convert(
        {
            **facts,
            "engine": engine and engine["version"].partition("+")[0],
            "networks": [_network(n) for n in engine["networks"]] if engine else [],
            "containers": [_container(c) for c in engine["containers"]] if engine else [],
        },
        Snapshot,
    )


def _network(network: dict) -> dict:
    return {
        "id": network["Id"],
        "name": network["Name"],
        "driver": network["Driver"],
        "scope": network["Scope"],
        "internal": network["Internal"],
        "subnets": [
            {"subnet": c["Subnet"], "gateway": c.get("Gateway") or None}
            for c in network["IPAM"]["Config"] or ()
        ],
        "options": network["Options"] or {},
    }


def _container(container: dict) -> dict:
    settings = container["NetworkSettings"]
    return {
        "id": container["Id"],
        "name": container["Name"].lstrip("/"),
        "image": container["Config"]["Image"],
        "namespace": container["Namespace"],
        "network_mode": container["HostConfig"]["NetworkMode"],
        "pid": container["State"]["Pid"],
        "endpoints": [
            {
                "network": name,
                "address": e["IPAddress"] or None,
                "mac": e["MacAddress"] or None,
                "aliases": e["Aliases"] or [],
            }
            for name, e in settings["Networks"].items()
        ],
        "ports": [
            {
                "container_port": int(port.partition("/")[0]),
                "protocol": port.partition("/")[2],
                "host_address": binding["HostIp"],
                "host_port": int(binding["HostPort"]),
            }
            for port, bindings in (settings["Ports"] or {}).items()
            for binding in bindings or ()
        ],
    }
