"""The predictions and the exercise of notebook 11: overlay networks kept in a key-value store."""

from __future__ import annotations

import json

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.value import Value

seen = Prediction(
    "who sees the new network",
    "`docker network create -d overlay legacy` is typed on host1 alone. Where will "
    "`docker network ls` list legacy afterwards?",
    ("on host1 only", "on host1 and on host2", "nowhere, until a container joins it"),
    because={
        "on host1 only": "host1's engine wrote the network into the store, and host2's engine "
        "reads that same store.",
        "nowhere, until a container joins it": "The network is keys in the store as soon as it is "
        "created; no container is needed for that.",
    },
)

written = Prediction(
    "what a first container changes",
    "A container joins legacy. In the store, what becomes different?",
    (
        "a key for its endpoint appears",
        "the count of endpoints changes",
        "the network's own record changes",
        "the overlay driver's record changes",
    ),
    many=True,
    because={
        "a key for its endpoint appears": "The other host must learn the container's address.",
        "the count of endpoints changes": "It keeps a network from being removed under somebody.",
        "the network's own record changes": "Name, driver and subnet are what they were.",
        "the overlay driver's record changes": "The VNI is picked when the first container joins.",
    },
)

without = Prediction(
    "life without the store",
    "The store is stopped. Which of these still work?",
    ("left pings right", "docker network ls shows legacy", "a new overlay network is created"),
    many=True,
    because={
        "left pings right": "A packet asks the kernel's tables and no store.",
        "docker network ls shows legacy": "The engine reads the list from the store each time.",
        "a new overlay network is created": "Its subnet would have to be noted in the store.",
    },
)

joins = Prediction(
    "a plain container in a swarm network",
    "strict is an overlay network of the swarm, made with no more options. What does "
    "`docker run --network strict` do?",
    ("it runs", "it is refused"),
    because={"it runs": "A swarm's network was made for services; see what the manager answers."},
)

newer = Prediction(
    "the same option in engine 26.1",
    "Engine 26.1 finds cluster-store in its daemon.json. What does it do?",
    ("it uses the store", "it starts and ignores the line", "it does not start"),
    because={
        "it uses the store": "That code was taken out of the engine.",
        "it starts and ignores the line": "An engine does not guess: it refuses a configuration "
        "with a directive that it does not know.",
    },
)


class Stored(Value):
    """An endpoint as the key-value store has it."""

    network: str
    name: str
    host: str
    address: str


def _records(state: State) -> dict[str, dict]:
    """The keys of networks and endpoints with their values, as the probe printed them."""
    lines = state.probes["the store"].text.splitlines()
    pairs = (line.split("\t", 1) for line in lines if "\t" in line)
    return {key: json.loads(value) for key, value in pairs}


def _endpoints(records: dict[str, dict]) -> dict[str, Stored]:
    """Every endpoint of the store by its container's name."""
    names = {r["id"]: r["name"] for key, r in records.items() if "/network/v1.0/network/" in key}
    return {
        r["name"]: Stored(
            network=names.get(key.split("/")[-2], "another network"),
            name=r["name"],
            host=r["locator"],
            address=r["ep_iface"]["addr"],
        )
        for key, r in records.items()
        if "/network/v1.0/endpoint/" in key
    }


SUBNET, ADDRESS, HOST2 = "10.22.0.0/24", "10.22.0.50/24", "192.168.56.12"


def check_twin(state: State) -> Verdict:
    """Twin must be in the store with its subnet, and west in it: on host2, at its address."""
    if not state.answers("the store"):
        return not_yet("etcd on station1 does not answer; run the cell that starts it once more")
    records = _records(state)
    network = next(
        (r for k, r in records.items() if "v1.0/network/" in k and r["name"] == "twin"), None
    )
    local = state.snapshot.network("twin")
    if network is None and local is not None:
        return not_yet(
            f"host2 has a network twin, of the driver {local.driver} and the scope {local.scope}; "
            "the store knows nothing of it, so no other host does"
        )
    if network is None:
        return missing("the store has no network named twin")
    pools = [pool["PreferredPool"] for pool in json.loads(network["ipamV4Config"])]
    if pools != [SUBNET]:
        found = " and ".join(filter(None, pools)) or "none, so that Docker picked one"
        return not_yet(f"twin is in the store; its subnet should be {SUBNET}, given was {found}")
    west = _endpoints(records).get("west")
    if west is None:
        if "west" in state.stopped:
            return not_yet(f"twin is right; west is on host2, but it is {state.stopped['west']}")
        if state.container("west"):
            return not_yet(
                "twin is right, and west runs on host2; the store does not know it, so none of its "
                "networks is in the store"
            )
        return not_yet("the network twin is right; the store has no endpoint named west")
    if west.network != "twin":
        return not_yet(f"the store has west, in the network {west.network}; not in twin")
    if west.host != HOST2:
        return not_yet(
            f"the store has west in twin, at the host {west.host}; it belongs on host2, {HOST2}"
        )
    if west.address != ADDRESS:
        return not_yet(
            f"west is in twin on host2, with {west.address}; the task asks for {ADDRESS}: `--ip`"
        )
    if not state.answers("host1 to west"):
        return not_yet("the store is right, but a container on host1 got no answer from west")
    return correct(
        f"the store has west at {west.address} on {west.host}, "
        "and a container on host1 just reached it by its name"
    )


_RECORDS = """\
export ETCDCTL_API=2
etcdctl ls > /dev/null || exit 1
for kind in network endpoint; do
    etcdctl ls --recursive -p /docker/network/v1.0/$kind | grep -v '/$'
done | while read -r key; do printf '%s\\t%s\\n' "$key" "$(etcdctl get "$key")"; done"""

twin = Exercise(
    "a second network, from host2",
    f"On host2, make an overlay network named `twin` with the subnet {SUBNET}, and start a "
    "container `west` of the image nginx in it, at the address 10.22.0.50. A container on host1 "
    "must be able to reach it by its name: the check starts one for a moment.",
    check_twin,
    (
        "the same two commands as for legacy and right, with other names, both on host2",
        "`docker network create` has `-d` and `--subnet`, `docker run` has `--network` and `--ip`",
    ),
    f"""\
docker network create -d overlay --subnet {SUBNET} twin
docker run -d --name west --network twin --ip 10.22.0.50 nginx""",
    host="host2",
    probes={
        "the store": Probe(node="station1", command=_RECORDS),
        "host1 to west": Probe(
            # News of a new endpoint takes a moment from host to host.
            node="host1",
            command="docker run --rm --network twin nginx sh -c "
            "'for try in 1 2 3 4 5 6 7 8; do ping -c 1 -W 1 west && exit; sleep 0.3; done; exit 1'",
        ),
    },
)

progress = Progress(
    "11 overlay before Swarm",
    seen,
    written,
    twin,
    without,
    joins,
    newer,
)
