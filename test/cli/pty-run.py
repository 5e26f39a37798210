"""Runs a command on a pseudo-terminal of 24 rows and 80 columns: stdin is what is typed, stdout what is shown.

   python3 pty-run.py COMMAND ARGUMENT...

Exits as the command does.
"""
import fcntl
import os
import pty
import select
import struct
import sys
import termios

terminal, child_side = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(child_side, termios.TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(child_side, descriptor)
    os.execvp(sys.argv[1], sys.argv[1:])
os.close(child_side)
typed = [0]
while True:
    readable, _, _ = select.select(typed + [terminal], [], [])
    if 0 in readable:
        keys = os.read(0, 4096)
        if keys:
            os.write(terminal, keys)
        else:
            typed = []
    if terminal in readable:
        try:
            shown = os.read(terminal, 65536)
        except OSError:  # The command has gone.
            break
        if not shown:
            break
        os.write(1, shown)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
