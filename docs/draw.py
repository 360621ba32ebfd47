"""Draw the README's picture, docs/map.png, from a live lab: ``.venv/bin/python docs/draw.py``."""

from pathlib import Path

from labkit import Lab, topology

with Lab(hosts=1) as lab:
    host = lab.host1
    host.docker.networks.create("backend")
    host.run("nginx", name="web", publish="8080:80")
    host.run("nginx", name="api", network="backend")
    host.run("busybox", name="db", network="backend", command="sleep infinity")
    host.docker.networks.get("backend").connect("web")
    Path(__file__).with_name("map.png").write_bytes(topology(host.snapshot()).png())
