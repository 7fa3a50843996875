"""Becomes the program it is given, and asks Linux for a SIGTERM when its parent dies.

`python -I -S launch.py PARENT_PID NICENESS PROGRAM ARGS…`: run as a file, imports nothing of ours, keeps its pid.
A wrapper rather than a `preexec_fn`, which runs Python between fork and exec in a process that has threads.
Source: prctl(2), PR_SET_PDEATHSIG; it survives execve and watches the thread that forked, so start from the main one.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, niceness: int, command: list[str]) -> None:
    os.nice(niceness)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error}\n")
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
