"""A user namespace with one id only: the calls that change owners succeed and do nothing.

An ordinary user without subordinate ids (subuid(5)) is root in a user namespace where no other user
exists: chown(2) to one, and becoming one, fail with EINVAL (user_namespaces(7)). Package scripts,
servers and containers do both. A seccomp filter (seccomp(2)) answers them with success instead:
every file belongs to root, every program runs as root, and nothing else differs.

Run as a script it executes the command that it is given under this filter.
"""

import ctypes
import os
import platform
import struct
import sys

# AUDIT_ARCH of linux/audit.h and the calls' numbers: chown, fchown, lchown, fchownat, setuid,
# setgid, setreuid, setregid, setgroups, setresuid, setresgid, setfsuid, setfsgid.
CALLS = {
    "x86_64": (0xC000003E, (92, 93, 94, 260, 105, 106, 113, 114, 116, 117, 119, 122, 123)),
    "aarch64": (0xC00000B7, (55, 54, 146, 144, 145, 143, 159, 147, 149, 151, 152)),
}
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # of classic BPF: linux/bpf_common.h
ALLOW, SUCCEED = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ERRNO with errno 0
NUMBER, ARCHITECTURE = 0, 4  # offsets in struct seccomp_data


def program(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter for a processor as (code, jump if true, jump if false, operand) each."""
    architecture, numbers = CALLS[machine]
    tests = [(JUMP_IF_EQUAL, len(numbers) - n, 0, call) for n, call in enumerate(numbers)]
    return [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, ALLOW),
        (LOAD, 0, 0, NUMBER),
        *tests,
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, SUCCEED),
    ]


def is_alone() -> bool:
    """Whether this process is in a user namespace with one id: /proc/self/uid_map."""
    with open("/proc/self/uid_map") as file:
        return sum(int(line.split()[2]) for line in file) == 1


def pretend() -> None:
    """Install the filter for this process and all that it starts; OSError if the kernel refuses."""
    lines = program(platform.machine())
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    filter_ = Program(len(lines), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no seccomp filter for a lone user id")


if __name__ == "__main__":
    pretend()
    os.execvp(sys.argv[1], sys.argv[1:])
