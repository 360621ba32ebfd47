"""The outside of a virtual machine: starts QEMU, tells its kernel the time, tidies up after it.

Arguments: RUN, the directory of the lab's sockets; SAVED, the directory of a saved state to
restore, or "-"; then QEMU's command line. QEMU has this program's standard input and output: they
are the agent's. This program outlives the learner's kernel, however that ends, and ends QEMU then.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

UNUSED = 300  # seconds without work after which the machine is paused
WORK = 0.05  # processor seconds a second that are work: idling engines take less
RESTORE = 120  # seconds in which a saved state is restored, or never will be
MAKE = 1800  # seconds in which one is made: minutes, on a very busy computer
NAP = 60  # seconds that it is paused at most before a look: something in it may wait for a time
LOOK = 10  # seconds from one look to the next


def take(count: int) -> bytes:
    """That many bytes of standard input, which QEMU reads from then on."""
    data = b""
    while len(data) < count:
        data += os.read(0, count - len(data)) or sys.exit("the learner went away")
    return data


def die_with_parent() -> None:
    """Have this process killed when its parent ends: PR_SET_PDEATHSIG of prctl(2)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def say(connection: socket.socket, line: bytes) -> None:
    """Send a line to QEMU, unless it has ended: then its standard error says why."""
    with contextlib.suppress(OSError):
        connection.sendall(line)


class Qemu:
    """A running QEMU and its monitor."""

    def __init__(self, command: list[str], devices: str | None) -> None:
        monitor, its_monitor = socket.socketpair()
        clock, its_clock = socket.socketpair()
        files = [its_monitor.fileno(), its_clock.fileno()]
        words = [
            *command,
            *(
                "-chardev",
                f"socket,id=monitor,fd={files[0]}",
                "-mon",
                "chardev=monitor,mode=control",
            ),
            *("-chardev", f"socket,id=clock,fd={files[1]}"),
        ]
        if devices:
            words += ["-incoming", "defer"]
        self.process = subprocess.Popen(words, pass_fds=files, preexec_fn=die_with_parent)
        for file in (its_monitor, its_clock):
            file.close()
        self.monitor = monitor
        self.clock = clock  # kept open: the guest waits at its other end
        self._heard = b""
        self.restoring, self.restored = bool(devices), False
        say(clock, b"%.3f\n" % time.time())
        self.tell("qmp_capabilities")
        if devices:
            ram_apart = {"capability": "x-ignore-shared", "state": True}
            self.tell("migrate-set-capabilities", capabilities=[ram_apart])
            self.tell("migrate-incoming", uri=f"exec:cat {shlex.quote(devices)}")

    def tell(self, command: str, **arguments: object) -> None:
        """Give an order to QEMU's monitor."""
        text = json.dumps({"execute": command, "arguments": arguments})
        say(self.monitor, text.encode() + b"\n")

    def listen(self) -> bool:
        """Take what the monitor says; False when QEMU has ended or given up."""
        try:
            data = self.monitor.recv(1 << 16)
        except ConnectionError:
            return False
        *lines, self._heard = (self._heard + data).split(b"\n")
        for message in map(json.loads, filter(None, lines)):
            if message.get("event") == "RESUME":
                self.restoring, self.restored = False, self.restoring
            if message.get("event") == "STOP" and self.restored:
                print("the virtual machine's processor stopped", file=sys.stderr)
                return False
            if "error" in message:
                print(f"QEMU refused: {message['error']['desc']}", file=sys.stderr)
                return False
        return bool(data)

    def seconds(self) -> float | None:
        """The processor time that it has taken (proc_pid_stat(5)); None where no file tells."""
        try:
            with open(f"/proc/{self.process.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(qemu: Qemu) -> str:
    """Return who has gone, "learner" or "qemu". A machine that nobody uses stands still."""
    gone = select.poll()
    gone.register(0, 0)  # POLLHUP alone, which is always told
    gone.register(qemu.monitor, select.POLLIN)
    begin = used = time.monotonic()
    last = qemu.seconds()
    while True:
        ready = dict(gone.poll(LOOK * 1000))
        if 0 in ready:
            return "learner"
        if qemu.monitor.fileno() in ready and not qemu.listen():
            return "qemu"
        if ready:
            continue
        waited = time.monotonic() - begin
        if qemu.restoring and waited > RESTORE:
            return "qemu"
        if not qemu.restoring and not qemu.restored and waited > MAKE:
            print(f"its state was not saved within {MAKE} seconds", file=sys.stderr)
            return "qemu"
        now = qemu.seconds()
        if now is None or last is None or now - last > WORK * LOOK:
            used = time.monotonic()
        last = now
        if time.monotonic() - used > UNUSED:
            qemu.process.send_signal(signal.SIGSTOP)
            again = select.poll()
            again.register(0, select.POLLIN)
            if again.poll(NAP * 1000):  # the learner has written something, or has gone
                used = time.monotonic()
            qemu.process.send_signal(signal.SIGCONT)
            last = qemu.seconds()


def main() -> int:
    """Run the machine from its start to its end; QEMU's exit status."""
    run, saved, *command = sys.argv[1:]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # only the end of the machine ends this program
    restore = saved != "-"
    os.mkdir(run, 0o700)
    try:
        if restore:
            take(int(take(8)))  # the agent's code: the saved state was made with the same
        qemu = Qemu(command, os.path.join(saved, "devices") if restore else None)
        gone = watch(qemu)
        if gone == "qemu":  # it says why, and ends; or has given up and stands still
            with contextlib.suppress(subprocess.TimeoutExpired):
                qemu.process.wait(2)
        qemu.process.kill()
        status = qemu.process.wait()
        if gone == "qemu" and qemu.restoring:
            shutil.rmtree(saved, ignore_errors=True)
            print(
                "the virtual machine's saved state could not be restored and has been removed: "
                "the next start makes a new one",
                file=sys.stderr,
            )
        return abs(status)
    finally:
        shutil.rmtree(run, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
