"""The predictions and the exercise of notebook 00: the three networks that Docker starts with."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import State
from labkit.exercises.verdict import Verdict, correct, not_yet

how_many = Prediction(
    "networks of a new engine",
    "This engine is new and has no container. How many networks does `docker network ls` show?",
    ("0", "1", "3"),
    because={
        "0": "Docker makes networks as it starts, not as you need them.",
        "1": "The bridge is the one that is used most; two more are always there.",
    },
)

which_network = Prediction(
    "the network of a plain docker run",
    "`docker run -d --name hello nginx` names no network. Which one will the container be on?",
    ("bridge", "host", "none"),
    because={
        "host": "A container gets the host's own interfaces only when you ask for them.",
        "none": "A container without any network is what you get with --network none.",
    },
)


def check_first(state: State) -> Verdict:
    """``first`` must run nginx on the network ``none``, with nothing but ``lo``."""
    others = [c for c in state.snapshot.containers if c.mode == "none"]
    if others and not state.exists("first"):
        return not_yet(
            f"{others[0].name} is on the network none, but it is not named first; "
            "docker run gives the name with --name"
        )
    mend = "look at `docker logs first`, then `docker rm first` and try again"
    first = state.running("first", mend=mend)
    if first.mode != "none":
        return not_yet(
            f"first runs, but on the network {first.mode}; a running container keeps the network "
            "that docker run gave it: `docker rm -f first` and start it again"
        )
    if first.image.partition(":")[0] != "nginx":
        return not_yet(f"first runs the image {first.image}; the task asks for nginx")
    names = [i.name for i in state.inside(first).interfaces]
    if names != ["lo"]:
        found = ", ".join(names) or "nothing"
        return not_yet(f"first is on the network none, but its namespace holds {found}")
    return correct("first runs nginx on the network none, and its namespace holds only lo")


first = Exercise(
    "your first container",
    "On host1, start a container named `first` from the image `nginx`, "
    "attached to the network `none`.",
    check_first,
    (
        "docker run has an option that names the network; `docker run --help` lists it",
        "the options are --name and --network, and -d leaves the container running",
    ),
    "docker run -d --name first --network none nginx",
)

progress = Progress("00 start here", how_many, which_network, first)
