#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Goal: no command is lost, none is completed twice, and every block reads as
what was written last, whatever becomes of the process that drives the device.
Method: a controller in a process of its own, a keeper, "holdfast serve" with
its verified load; the process is upgraded, told to exec itself, killed with
and without a successor waiting, at random moments. Then all is read again.
With --negative-control, HOLDFAST is a program whose stores are in the wrong
order, and the test passes when that is noticed.
usage: test_processes.py HOLDFAST [--negative-control]
HOLDFAST_KILLS (60 at most by time): how often; HOLDFAST_SECONDS: at most so
long; HOLDFAST_SEED: of an earlier run.
"""

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

sys.dont_write_bytecode = True
from place import (PATIENCE_S, Place, await_progress, judge,  # noqa: E402
                   wait_for_end)

HOLDFAST = sys.argv[1]
CYCLES = int(os.environ.get('HOLDFAST_KILLS', '400'))
SECONDS = float(os.environ.get('HOLDFAST_SECONDS', '30'))
SEED = int(os.environ.get('HOLDFAST_SEED', random.randrange(1 << 32)))
LATE_S = 1.5
# With --negative-control, commands are lost. The load's deadline is when that
# is noticed; the driver's own would have the test stand still for half a minute.
NOTICED_MS = 8000
# What a successor says to a live owner.
KEEPER_MAGIC = 0x3150454546444848
KEEPER_GET = 2
KEEPER_PREVIEW = 5
KEEPER_GET_REST = 6


def kill_with_standby(place, rng, pid):
    standby = place.serve('--standby')
    place.await_line(standby, 'waiting')
    time.sleep(rng.random() * 0.05)
    os.kill(pid, signal.SIGKILL)
    place.await_line(standby, 'serving')


def kill_alone(place, rng, pid):
    time.sleep(rng.random() * 0.05)
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    place.await_line(place.serve(), 'serving')


def kill_twice(place, rng, pid):
    """The successor dies while, or soon after, it takes over."""
    os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)
    first = place.serve()
    time.sleep(rng.random() * 0.03)
    first.kill()
    first.wait()
    place.await_line(place.serve(), 'serving')


def upgrade(place, _rng, _pid):
    place.ask('upgrade')


def execute(place, _rng, pid):
    before = place.ask('status')['gaps']['executed']['count']
    os.kill(pid, signal.SIGHUP)
    await_executed(place, pid, before + 1)


def await_executed(place, pid, count):
    """So many times in all, and in place."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = place.status()
        if status['came_by'] == 'executed' and \
                status['gaps']['executed']['count'] >= count:
            break
        assert time.monotonic() < deadline, f'{status} {place.logged()}'
        time.sleep(0.005)
    assert status['pid'] == pid


def execute_in_a_row(place, rng, pid):
    """Also when it is told so while it does."""
    for _ in range(5):
        before = place.ask('status')['gaps']['executed']['count']
        os.kill(pid, signal.SIGHUP)
        time.sleep(rng.random() * 0.01)
        os.kill(pid, signal.SIGHUP)
        await_executed(place, pid, before + 1)


def execute_another_file(place, rng, pid):
    """As a package manager upgrades it: the old file is there no more."""
    place.install()
    execute(place, rng, pid)
    assert os.path.samefile(f'/proc/{pid}/exe', place.program)


def execute_nothing(place, _rng, pid):
    """The file is gone: the process goes on, and nothing of the try is left."""
    hidden = place.program + '.hidden'
    before = open_files(pid)
    reports = place.whole_log().count('No such file or directory')
    os.rename(place.program, hidden)
    for i in range(3):
        os.kill(pid, signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE_S
        while place.whole_log().count('No such file or directory') <= \
                reports + i:
            assert time.monotonic() < deadline, place.logged()
            time.sleep(0.005)
    os.rename(hidden, place.program)
    status = await_progress(place, place.ask('status')['load']['completed'])
    assert status['pid'] == pid
    deadline = time.monotonic() + PATIENCE_S
    while open_files(pid) > before:
        assert time.monotonic() < deadline, place.logged()
        time.sleep(0.005)


def execute_a_failure(place, _rng, pid):
    """A program that ends at once: as if it had been killed."""
    hidden = place.program + '.hidden'
    os.rename(place.program, hidden)
    with open(place.program, 'w') as file:
        file.write('#!/bin/sh\nexit 1\n')
    os.chmod(place.program, 0o755)
    os.kill(pid, signal.SIGHUP)
    wait_for_end(pid)
    os.rename(hidden, place.program)
    place.await_line(place.serve(), 'serving')


def open_files(pid):
    """One that has just been asked may have the client's connection yet."""
    return len(os.listdir(f'/proc/{pid}/fd'))


def upgrade_twice_at_once(place, _rng, _pid):
    """One of them has its answer from the other's new process."""
    both = [place.start('upgrade', 'disk0', '--runtime-dir', place.runtime)
            for _ in range(2)]
    for one in both:
        output, _ = one.communicate(timeout=PATIENCE_S * 3)
        assert one.returncode == 0, f'{output} {place.logged()}'


def await_keeper(place, state):
    deadline = time.monotonic() + PATIENCE_S
    while (status := place.status())['keeper_state'] != state:
        assert time.monotonic() < deadline, f'{status} {place.logged()}'
        time.sleep(0.005)


def kill_the_keeper(place, rng, pid):
    """Its owner notices, goes on, also upgraded, and has the next one."""
    place.keeper.kill()
    place.keeper.wait()
    await_keeper(place, 'gone')
    assert 'has ended' in place.logged()
    if rng.random() < 0.5:
        place.ask('upgrade')
        pid = place.ask('status')['pid']
        await_keeper(place, 'gone')
    place.keep()
    await_keeper(place, 'holding')
    kill_with_standby(place, rng, pid)


def stop_the_keeper(place, rng, pid):
    """It is there, holds what it has, and does not answer: that is told, I/O
    goes on, also of a successor, and once it answers all is as before."""
    os.kill(place.keeper.pid, signal.SIGSTOP)
    try:
        await_keeper(place, 'silent')
        assert 'does not answer' in place.logged()
        refused = subprocess.run(
            [place.program, 'stop', 'disk0', '--keepalive', '--runtime-dir',
             place.runtime], capture_output=True, text=True,
            env=place.environment, timeout=PATIENCE_S * 3)
        assert refused.returncode != 0
        assert 'does not answer' in refused.stderr, refused.stderr
        place.ask('upgrade')
        await_keeper(place, 'silent')
        status = place.ask('status')
        pid = status['pid']
        await_progress(place, status['load']['completed'])
    finally:
        os.kill(place.keeper.pid, signal.SIGCONT)
    await_keeper(place, 'holding')
    assert 'has taken' in place.logged()
    kill_with_standby(place, rng, pid)


def give_in_vain(place, _rng, pid):
    """Whoever asked for the device does not come. Meanwhile it had another
    owner, out of the keeper, which went on and died: what was saved is old."""
    request = struct.pack('<QII48s', KEEPER_MAGIC, 1, KEEPER_GET, b'disk0')
    elsewhere = place.runtime + '-too'
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
        asker.connect(os.path.join(place.runtime, 'disk0.sock'))
        asker.send(request)
        assert len(asker.recv(1024)) == 24
        other = place.start('serve', '--name', 'disk0', '--keeper',
                            place.keeper_socket, '--runtime-dir', elsewhere)
        place.await_line(other, 'serving')
        await_progress(place, place.status(elsewhere)['load']['completed'],
                       elsewhere)
        other.kill()
        other.wait()
    status = place.ask('status')
    assert status['pid'] == pid, f'{status} {place.logged()}'
    assert 'did not take over' in place.whole_log()


def relay(asker, owner, unknown):
    """Both ways, until one hangs up, or asks what the owner does not know."""
    while True:
        for source in select.select([asker, owner], [], [], PATIENCE_S)[0]:
            message, fds, _, _ = socket.recv_fds(source, 1 << 17, 250)
            known = struct.unpack_from('<QII', message.ljust(16, b'\0'))
            if not message or known == (KEEPER_MAGIC, 1, unknown):
                return
            socket.send_fds(owner if source is asker else asker, [message],
                            fds)
            for fd in fds:
                os.close(fd)


def upgrade_one_without(place, unknown):
    path = os.path.join(place.runtime, 'disk0.sock')
    real = os.path.join(place.directory, 'older.sock')
    os.rename(path, real)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(PATIENCE_S)
        successor = place.start('serve', '--name', 'disk0', '--runtime-dir',
                                place.runtime, '--successor')
        for _ in range(2):
            asker, _ = listener.accept()
            owner = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with asker, owner:
                owner.connect(real)
                relay(asker, owner, unknown)
        place.await_line(successor, 'serving')
    os.unlink(real)


def upgrade_an_older_owner(place, _rng, _pid):
    """It hangs up on a question that it does not know, and is asked another."""
    for unknown in KEEPER_PREVIEW, KEEPER_GET_REST:
        pid = place.ask('status')['pid']
        upgrade_one_without(place, unknown)
        wait_for_end(pid)


def stop_and_start(place, _rng, _pid):
    place.ask('stop', '--keepalive')
    place.await_line(place.serve(), 'serving')


def ask_late(place):
    """Who has connected may take its time: a successor may not get a processor
    for a while. An owner that hung up on it would refuse the upgrade."""
    path = os.path.join(place.runtime, 'disk0.sock')
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as late:
        late.connect(path)
        # Nobody else waits for it meanwhile.
        place.ask('status')
        ended, _, _ = select.select([late], [], [], LATE_S)
        assert not ended, 'a client that had not asked yet was hung up on'
        late.send(b'status')
        assert late.recv(1) == b'+'


WAYS = [kill_with_standby, kill_alone, kill_twice, upgrade,
        upgrade_twice_at_once, upgrade_an_older_owner, execute, execute_in_a_row,
        execute_another_file, execute_nothing, execute_a_failure,
        stop_and_start, give_in_vain, kill_the_keeper, stop_the_keeper]


def run(serve_options, seconds, cycles):
    rng = random.Random(SEED)
    done = 0
    with tempfile.TemporaryDirectory(prefix='holdfast-svc.') as directory:
        place = Place(HOLDFAST, directory, serve_options)
        try:
            place.keep()
            place.await_line(
                place.serve(f'vfio-user:{place.nvme}', '--size', '16M',
                            '--depth', '64'), 'serving')
            ask_late(place)
            end = time.monotonic() + seconds
            completed = 0
            # Each way once at least, whatever the clock says.
            while done < cycles and (time.monotonic() < end or
                                     done < len(WAYS) + 6):
                status = await_progress(place, completed)
                assert status['fault'] == '', status['fault']
                completed = status['load']['completed']
                way = WAYS[done] if done < len(WAYS) else rng.choice(WAYS)
                way(place, rng, status['pid'])
                done += 1
            await_progress(place, completed)
            status = place.ask('stop')
            judge(place, status, done)
        finally:
            place.close()


def notice():
    WAYS[:] = [kill_alone, kill_with_standby]
    try:
        run(('--timeout', str(NOTICED_MS)), SECONDS, CYCLES)
    except AssertionError as error:
        print(f'noticed: {str(error)[:600]}')
        return
    sys.exit('the stores in the wrong order went unnoticed')


print(f'HOLDFAST_SEED={SEED}', flush=True)
if '--negative-control' in sys.argv:
    notice()
else:
    run((), SECONDS, CYCLES)
