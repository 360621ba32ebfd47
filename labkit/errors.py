"""Every error that labkit raises on purpose.

The whole tree::

    LabError                     the root: catch this to catch them all
    ├── UsageError               a wrong argument: Lab(hosts=0), an unknown host or image name
    ├── MachineError             no machine can boot here, or it went away
    │   ├── ImageError           the machine image is missing and could not be built
    │   └── LabStopped           the lab was used before start() or after stop()
    ├── EngineError              a lab host's Docker Engine does not answer
    ├── CommandError             a command on a lab host ended with a non-zero status
    └── SnapshotError            JSON that is not a snapshot or a journey

A message says in one sentence what was seen and what to do about it.
"""


class LabError(Exception):
    """The root of labkit's errors.

    In a notebook an error of this tree shows as its own sentence, without the traceback: the
    learner's mistake is in the sentence, not in labkit's stack.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(LabError):
    """An argument that cannot be right."""


class MachineError(LabError):
    """No machine can boot here, or the machine went away."""


class ImageError(MachineError):
    """The machine image is missing and could not be built."""


class LabStopped(MachineError):
    """The lab was used before it was started or after it was stopped."""


class EngineError(LabError):
    """The Docker Engine of a lab host does not answer."""


class CommandError(LabError):
    """A command on a lab host ended with a non-zero exit status.

    Attributes:
        command: the shell text that ran.
        status: its exit status; 128 + N when signal N ended it, as a shell reports it.
        stdout: what it wrote to standard output.
        stderr: what it wrote to standard error.
    """

    def __init__(self, host: str, command: str, status: int, stdout: str, stderr: str) -> None:
        self.host, self.command, self.status = host, command, status
        self.stdout, self.stderr = stdout, stderr
        last = (stderr.strip() or stdout.strip() or "it printed nothing").splitlines()[-1]
        super().__init__(f"{command.strip()!r} on {host} ended with status {status}: {last}")


class SnapshotError(LabError):
    """JSON that is not a snapshot or a journey."""
