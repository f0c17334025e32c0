"""Runs a program under ptrace, counts its system calls by what they are about, and lets exactly one of them fail.

    calls.py HOME REPORT count -- PROGRAM ARGUMENT…
    calls.py HOME REPORT CALL OBJECT K KIND -- PROGRAM ARGUMENT…

strace counts `when=` for each thread, so one wish may strike several threads or none. Here the k-th CALL on OBJECT is
counted over the whole process, and strikes once. An OBJECT is a path below HOME with its digits made `#`, `socket` (TCP), or
`output` (standard output and error); whatever else is opened or written (libraries, /proc, wake-ups) is left alone.

KIND: an errno's name (the call is not made), `after:ERRNO` (it is made, and an error is told all the same), `short` (half of
it is made), `end` (nothing is read: the end), `kill` (SIGKILL in place of the call).

A seccomp filter stops the program only at the calls that matter. SIGTERM is passed on, the exit code is the program's, and
the program dies with this process. REPORT is a JSON object: `counts`, or `met` and the `thread` that was struck.
"""
import ctypes
import errno
import json
import os
import re
import signal
import struct
import sys

# call: (number on x86_64, where its object is)
FD, PATH, AT, MAP, NEW, CONNECT, LOCK = "fd path at map new connect lock".split()
CALLS = {
    "read": (0, FD), "write": (1, FD), "fstat": (5, FD), "pread64": (17, FD), "pwrite64": (18, FD), "writev": (20, FD),
    "recvfrom": (45, FD), "sendto": (44, FD), "sendmsg": (46, FD), "recvmsg": (47, FD), "connect": (42, CONNECT),
    "socket": (41, NEW), "fsync": (74, FD), "fdatasync": (75, FD), "ftruncate": (77, FD), "fallocate": (285, FD),
    "fcntl": (72, LOCK), "flock": (73, FD), "getdents64": (217, FD), "fchmod": (91, FD), "fchown": (93, FD),
    "mmap": (9, MAP), "open": (2, PATH), "stat": (4, PATH), "lstat": (6, PATH), "access": (21, PATH),
    "rename": (82, PATH), "mkdir": (83, PATH), "rmdir": (84, PATH), "unlink": (87, PATH), "chmod": (90, PATH),
    "statfs": (137, PATH), "fstatfs": (138, FD), "openat": (257, AT), "mkdirat": (258, AT), "newfstatat": (262, AT),
    "unlinkat": (263, AT), "renameat": (264, AT), "fchmodat": (268, AT), "faccessat": (269, AT), "renameat2": (316, AT),
    "statx": (332, AT), "faccessat2": (439, AT),
}
NAMES = {number: name for name, (number, _) in CALLS.items()}
LOCK_COMMANDS = {6, 7, 37, 38}  # F_SETLK, F_SETLKW, and those of open files
AF_INET = (2, 10)

TRACEME, CONT, SYSCALL, GETREGS, SETREGS, SETOPTIONS = 0, 7, 24, 12, 13, 0x4200
SYSGOOD, FORK, VFORK, CLONE, EXEC, SECCOMP, EXITKILL = 1, 2, 4, 8, 16, 0x80, 0x100000
EVENT_SECCOMP = 7
R10, R8, RAX, RDX, RSI, RDI, ORIG_RAX = 7, 9, 10, 12, 13, 14, 15
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=None):
    """Of a thread that has died meanwhile there is nothing to be told."""
    if libc.ptrace(request, pid, None, data) < 0 and ctypes.get_errno() != errno.ESRCH:
        raise OSError(ctypes.get_errno(), f"ptrace {request}")


def install_filter(numbers):
    """Everything is allowed; these are traced."""
    allow, trace = 0x7FFF0000, 0x7FF00000
    program = [(0x20, 0, 0, 0)] + [(0x15, len(numbers) - i, 0, n) for i, n in enumerate(numbers)]
    program += [(0x06, 0, 0, allow), (0x06, 0, 0, trace)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    descriptor = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, filter_mode, ctypes.byref(descriptor), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


class Tracer:
    def __init__(self, home, wish, program):
        self.home, self.wish = home.rstrip("/") + "/", wish
        self.counts, self.met, self.thread = {}, False, None
        self.known, self.local = set(), {}
        self.leaving = None  # (thread, registers to come back to, value to tell)
        names = CALLS if wish is None else [wish[0]]
        self.child = os.fork()
        if self.child == 0:
            libc.ptrace(TRACEME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
            install_filter([CALLS[name][0] for name in names])
            os.execv(program[0], program)
        os.waitpid(self.child, WALL)
        self.known.add(self.child)
        ptrace(SETOPTIONS, self.child, SYSGOOD | FORK | VFORK | CLONE | EXEC | SECCOMP | EXITKILL)
        signal.signal(signal.SIGTERM, self.pass_on)
        ptrace(CONT, self.child)

    def pass_on(self, *_):
        """Whoever tells it to stop may be late: it has ended by itself."""
        try:
            os.kill(self.child, signal.SIGTERM)
        except ProcessLookupError:
            pass

    def run(self):
        """Until the program has ended: its exit status."""
        while True:
            tid, status = os.waitpid(-1, WALL)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                if tid == self.child:
                    return status
                continue
            sig, event, go_on, pass_on = os.WSTOPSIG(status), status >> 16, CONT, 0
            if event == EVENT_SECCOMP:
                go_on = self.called(tid)
            elif sig == signal.SIGTRAP | 0x80:
                self.returned(tid)
            elif event == 0:
                # a new thread begins with a SIGSTOP that nobody sent
                pass_on = 0 if sig == signal.SIGSTOP and tid not in self.known else sig
            self.known.add(tid)
            ptrace(go_on, tid, pass_on)

    def called(self, tid):
        registers = (ctypes.c_ulonglong * 27)()
        ptrace(GETREGS, tid, ctypes.byref(registers))
        call = NAMES.get(registers[ORIG_RAX])
        target = call and self.object(tid, call, registers)
        if not target:
            return CONT
        key = f"{call} {target}"
        self.counts[key] = self.counts.get(key, 0) + 1
        if self.wish is None or self.met or (call, target, self.counts[key]) != self.wish[:3]:
            return CONT
        return self.strike(tid, registers, self.wish[3])

    def strike(self, tid, registers, kind):
        self.met = True
        with open(f"/proc/{tid}/comm") as comm:
            self.thread = comm.read().strip()
        if kind == "kill":
            os.kill(self.child, signal.SIGKILL)
            return CONT
        before = (ctypes.c_ulonglong * 27)(*registers)
        if kind == "short":
            registers[RDX] = max(registers[RDX] // 2, 1)
            self.leaving = (tid, before, None)
        elif kind.startswith("after:"):
            self.leaving = (tid, before, -getattr(errno, kind.removeprefix("after:")))
            return SYSCALL
        else:
            registers[ORIG_RAX] = 2**64 - 1
            registers[RAX] = (0 if kind == "end" else -getattr(errno, kind)) % 2**64
        ptrace(SETREGS, tid, ctypes.byref(registers))
        return SYSCALL if kind == "short" else CONT

    def returned(self, tid):
        if self.leaving is None or self.leaving[0] != tid:
            return
        _, before, value = self.leaving
        self.leaving = None
        registers = (ctypes.c_ulonglong * 27)()
        ptrace(GETREGS, tid, ctypes.byref(registers))
        registers[RDX] = before[RDX]
        if value is not None:
            registers[RAX] = value % 2**64
        ptrace(SETREGS, tid, ctypes.byref(registers))

    def object(self, tid, call, registers):
        """What the call is about; nothing if it does not matter."""
        where = CALLS[call][1]
        if where == NEW:
            return "socket" if registers[RDI] in AF_INET else None
        if where == CONNECT:
            family = self.memory(tid, registers[RSI], 2)
            return "socket" if family and struct.unpack("H", family)[0] in AF_INET else None
        if where == LOCK and registers[RSI] not in LOCK_COMMANDS:
            return None
        if where == PATH:
            return self.name(self.text(tid, registers[RDI]))
        if where == AT:
            path = self.text(tid, registers[RSI])
            return self.name(path) if path else self.descriptor(tid, registers[RDI])
        return self.descriptor(tid, registers[R8] if where == MAP else registers[RDI])

    def descriptor(self, tid, number):
        number &= 0xFFFFFFFF
        try:
            target = os.readlink(f"/proc/{tid}/fd/{number}")
        except OSError:
            return None
        if target.startswith("socket:"):
            return None if self.is_local(target) else "socket"
        return "output" if number in (1, 2) else self.name(target)

    def is_local(self, socket):
        """A pair of sockets within the process: how it wakes itself."""
        if socket not in self.local:
            inode = socket[8:-1]
            with open("/proc/net/unix") as table:
                self.local[socket] = any(line.split()[6] == inode for line in table if line[0] != "N")
        return self.local[socket]

    def name(self, path):
        if not (path + "/").startswith(self.home):
            return None
        path = path[len(self.home):].removesuffix(" (deleted)") or "."
        return re.sub(r"(?<=probe-)[0-9a-f]+-[0-9a-f]+|\d+T\d+\.\d+Z|[0-9a-f]{16,}|\d+", "#", path).replace(" ", "_")

    def memory(self, tid, address, length):
        try:
            with open(f"/proc/{tid}/mem", "rb", buffering=0) as memory:
                memory.seek(address)
                return memory.read(length)
        except (OSError, ValueError, OverflowError):
            return b""

    def text(self, tid, address):
        return os.fsdecode(self.memory(tid, address, 512).split(b"\0")[0])


def main():
    home, report, *wish = sys.argv[1:sys.argv.index("--")]
    if os.uname().machine != "x86_64":
        sys.exit("system calls have other numbers here: x86_64 alone")
    wish = None if wish == ["count"] else (wish[0], wish[1], int(wish[2]), wish[3])
    tracer = Tracer(home, wish, sys.argv[sys.argv.index("--") + 1:])
    status = tracer.run()
    # the same; an interpreter that is ending would die of it
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(report, "w") as file:
        json.dump({"counts": tracer.counts, "met": tracer.met, "thread": tracer.thread}, file)
    sys.exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


main()
