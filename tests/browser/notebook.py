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
    'guess = Prediction("an address", "Which address does web have?")\nguess',
    "start_here.first",
    'JourneyView(Journey.load("nat.json"))',
    'lab.host1.sh("docker run -d --name first --network none nginx")',
    """\
display(start_here.how_many.grade(len(lab.host1.snapshot().networks)))
display(guess.grade(lab.host1.sh("docker exec web hostname -I").strip()))""",
    'lab.host1.sh("docker rm -f first; docker run -d --name first nginx")',
    "lab.stop()",
)
