# SPDX-License-Identifier: BSD-3-Clause
"""What systemd does for a service, as far as our units count on it: starts it
and starts it again, and keeps the descriptors that it is sent, each file once,
for the next process (sd_notify(3), FDSTORE=1; sd_listen_fds(3))."""

import array
import ctypes
import os
import platform
import re
import shlex
import signal
import socket
import struct
import threading

KCMP = {'x86_64': 312, 'aarch64': 272}
LIBC = ctypes.CDLL(None, use_errno=True)


# Of this process to itself: all that came before has been heard.
CAUGHT_UP = b'X_CAUGHT_UP=1'
PATIENCE_S = 60


def same_file(one, other):
    """As systemd judges it: not the same inode, the same open file."""
    me = os.getpid()
    result = LIBC.syscall(KCMP[platform.machine()], me, me, 0, one, other)
    if result < 0:
        raise OSError(ctypes.get_errno(), 'kcmp')
    return result == 0


def can_compare():
    try:
        return same_file(0, 0)
    except (KeyError, OSError):
        return False


def read_unit(path):
    """Its [Service] section."""
    found = {}
    section = ''
    with open(path) as file:
        for line in file:
            line = line.strip()
            if line.startswith('['):
                section = line
            elif section == '[Service]' and '=' in line and line[0] != '#':
                name, value = line.split('=', 1)
                found[name] = value
    return found


class Service:
    """One unit. @places: what stands in the unit, and what to take for it."""

    def __init__(self, unit, instance, places, environment, log):
        self.unit = read_unit(unit)
        self.environment = dict(environment)
        self.log = log
        self.pid = 0
        self.store = []  # (name, descriptor)
        self.lock = threading.Lock()
        self.caught_up = threading.Event()
        self.cut = None  # killed after so many messages about the store
        self.deaf = False
        self.messages = 0
        self.places = {'%i': instance, **places}
        if 'EnvironmentFile' in self.unit:
            self.load(self.filled(self.unit['EnvironmentFile']))
        path = f"{places['/run/holdfast']}/notify-{os.path.basename(unit)}"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.notify.bind(path)
        self.environment['NOTIFY_SOCKET'] = path
        threading.Thread(target=self.listen, daemon=True).start()

    def filled(self, text):
        for word, place in self.places.items():
            text = text.replace(word, place)
        return text

    def load(self, path):
        with open(path) as file:
            for line in file:
                name, value = line.strip().split('=', 1)
                self.environment[name] = value

    def command(self):
        text = re.sub(r'\$\{(\w+)\}', lambda m: self.environment[m.group(1)],
                      self.filled(self.unit['ExecStart']))
        return shlex.split(text)

    # ------------------------------------------------------------ processes

    def start(self, cut=None):
        words = self.command()
        with self.lock:
            kept = list(self.store)
            self.cut, self.deaf, self.messages = cut, False, 0
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                self.become(words, kept, write_end)
            finally:
                os._exit(127)
        self.pid = pid
        os.close(write_end)
        self.output = os.fdopen(read_end)

    def become(self, words, kept, output):
        """In the child: descriptors from 3 on, as they are named."""
        high = [os.dup2(fd, 500 + i) for i, (_, fd) in enumerate(kept)]
        os.dup2(output, 1)
        os.dup2(self.log.fileno(), 2)
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i)
        os.closerange(3 + len(high), 500 + len(high))
        os.closerange(500, 500 + len(high))
        if kept:
            self.environment.update(
                LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)),
                LISTEN_FDNAMES=':'.join(name for name, _ in kept))
        os.execve(words[0], words, self.environment)

    def await_line(self, word):
        line = self.output.readline()
        if word not in line:
            with open(self.log.name) as file:
                raise AssertionError(f'{line!r} instead of {word}: '
                                     f'{file.read()[-3000:]}')

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self):
        os.waitpid(self.pid, 0)
        self.output.close()
        # As systemd does: what a process has said is read before its end is
        # noticed, and before the next one starts.
        self.caught_up.clear()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asker:
            asker.sendto(CAUGHT_UP, self.environment['NOTIFY_SOCKET'])
        assert self.caught_up.wait(PATIENCE_S), 'the listener has ended'

    def reload(self):
        words = shlex.split(self.unit['ExecReload'].replace(
            '$MAINPID', str(self.pid)))
        assert os.spawnv(os.P_WAIT, words[0], words) == 0

    # ---------------------------------------------------------------- store

    def listen(self):
        room = socket.CMSG_SPACE(4 * 64) + socket.CMSG_SPACE(12)
        while True:
            text, control, _, _ = self.notify.recvmsg(4096, room)
            fds = array.array('i')
            sender = 0
            for level, kind, data in control:
                if kind == socket.SCM_RIGHTS:
                    fds.frombytes(data[:len(data) - len(data) % 4])
                elif kind == socket.SCM_CREDENTIALS:
                    sender = struct.unpack('iii', data)[0]
            if text == CAUGHT_UP:
                self.caught_up.set()
                continue
            with self.lock:
                self.hear(dict(line.split('=', 1) for line in
                               text.decode().splitlines()), sender, list(fds))

    def hear(self, words, sender, fds):
        about_store = any(name.startswith('FDSTORE') for name in words)
        if about_store and self.cut == 0:
            os.kill(self.pid, signal.SIGKILL)
            self.cut, self.deaf = None, True
        if self.deaf:
            for fd in fds:
                os.close(fd)
            return
        if about_store and self.cut is not None:
            self.cut -= 1
        self.messages += about_store
        self.take(words, sender, fds)

    def take(self, words, sender, fds):
        """NotifyAccess=main: of the service's own process only."""
        name = words.get('FDNAME', 'stored')
        if sender == self.pid and 'FDSTOREREMOVE' in words:
            for _, fd in [kept for kept in self.store if kept[0] == name]:
                os.close(fd)
            self.store = [kept for kept in self.store if kept[0] != name]
        elif sender == self.pid and 'FDSTORE' in words:
            for fd in fds:
                if any(same_file(fd, kept) for _, kept in self.store) or \
                        len(self.store) >= self.most():
                    os.close(fd)
                else:
                    self.store.append((name, fd))
            return
        # And with that, a barrier is answered.
        for fd in fds:
            os.close(fd)

    def most(self):
        return int(self.unit.get('FileDescriptorStoreMax', 0))
