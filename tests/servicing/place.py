# SPDX-License-Identifier: BSD-3-Clause
"""A controller in a process of its own, a keeper, and what drives and asks
them: what the tests of whole processes share."""

import json
import os
import shutil
import socket
import subprocess
import time

PATIENCE_S = 60


class Place:
    def __init__(self, holdfast, directory, serve_options=()):
        self.holdfast = holdfast
        self.directory = directory
        self.serve_options = serve_options
        # The libraries of the copy below, which its path does not lead to.
        self.environment = dict(os.environ, LD_LIBRARY_PATH=os.path.dirname(
            os.path.abspath(holdfast)))
        self.runtime = os.path.join(directory, 'run')
        self.nvme = os.path.join(directory, 'nvme.sock')
        self.keeper_socket = os.path.join(directory, 'keeper.sock')
        self.log = open(os.path.join(directory, 'log'), 'w+')
        # A file of its own, that may be replaced.
        self.program = os.path.join(directory, 'holdfast')
        self.install()
        self.children = []
        self.emulator = self.start('emulate', self.nvme, '--size', '128M')
        deadline = time.monotonic() + PATIENCE_S
        while not os.path.exists(self.nvme):
            assert self.emulator.poll() is None, self.logged()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def keep(self):
        self.keeper = self.start('keep', self.keeper_socket)
        self.await_line(self.keeper, 'keeping')

    def install(self):
        """The program once more, in another file of the same name."""
        shutil.copy(self.holdfast, self.program + '.new')
        os.rename(self.program + '.new', self.program)

    def start(self, *words):
        child = subprocess.Popen([self.program, *words],
                                 stdin=subprocess.DEVNULL, env=self.environment,
                                 stdout=subprocess.PIPE, stderr=self.log,
                                 text=True)
        self.children.append(child)
        return child

    def whole_log(self):
        with open(self.log.name) as file:
            return file.read()

    def logged(self):
        return self.whole_log()[-3000:]

    def await_line(self, child, word):
        line = child.stdout.readline()
        assert word in line, f'{line!r} instead of {word}: {self.logged()}'

    def serve(self, *words):
        return self.start('serve', '--name', 'disk0', '--keeper',
                          self.keeper_socket, '--runtime-dir', self.runtime,
                          *self.serve_options, *words)

    def ask(self, verb, *words):
        """By the program itself, as a user does."""
        done = subprocess.run(
            [self.program, verb, 'disk0', '--runtime-dir', self.runtime,
             '--output', 'json', *words], capture_output=True, text=True,
            env=self.environment, timeout=PATIENCE_S * 3)
        assert done.returncode == 0, f'{verb}: {done.stderr} {self.logged()}'
        return json.loads(done.stdout)

    def status(self, runtime=None):
        """What "holdfast status" prints, from the socket itself. Whoever waits
        asks often: a process for each question would take the processors from
        what is waited for, most of all under a sanitizer."""
        path = os.path.join(runtime or self.runtime, 'disk0.sock')
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return status_once(path)
            except (OSError, ValueError) as error:
                # Killed, or replaced, before it had answered.
                assert time.monotonic() < deadline, f'{error} {self.logged()}'
            time.sleep(0.005)

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            child.wait(PATIENCE_S)
            child.stdout.close()
        self.log.close()


def status_once(path):
    """The mark of a good answer, then its text, in pieces up to the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        asker.settimeout(PATIENCE_S)
        asker.connect(path)
        asker.send(b'status')
        mark, *pieces = iter(lambda: asker.recv(1 << 16), b'')
    text = b''.join(pieces)
    assert mark == b'+', text
    return json.loads(text)


def wait_for_end(pid):
    """Of a process that may not be our child."""
    deadline = time.monotonic() + PATIENCE_S
    while os.path.exists(f'/proc/{pid}'):
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        with_state = ''
        try:
            with open(f'/proc/{pid}/stat') as file:
                with_state = file.read().rsplit(')', 1)[1].split()[0]
        except OSError:
            return
        if with_state == 'Z':
            return
        assert time.monotonic() < deadline
        time.sleep(0.002)


def await_progress(place, before, runtime=None):
    """A time in which nothing completes would test nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = place.status(runtime)
        if status['load']['completed'] > before:
            return status
        assert time.monotonic() < deadline, f'{status} {place.logged()}'
        time.sleep(0.005)


def judge(place, status, cycles):
    load = status['load']
    print(f'{cycles} cycles: {json.dumps(load)}')
    print(json.dumps(status['gaps']))
    assert status['fault'] == '', f"{status['fault']} {place.logged()}"
    assert load['issued'] == load['completed'] > 0
    for name in 'lost', 'duplicated', 'failed', 'under_way', 'blocks_wrong':
        assert load[name] == 0, f'{name}: {load} {place.logged()}'
    assert load['blocks_verified'] > 0
