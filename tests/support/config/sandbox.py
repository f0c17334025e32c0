"""Runs a program under the restrictions of a systemd unit that the kernel enforces and that need no systemd to set up.

    sandbox.py UNIT PROGRAM ARGUMENT…

System calls, families of sockets, no new privileges, no memory that is both written and run. What systemd builds out of
mounts and users (ProtectSystem, DynamicUser) is not tried here.
"""

import ctypes
import os
import subprocess
import sys

ALLOW, ERRNO_EPERM, EQUAL = 0x7FFF0000, 0x00050001, 4
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 38, 65, 1


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def settings(path, name):
    """What a unit gives to one of its settings, line by line."""
    with open(path, encoding="utf-8") as unit:
        return [line.split("=", 1)[1].strip() for line in unit if line.startswith(name + "=")]


def groups():
    """The sets of system calls of the systemd that is installed, as it lists them."""
    listed, members = {}, []
    said = subprocess.run(["systemd-analyze", "syscall-filter"], check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        if line.startswith("@"):
            members = listed.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            members.append(line.strip())
    return listed


def expand(name, listed):
    if not name.startswith("@"):
        return {name}
    return {call for member in listed[name] for call in expand(member, listed)}


def allowed(unit):
    listed, calls = groups(), set()
    for words in settings(unit, "SystemCallFilter"):
        named = {call for word in words.lstrip("~").split() for call in expand(word, listed)}
        calls = calls - named if words.startswith("~") else calls | named
    # systemd lets the program be started, whatever the filter says
    return calls | {"execve"}


def restrict(unit):
    seccomp = ctypes.CDLL("libseccomp.so.2")
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(ERRNO_EPERM)))
    if context.value is None:
        sys.exit("libseccomp does not work")

    def add(number, count, comparison):
        if seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(ALLOW), number, count, comparison) != 0:
            sys.exit(f"no rule for system call {number}")

    calls = allowed(unit)
    assert "socket" in calls, "the filter allows no sockets at all"
    for call in calls - {"socket"}:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            add(number, 0, None)
    import socket

    number = seccomp.seccomp_syscall_resolve_name(b"socket")
    for family in " ".join(settings(unit, "RestrictAddressFamilies")).split():
        add(number, 1, ctypes.byref(Comparison(0, EQUAL, int(getattr(socket, family)), 0)))
    if settings(unit, "MemoryDenyWriteExecute") == ["yes"]:
        # Linux 6.3 and later; systemd does the same by a filter
        libc.prctl(PR_SET_MDWE, ctypes.c_ulong(MDWE_REFUSE_EXEC_GAIN), 0, 0, 0)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0) != 0 or seccomp.seccomp_load(context) != 0:
        sys.exit("the kernel does not take the filter")


restrict(sys.argv[1])
os.execv(sys.argv[2], sys.argv[2:])
