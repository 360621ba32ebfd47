"""The notebook in which the browser tries every widget: a cell for each."""

CELLS = (
    """\
from labkit import Explorer, Lab
from labkit.lessons import start_here

lab = Lab(hosts=2).start()
web = lab.host1.run("nginx", name="web", publish="8080:80")
print("ready")""",
    "Explorer(lab)",
    "start_here.how_many",
    "start_here.which_network",
    "start_here.first",
    'lab.host1.sh("docker run -d --name first --network none nginx")',
    "lab.stop()",
)
