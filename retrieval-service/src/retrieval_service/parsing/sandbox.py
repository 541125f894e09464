"""What the kernel takes from a parser process before it sees a stranger's bytes.

Each guard stands alone. Those that a kernel or a container does not offer are left out: `enter` says
which hold.

- limits: address space, core files, and a size of 0 for every file that it would write;
- landlock: no file but the interpreter's own can be opened, and no TCP port (Linux 5.13, ports 6.7);
- seccomp: no sockets, no programs, no processes or threads, nothing written, renamed or removed;
- namespace: no network interface at all, where the process may have a namespace of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_OPEN_FILES = 64

# Numbers of system calls: (x86_64, aarch64), None where there is no such call.
_FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
    "socketpair": (53, 199),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "truncate": (76, 45),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "creat": (85, None),
    "link": (86, None),
    "linkat": (265, 37),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "chown": (92, None),
    "fchownat": (260, 54),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "mount": (165, 40),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "setns": (308, 268),
    "openat2": (437, 437),
    "open_by_handle_at": (304, 265),
    "memfd_create": (319, 279),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
}
_OPEN = {"open": (2, None, 1), "openat": (257, 56, 2)}  # and which argument holds the flags
_MACHINES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}


def die_with_parent() -> None:
    """Ask Linux to end this process when the service is killed, even in the middle of a computation."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def enter(memory_bytes: int) -> list[str]:
    """Give up all that a parser does not need, for good. Returns the guards that hold."""
    guards = ["limits"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    if sys.platform != "linux":
        return guards
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
        guards.append("namespace")
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return guards
    if _landlock(libc):
        guards.append("landlock")
    if _seccomp(libc):
        guards.append("seccomp")
    return guards


def allow_processor_time(seconds: int) -> None:
    """So much from now on; more ends the process with SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _landlock(libc: ctypes.CDLL) -> bool:
    create, add, restrict = 444, 445, 446
    read_file, read_dir = 1 << 2, 1 << 3
    version = libc.syscall(create, None, 0, 1)
    if version < 1:
        return False
    # Access rights to files of the first version, then to TCP ports of the fourth.
    attributes = struct.pack("<QQ", (1 << 13) - 1, 0b11 if version >= 4 else 0)
    rules = libc.syscall(create, attributes, 16 if version >= 4 else 8, 0)
    if rules < 0:
        return False
    try:
        own = {sys.prefix, sys.base_prefix, *sys.path, "/usr/lib", "/usr/lib64", "/lib", "/lib64"}
        for folder in filter(os.path.isdir, own):
            descriptor = os.open(folder, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = struct.pack("<Qi", read_file | read_dir, descriptor)
                if libc.syscall(add, rules, 1, rule, 0) != 0:
                    return False
            finally:
                os.close(descriptor)
        return bool(libc.syscall(restrict, rules, 0) == 0)
    finally:
        os.close(rules)


def _seccomp(libc: ctypes.CDLL) -> bool:
    column, architecture = _MACHINES.get(platform.machine(), (0, 0))
    if not architecture or sys.byteorder != "little":
        return False
    program = b"".join(_filter(column, architecture))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    return bool(libc.prctl(_PR_SET_SECCOMP, 2, ctypes.c_char_p(header), 0, 0) == 0)


def _filter(column: int, architecture: int) -> list[bytes]:
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse = 0x7FFF_0000, 0x0005_0000 | 1  # EPERM
    first_argument = 16

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("<HBBI", code, if_true, if_false, value)

    steps = [
        step(load, 4),
        step(equal, architecture, 1, 0),
        step(answer, refuse),
        step(load, 0),
        step(at_least, 0x4000_0000, 0, 1),  # x32 calls have numbers of their own
        step(answer, refuse),
    ]
    for numbers in _FORBIDDEN.values():
        number = numbers[column]
        if number is not None:
            steps += [step(equal, number, 0, 1), step(answer, refuse)]
    for *numbers_of_open, argument in _OPEN.values():
        number = numbers_of_open[column]
        if number is not None:
            steps += [
                step(equal, number, 0, 4),
                step(load, first_argument + 8 * argument),
                step(any_bit, _WRITING, 0, 1),
                step(answer, refuse),
                step(answer, allow),
            ]
    return [*steps, step(answer, allow)]
