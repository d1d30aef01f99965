"""What the worker gives up before it opens a stranger's file: the disk, the network, other programs, other processes.

Linux only, by plain system calls: what a kernel or a container does not allow is left out and told (`python -m bot
doctor`, SECURITY.md). Nothing here can be taken back by the process that called it.

Sources: landlock(7), seccomp(2), prctl(2) of man-pages 6.9; <linux/landlock.h>, <linux/seccomp.h>, <linux/filter.h>
of Linux 6.12; system call numbers from arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MAX_MEMORY_BYTES = 2 * 1024**3
"""Address space: a 120-megapixel picture needs 480 MB decoded, and the local speech model more than it ever touches."""

MAX_FILES = 64
MAX_MORE_TASKS = 32
"""Threads and processes beside those that the user has already."""

GUARDS = ("memory", "files written", "open files", "processes", "killed first", "dies with the bot", "disk", "programs")
"""All that `confine` can report, in the words of the report."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
_LANDLOCK_PATH_BENEATH = 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""ABI version -> every right over files it knows; all are taken away, reading is given back by path."""
_NET_RIGHTS, _SCOPES = 0b11, 0b11
"""TCP bind and connect (ABI 4); abstract sockets and signals out of the sandbox (ABI 6)."""

_SYSTEM = (
    *("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime"),
    *("/dev/null", "/dev/urandom", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)
"""What Python and the readers' libraries look at. None of it is anybody's own."""

_FOR_PROGRAMS = ("/usr/bin", "/usr/local/bin")

_NUMBERS: Mapping[str, Mapping[str, int]] = {
    "x86_64": {
        "socket": 41, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101, "mount": 165,
        "tkill": 200, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
        "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321,
        "execveat": 322, "userfaultfd": 323, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "pidfd_send_signal": 424,
        "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438,
    },
    "aarch64": {
        "mount": 40, "unshare": 97, "ptrace": 117, "kill": 129, "tkill": 130, "rt_sigqueueinfo": 138, "socket": 198,
        "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221, "rt_tgsigqueueinfo": 240,
        "perf_event_open": 241, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
        "process_vm_writev": 271, "bpf": 280, "execveat": 281, "userfaultfd": 282, "pidfd_send_signal": 424,
        "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438,
    },
}  # fmt: skip
_AUDIT = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_PROGRAMS = ("execve", "execveat", "fork", "vfork")
_CLONE_THREAD = 0x10000
_X32 = 0x4000_0000
_ALLOW, _KILL, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # classic BPF


def confine(reads: Sequence[str], *, programs: bool, parent: int = 0) -> list[str]:
    """Give up what a reader of files does not need, and return which of `GUARDS` hold.

    Args:
        reads: Folders that may be read beside Python's own, the system's libraries and our code.
        programs: Whether this worker starts a program (tesseract) of the system's.
        parent: Whose death ends this process too; 0 for nobody's.
    """
    if not sys.platform.startswith("linux"):
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    steps: Mapping[str, Callable[[], bool]] = {
        "memory": lambda: _limit("RLIMIT_AS", MAX_MEMORY_BYTES),
        "files written": lambda: _limit("RLIMIT_FSIZE", 0) and _limit("RLIMIT_CORE", 0),
        "open files": lambda: _limit("RLIMIT_NOFILE", MAX_FILES),
        "processes": lambda: _limit("RLIMIT_NPROC", _tasks_of_user() + MAX_MORE_TASKS),
        "killed first": _volunteer,
        "dies with the bot": lambda: _die_with(libc, parent),
        # Nothing is gained by a set-user-id program, and the next two are allowed to everybody.
        "disk": lambda: _unprivileged(libc) and _close_disk(libc, reads, programs=programs),
        "programs": lambda: _unprivileged(libc) and _close_kernel(libc, programs=programs),
    }
    return [guard for guard, step in steps.items() if _holds(step)]


def hide_memory() -> bool:
    """Keep this process's environment and memory from every other process of the same user; tell whether it held."""
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)


def die_with_parent() -> None:
    """For a program that a worker starts: it does not outlive the worker."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def allow_seconds(seconds: int) -> None:
    """Let this process use so many more seconds of a processor; past them the kernel ends it."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))


def _holds(step: Callable[[], bool]) -> bool:
    try:
        return step()
    except (OSError, ValueError, AttributeError):  # not on this kernel, or not allowed in this container
        return False


def _limit(name: str, value: int) -> bool:
    import resource

    which = getattr(resource, name)
    _, hard = resource.getrlimit(which)
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (most, most))
    return True


def _tasks_of_user() -> int:
    """Threads of all processes of this user: what RLIMIT_NPROC counts."""
    own, found = os.getuid(), 0
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and process.stat().st_uid == own:
                found += sum(1 for _ in (process / "task").iterdir())
        except OSError:  # it ended meanwhile
            continue
    return found


def _volunteer() -> bool:
    Path("/proc/self/oom_score_adj").write_text("1000")
    return True


def _die_with(libc: ctypes.CDLL, parent: int) -> bool:
    if not parent:
        return False
    done = bool(libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0) == 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(0)
    return done


def _unprivileged(libc: ctypes.CDLL) -> bool:
    return bool(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def _readable(reads: Sequence[str], *, programs: bool) -> list[str]:
    """Existing paths: Python's folders, the system's libraries, our own code (not the folder it lies in: `.env` and
    `data/` may be its neighbours)."""
    packages = [path for path in sys.path if path.rstrip("/").endswith(("site-packages", "dist-packages"))]
    code = str(Path(__file__).resolve().parents[1])
    own = [f"{sys.base_prefix}/lib", f"{sys.prefix}/lib", *packages, code]
    wanted = [*_SYSTEM, *(_FOR_PROGRAMS if programs else ()), *own, *reads]
    return [path for path in dict.fromkeys(map(os.path.realpath, wanted)) if os.path.exists(path)]


def _close_disk(libc: ctypes.CDLL, reads: Sequence[str], *, programs: bool) -> bool:
    abi = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if abi < 1:
        return False
    handled = _FS_RIGHTS[min(abi, max(_FS_RIGHTS))]
    head = struct.pack("<Q", handled)
    if abi >= 4:
        head += struct.pack("<Q", _NET_RIGHTS)
    if abi >= 6:
        head += struct.pack("<Q", _SCOPES)
    ruleset = libc.syscall(_LANDLOCK_CREATE, head, len(head), 0)
    if ruleset < 0:
        return False
    try:
        for path in _readable(reads, programs=programs):
            allowed = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0) | (_EXECUTE if programs else 0)
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = struct.pack("<Qi", allowed, opened)
                if libc.syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0) != 0:
                    return False
            finally:
                os.close(opened)
        return bool(libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _close_kernel(libc: ctypes.CDLL, *, programs: bool) -> bool:
    """No sockets, no looking into other processes, no signals to them; without *programs* no new processes either."""
    machine = platform.machine()
    numbers = _NUMBERS.get(machine)
    if numbers is None:
        return False
    code = _filter(numbers, _AUDIT[machine], programs=programs)
    steps = ctypes.create_string_buffer(b"".join(code))
    program = struct.pack("@HP", len(code), ctypes.addressof(steps))
    set_filter, mode_filter = 22, 2
    return bool(libc.prctl(set_filter, mode_filter, program, 0, 0) == 0)


def _filter(numbers: Mapping[str, int], audit: int, *, programs: bool) -> list[bytes]:
    """The filter as classic BPF: a word of the call's description is loaded, compared, and a verdict returned."""
    refused = [name for name in numbers if name not in ("clone", "clone3", *_PROGRAMS)]
    if not programs:
        refused += [name for name in _PROGRAMS if name in numbers]
    code = [
        _step(_LOAD, 4),  # the architecture
        _step(_EQUAL, audit, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, 0),  # the call's number
        _step(_AT_LEAST, _X32, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for name in refused:
        code += [_step(_EQUAL, numbers[name], 0, 1), _step(_RETURN, _ERRNO | _EPERM)]
    if not programs:
        # Its flags lie in memory, where no filter can read them: the C library falls back to clone.
        code += [_step(_EQUAL, numbers["clone3"], 0, 1), _step(_RETURN, _ERRNO | _ENOSYS)]
        # A thread is allowed, a process is not.
        code += [
            _step(_EQUAL, numbers["clone"], 0, 3),
            _step(_LOAD, 16),  # the lower half of the first argument
            _step(_ANY_BIT, _CLONE_THREAD, 1, 0),
            _step(_RETURN, _ERRNO | _EPERM),
        ]
    return [*code, _step(_RETURN, _ALLOW)]


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", operation, if_true, if_false, value)
