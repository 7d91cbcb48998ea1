#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Goal: "holdfast emulate" and "holdfast emulate-ctl" do what they say, and
say in a sentence what is wrong with what they were given.
Method: both as processes, and a client that speaks a few bytes of vfio-user.
usage: test_cli.py HOLDFAST
"""

import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HOLDFAST = sys.argv[1]
PATIENCE_S = 20


class Server:
    """One "holdfast emulate"; stopped and looked at when the test ends."""

    def __init__(self, place, *options, control=True):
        self.socket = os.path.join(place, 'nvme.sock')
        self.control = os.path.join(place, 'ctl.sock')
        words = [HOLDFAST, 'emulate', self.socket, *options]
        if control:
            words += ['--control', self.control]
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + PATIENCE_S
        while not os.path.exists(self.socket):
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < deadline, 'no socket'
            time.sleep(0.01)

    def ctl(self, *words):
        done = subprocess.run(
            [HOLDFAST, 'emulate-ctl', self.control, *words, '--output',
             'json'], capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode != 0:
            return done.returncode, done.stderr
        return 0, json.loads(done.stdout)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        status = self.process.wait(PATIENCE_S)
        output = self.process.stdout.read()
        self.process.stdout.close()
        assert status == 0, f'{status}: {output}'
        assert not os.path.exists(self.socket)
        assert not os.path.exists(self.control)
        return output


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        self.id = 0

    def call(self, command, payload=b''):
        """The error of the reply and its payload; None at the end."""
        self.id += 1
        self.socket.sendall(struct.pack(
            '<HHIII', self.id, command, 16 + len(payload), 0, 0) + payload)
        header = self.take(16)
        if header is None:
            return None
        number, _, size, flags, error = struct.unpack('<HHIII', header)
        assert number == self.id
        return (error if flags & 0x20 else 0), self.take(size - 16)

    def take(self, size):
        data = b''
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                return None
            data += piece
        return data

    def hello(self):
        return self.call(1, struct.pack('<HH', 0, 1))

    def register(self, offset):
        error, payload = self.call(9, struct.pack('<QII', offset, 0, 4))
        assert error == 0
        return struct.unpack('<I', payload[16:])[0]

    def close(self):
        self.socket.close()


def run(*words):
    done = subprocess.run([HOLDFAST, *words], capture_output=True, text=True,
                          timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
    return done.returncode, done.stderr


def serves_and_ends_in_order(place):
    server = Server(place)
    client = Client(server.socket)
    assert client.hello()[0] == 0
    assert client.register(8) == 0x20000
    assert server.stop() == ''
    assert client.take(1) is None


def ends_on_an_interrupt_and_on_quit(place):
    Server(place).stop(signal.SIGINT)
    server = Server(place)
    assert server.ctl('quit')[0] == 0
    server.wait()


def a_file_is_the_namespace(place):
    disk = os.path.join(place, 'disk.img')
    server = Server(place, '--media', disk, '--size', '8M', '--lba', '4096')
    _, status = server.ctl('status')
    assert status['namespaces'] == [
        {'nsid': 1, 'size': 8 << 20, 'lba': 4096, 'media': 'file'}]
    server.stop()
    assert os.path.getsize(disk) == 8 << 20


def namespaces_are_as_many_as_asked_for(place):
    server = Server(place, '--media', 'memory,null', '--namespaces', '4',
                    '--size', '1M')
    _, status = server.ctl('status')
    assert [n['media'] for n in status['namespaces']] == [
        'memory', 'null', 'null', 'null']
    server.stop()


def namespaces_change_at_run_time(place):
    server = Server(place, '--size', '1M')
    assert server.ctl('add-namespace', 'size=2M', 'lba=4096')[1]['nsid'] == 2
    assert server.ctl('resize', '1', '4M')[0] == 0
    assert server.ctl('swap', '2', 'media=null', 'size=1M')[0] == 0
    _, status = server.ctl('status')
    assert [(n['nsid'], n['size'], n['media']) for n in status['namespaces']] \
        == [(1, 4 << 20, 'memory'), (2, 1 << 20, 'null')]
    assert server.ctl('remove-namespace', '2')[0] == 0
    code, sentence = server.ctl('remove-namespace', '2')
    assert code == 1 and '2' in sentence
    server.stop()


def faults_are_added_and_cleared(place):
    server = Server(place, '--fault',
                    'io-read,nth=3:status=media/281h;io-write:drop')
    assert len(server.ctl('status')[1]['faults']) == 2
    number = server.ctl('fault-add', 'io-flush:drop')[1]['id']
    assert server.ctl('fault-remove', str(number))[0] == 0
    assert server.ctl('fault-clear')[0] == 0
    assert server.ctl('status')[1]['faults'] == []
    assert server.ctl('power-fail')[0] == 0
    assert server.ctl('event', '1', '0', '2')[0] == 0
    assert server.ctl('fault-add', 'nonsense')[0] == 1
    server.stop()


def a_killed_server_leaves_a_socket_that_is_replaced(place):
    server = Server(place)
    server.process.kill()
    server.process.wait(PATIENCE_S)
    server.process.stdout.close()
    assert os.path.exists(server.socket)
    again = subprocess.Popen(
        [HOLDFAST, 'emulate', server.socket], stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            client = Client(server.socket)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert client.hello()[0] == 0
    client.close()
    again.terminate()
    assert again.wait(PATIENCE_S) == 0
    os.unlink(server.control)


def a_second_client_is_told(place):
    server = Server(place)
    first = Client(server.socket)
    assert first.hello()[0] == 0
    second = Client(server.socket)
    assert second.hello()[0] == 16
    assert second.take(1) is None
    assert first.register(8) == 0x20000
    first.close()
    server.stop()


def garbage_costs_the_connection(place):
    server = Server(place)
    client = Client(server.socket)
    client.socket.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    try:
        assert client.take(1) is None
    except ConnectionResetError:
        pass
    client = Client(server.socket)
    assert client.hello()[0] == 0
    client.close()
    assert server.ctl('status')[1]['server']['dropped'] == 1
    server.stop()


def a_kept_controller_stays(place):
    server = Server(place, '--on-disconnect', 'keep')
    client = Client(server.socket)
    client.hello()
    client.call(10, struct.pack('<QIII', 0x24, 0, 4, 0x000f000f))
    client.close()
    client = Client(server.socket)
    client.hello()
    assert client.register(0x24) == 0x000f000f
    client.close()
    server.stop()


def the_client_is_thrown_out(place):
    server = Server(place)
    assert server.ctl('disconnect')[0] == 1
    client = Client(server.socket)
    client.hello()
    assert server.ctl('request-removal')[0] == 1
    assert server.ctl('disconnect')[0] == 0
    assert client.take(1) is None
    server.stop()


def bench(server, *options):
    return subprocess.Popen(
        [HOLDFAST, 'bench', 'vfio-user:' + server.socket, '--rw', 'randrw',
         '--verify', '--size', '4M', *options], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def clients_that_are_killed_do_no_harm(place):
    chance = random.Random(1)
    server = Server(place, '--size', '16M')
    for _ in range(4):
        client = bench(server, '--time', '60')
        select.select([], [], [], chance.uniform(0.05, 0.5))
        client.kill()
        client.communicate(timeout=PATIENCE_S)
    client = bench(server, '--count', '2000')
    output, _ = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 0, output
    server.stop()


def a_server_that_is_killed_is_missed(place):
    server = Server(place, '--size', '16M')
    client = bench(server, '--time', '60')
    select.select([], [], [], 0.5)
    server.process.kill()
    server.process.wait(PATIENCE_S)
    server.process.stdout.close()
    output, _ = client.communicate(timeout=PATIENCE_S)
    assert client.returncode == 1, output
    assert server.socket in output or 'No such device' in output, output


def idle_costs_nothing(place):
    server = Server(place)

    def ticks():
        with open(f'/proc/{server.process.pid}/stat') as file:
            fields = file.read().rsplit(')', 1)[1].split()
        return int(fields[11]) + int(fields[12])

    # It may look around for a while at first: then less and less.
    client = Client(server.socket)
    client.hello()
    before = ticks()
    select.select([], [], [], 1.0)
    assert ticks() - before <= 5, ticks() - before
    client.close()
    server.stop()


def mistakes_get_a_sentence(place):
    server = Server(place)
    plain = os.path.join(place, 'plain')
    with open(plain, 'w'):
        pass
    cases = [
        (1, ['emulate', server.socket], 'another process'),
        (1, ['emulate', plain], 'not a socket'),
        (1, ['emulate', '/nowhere/at/all'], 'No such file'),
        (1, ['emulate', os.path.join(place, 'x' * 120)], 'characters'),
        (1, ['emulate', os.path.join(place, 's'), '--media', '/nowhere/d'],
         '/nowhere/d'),
        (2, ['emulate', os.path.join(place, 's'), '--media', 'a,b',
             '--on-disconnect', 'maybe'], 'maybe'),
        (1, ['emulate', os.path.join(place, 's'), '--lba', '3'], '3'),
        (1, ['emulate', os.path.join(place, 's'), '--fault', 'x'], 'x'),
        (2, ['emulate', os.path.join(place, 's'), '--no-bar-mmap',
             '--message-doorbells'], 'exclude'),
        (1, ['emulate-ctl', os.path.join(place, 's'), 'status'], 'No such'),
        (1, ['emulate-ctl', plain, 'status'], 'refused'),
        (2, ['emulate-ctl', server.control, 'dance'], 'dance'),
        (2, ['emulate-ctl', server.control, 'resize', '1'], 'size'),
        (2, ['emulate-ctl', server.control, 'resize', '1', 'big'], 'big'),
        (2, ['emulate-ctl', server.control, 'status', 'x=1'], 'x=1'),
    ]
    for code, words, part in cases:
        got, sentence = run(*words)
        assert got == code, f'{words}: {got}: {sentence}'
        assert part in sentence, f'{words}: {sentence}'
        assert sentence.count('\n') == 1, sentence
    server.stop()


TESTS = [
    serves_and_ends_in_order,
    ends_on_an_interrupt_and_on_quit,
    a_file_is_the_namespace,
    namespaces_are_as_many_as_asked_for,
    namespaces_change_at_run_time,
    faults_are_added_and_cleared,
    a_killed_server_leaves_a_socket_that_is_replaced,
    a_second_client_is_told,
    garbage_costs_the_connection,
    a_kept_controller_stays,
    the_client_is_thrown_out,
    clients_that_are_killed_do_no_harm,
    a_server_that_is_killed_is_missed,
    idle_costs_nothing,
    mistakes_get_a_sentence,
]


def main():
    failed = 0
    print(f'1..{len(TESTS)}')
    for number, test in enumerate(TESTS, 1):
        with tempfile.TemporaryDirectory(prefix='hf-cli-') as place:
            try:
                test(place)
                print(f'ok {number} {test.__name__}', flush=True)
            except Exception as error:  # each is a failure of its test
                failed += 1
                print(f'not ok {number} {test.__name__}')
                print(f'# {type(error).__name__}: {error}', flush=True)
    return 1 if failed else 0


sys.exit(main())
