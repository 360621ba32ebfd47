"""The notebook in which the browser tries every widget: a cell for each."""

CELLS = (
    """\
from labkit import Explorer, Journey, JourneyView, Lab
from labkit.exercises.prediction import Prediction
from labkit.lessons import start_here

lab = Lab(hosts=2).start()
web = lab.host1.run("nginx", name="web", publish="8080:80")
print("ready")""",
    "Explorer(lab)",
    "start_here.how_many",
    "start_here.which_network",
    'Prediction("an address", "Which address will web have?")',
    "start_here.first",
    'JourneyView(Journey.load("nat.json"))',
    'lab.host1.sh("docker run -d --name first --network none nginx")',
    "lab.stop()",
)
