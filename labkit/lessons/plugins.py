"""The predictions and exercises of notebook 12: a network driver and an IPAM driver."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.snapshot import Container

first_calls = Prediction(
    "what docker network create asks",
    "Docker has never met the plugin. Which calls will come from `docker network create -d wire`?",
    ("Plugin.Activate", "CreateNetwork", "CreateEndpoint", "Join"),
    many=True,
    because={
        "Plugin.Activate": "With the first call Docker asks what kind of plugin this is.",
        "CreateNetwork": "Docker tells the driver, so that it can prepare what all share.",
        "CreateEndpoint": "An endpoint is a container's place: there is no container yet.",
        "Join": "A container joins: there is none yet.",
    },
)

last_calls = Prediction(
    "what docker rm -f asks",
    "`docker rm -f second` removes one of the two containers. Which calls will come?",
    ("RevokeExternalConnectivity", "Leave", "DeleteEndpoint", "DeleteNetwork"),
    many=True,
    because={
        "RevokeExternalConnectivity": "It undoes ProgramExternalConnectivity.",
        "Leave": "It undoes Join.",
        "DeleteEndpoint": "It undoes CreateEndpoint.",
        "DeleteNetwork": "The network outlives its containers, and first is still in it.",
    },
)

again = Prediction(
    "an address that was given back",
    "red has 10.77.0.100, blue has 10.77.0.101. red is removed, and a new container joins. "
    "Which address does it get?",
)


def _files(*files: str) -> Probe:
    """Which functions the plugin's files define; or the error that reading them gives."""
    program = f"""\
defined = {{}}
for file in {files!r}:
    try:
        exec(compile(open(file).read(), file, "exec"), defined)
    except FileNotFoundError:
        pass
    except Exception as error:
        print(f"{{file}}: {{type(error).__name__}}: {{error}}")
        raise SystemExit(1)
print(*[name for name, value in defined.items() if callable(value)])"""
    return Probe(node="host1", command=f"cd /root/plugin && python3 - << 'END'\n{program}\nEND")


def _serving(name: str) -> Probe:
    return Probe(
        node="host1",
        command="curl -sf --max-time 2 --unix-socket "
        f"/run/docker/plugins/{name}.sock -X POST http://plugin/Plugin.Activate",
    )


def _why(container: str) -> Probe:
    return Probe(
        node="host1", command=f"docker inspect --format '{{{{.State.Error}}}}' {container}"
    )


def _unwritten(state: State, file: str, wanted: tuple[str, ...]) -> Verdict | None:
    """Why the plugin can't work yet: no server, a file that Python refuses, functions that lack."""
    if not state.answers("serving"):
        return not_yet(
            "the plugin does not answer on its socket; run the cell that starts serve.py"
        )
    if not state.answers("files"):
        return not_yet(f"Python can't read your file. {state.probes['files'].text.strip()}")
    there = state.probes["files"].text.split()
    lacking = [name for name in wanted if name not in there]
    if lacking == list(wanted):
        return missing(f"{file} defines no {' and no '.join(wanted)} yet")
    if lacking:
        return not_yet(f"{file} defines no {lacking[0]} yet")
    return None


def _started(state: State, name: str, command: str) -> Container:
    """That container; Unmet tells what Docker said if it does not run."""
    reason = state.probes[f"why {name}"].text.strip()
    said = f"Docker said: {reason}. " if reason else ""
    mend = f"{said}Mend it, `docker rm -f {name}`, and start it again"
    return state.running(name, f"`{command}`", mend, so_far="the network is there; ")


GATEWAY = "10.20.0.1"


def check_endpoint(state: State) -> Verdict:
    """The container first must have a working eth0 from the driver wire."""
    if verdict := _unwritten(state, "endpoint.py", ("CreateEndpoint", "Join")):
        return verdict
    network = state.snapshot.network("wired")
    if network is None or network.driver != "wire":
        return not_yet("there is no network wired of the driver wire; run the cell that creates it")
    command = "docker run -d --name first --network wired nginx"
    first = _started(state, "first", command)
    own = first.endpoint("wired")
    if own is None:
        return not_yet(
            f"first runs, but not in the network wired: `docker rm -f first`, `{command}`"
        )
    inside = state.inside(first)
    eth0 = inside.interface("eth0")
    defaults = [r for r in inside.routes if r.destination == "default"]
    if eth0 and [r.gateway for r in defaults] == [GATEWAY] and state.answers("first to gateway"):
        return correct(
            f"first has an eth0 from your driver, a {eth0.kind}; Docker gave it {own.address}, "
            "and the gateway answers"
        )
    bridge = f"br-{network.id[:12]}"
    root = state.snapshot.root
    peer = eth0.peer.index if eth0 and eth0.peer else None
    end = next((i for i in root.interfaces if i.index == peer), None)
    if eth0 is None or (end and end.master == "docker_gwbridge"):
        return not_yet(
            "first has no interface of yours, only Docker's own way out, a port of "
            "docker_gwbridge: Docker must learn from the answer to Join which one it gets: "
            '{"InterfaceName": {"SrcName": …, "DstPrefix": "eth"}}'
        )
    if end is None:
        return not_yet(
            f"first has an eth0, which is a {eth0.kind} with no other end on host1, and the "
            "gateway does not answer: make a veth pair, and keep one end"
        )
    if end.master != bridge:
        return not_yet(
            f"first has an eth0; its other end {end.name} is plugged in nowhere: CreateEndpoint "
            f"must make it a port of the network's bridge {bridge}, `bridge(request)`"
        )
    if not end.up:
        return not_yet(f"the cable is plugged in, but its end {end.name} on host1 is down")
    if [r.gateway for r in defaults] != [GATEWAY]:
        found = ", ".join(f"{r.gateway} by {r.interface}" for r in defaults) or "nowhere"
        return not_yet(
            f"first has a cable and an address, but its default route leads to {found}: without a "
            f'"Gateway" in the answer to Join, Docker finds another way out than {GATEWAY}'
        )
    return not_yet(f"all is there, and the gateway {GATEWAY} does not answer first")


endpoint = Exercise(
    "the two calls for a container",
    "Write `CreateEndpoint(request)` and `Join(request)` into /root/plugin/endpoint.py. Then start "
    "a container `first` of the image nginx in the network wired. It must get an eth0 from your "
    "driver, and its default route must lead to the gateway 10.20.0.1, which answers.",
    check_endpoint,
    (
        "both functions end with `return {…}`; `ours, theirs = cable(request)` gives two names for "
        "the two ends of a veth pair",
        'CreateEndpoint makes the pair: run(f"ip link add {ours} type veth peer name {theirs}"), '
        "plugs `ours` into bridge(request), switches it on, and returns {}",
        'Join returns {"InterfaceName": {"SrcName": theirs, "DstPrefix": "eth"}, '
        '"Gateway": gateway(request)}',
    ),
    """\
cat > /root/plugin/endpoint.py << 'END'
def CreateEndpoint(request):
    ours, theirs = cable(request)
    run(f"ip link add {ours} type veth peer name {theirs}")
    run(f"ip link set {ours} master {bridge(request)} up")
    return {}


def Join(request):
    ours, theirs = cable(request)
    return {
        "InterfaceName": {"SrcName": theirs, "DstPrefix": "eth"},
        "Gateway": gateway(request),
    }
END
docker rm -f first > /dev/null 2>&1
docker run -d --name first --network wired nginx""",
    probes={
        "serving": _serving("wire"),
        "files": _files("wire.py", "endpoint.py"),
        "why first": _why("first"),
        "first to gateway": Probe(
            node="host1", command="docker exec first ping -c 1 -W 1 10.20.0.1"
        ),
    },
)

_TRY = """\
cd /root/plugin && python3 - << 'END'
defined = {}
for file in ("count.py", "address.py"):
    exec(compile(open(file).read(), file, "exec"), defined)
defined.update(taken=lambda: ["10.77.0.1", "10.77.0.101"], take=lambda address: None)
request = {"PoolID": "10.77.0.0/24", "Address": "", "Options": None}
print(defined["RequestAddress"](request)["Address"])
END"""


def check_address(state: State) -> Verdict:
    """Red and blue must have .100 and .101 from the IPAM driver count."""
    if verdict := _unwritten(state, "address.py", ("RequestAddress",)):
        return verdict
    network = state.snapshot.network("counted")
    create = "docker network create --ipam-driver count counted"
    if network is None:
        reply = state.probes["last answer"].text.strip()
        failed = f"; your last answer to RequestAddress was {reply}" if reply else ""
        return not_yet(f"there is no network counted yet: `{create}`{failed}")
    driver = state.probes["ipam"].text.strip()
    if driver != "count":
        return not_yet(
            f"the addresses of counted come from the IPAM driver {driver}; remove it and `{create}`"
        )
    gateways = [s.gateway for s in network.subnets]
    if gateways != ["10.77.0.1"]:
        return not_yet(
            f"counted has the gateway {', '.join(map(str, gateways))}; it should be 10.77.0.1: "
            "look at request['Options'] when a network is created"
        )
    run = "docker run -d --name {} --network counted nginx"
    found = {}
    for container in [_started(state, name, run.format(name)) for name in ("red", "blue")]:
        own = container.endpoint("counted")
        if own is None:
            return not_yet(f"{container.name} runs, but not in the network counted")
        found[container.name] = own.address
    if found["red"] == found["blue"]:
        return not_yet(
            f"red and blue both have {found['red']}: taken() lists what is given away, and "
            "take(address) adds to it. Remove both and counted, and begin again"
        )
    if found != {"red": "10.77.0.100", "blue": "10.77.0.101"}:
        return not_yet(
            f"red has {found['red']}, blue has {found['blue']}; asked for are 10.77.0.100 and "
            "10.77.0.101, red first. Remove both and counted, and begin again"
        )
    free = state.probes["free"].text.strip()
    if free != "10.77.0.100/24":
        return not_yet(
            f"red and blue are right. But with 10.77.0.101 taken and 10.77.0.100 free your "
            f"function answers {free or 'with an error'}; the lowest free one is asked for"
        )
    return correct(
        "the gateway has 10.77.0.1, red 10.77.0.100, blue 10.77.0.101: each by your function"
    )


address = Exercise(
    "the call for an address",
    "Write `RequestAddress(request)` into /root/plugin/address.py. For a gateway it gives "
    "10.77.0.1, for containers the lowest free address from 10.77.0.100 on. Then make a network "
    "`counted` with `--ipam-driver count` and start the containers `red` and `blue` in it, in this "
    "order, of the image nginx.",
    check_address,
    (
        "for a gateway, request['Options'] holds 'RequestAddressType': "
        "'com.docker.network.gateway'; for a container request['Options'] may be None",
        'the answer is {"Address": "10.77.0.100/24"}: with the length of the subnet',
        "taken() lists the addresses that are given away; call take(address) before the return",
    ),
    """\
cat > /root/plugin/address.py << 'END'
def RequestAddress(request):
    options = request["Options"] or {}
    if options.get("RequestAddressType") == "com.docker.network.gateway":
        address = "10.77.0.1"
    else:
        usable = (f"10.77.0.{number}" for number in range(100, 255))
        address = next(a for a in usable if a not in taken())
    take(address)
    return {"Address": f"{address}/24"}
END
docker rm -f red blue > /dev/null 2>&1
docker network rm counted > /dev/null 2>&1
docker network create --ipam-driver count counted
docker run -d --name red --network counted nginx
docker run -d --name blue --network counted nginx""",
    probes={
        "serving": _serving("count"),
        "files": _files("count.py", "address.py"),
        "last answer": Probe(
            node="host1",
            command="grep -A 1 RequestAddress /run/count.log | sed -n 's/^← //p' | tail -n 1",
        ),
        "ipam": Probe(
            node="host1", command="docker network inspect --format '{{.IPAM.Driver}}' counted"
        ),
        "why red": _why("red"),
        "why blue": _why("blue"),
        "free": Probe(node="host1", command=_TRY),
    },
)

progress = Progress(
    "12 network plugins",
    first_calls,
    endpoint,
    last_calls,
    address,
    again,
)
