#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Goal: the units that are shipped are right, and a service of them that is
killed, also at any moment while it hands its descriptors on, is started again and
goes on; with the keeper, and with systemd's own store in its place.
Method: their own lines, carried out by a stand-in for systemd, under the
verified load.
usage: test_units.py HOLDFAST UNITS
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from manager import Service, can_compare  # noqa: E402
from place import (PATIENCE_S, Place, await_progress,  # noqa: E402
                   judge)

HOLDFAST, UNITS = sys.argv[1:3]
SEED = int(os.environ.get('HOLDFAST_SEED', random.randrange(1 << 32)))
ROUNDS = 3


def verify_units(place):
    """What systemd itself has to say of them."""
    if not shutil.which('systemd-analyze'):
        print('no systemd-analyze: the units were not verified')
        return
    paths = []
    for name in sorted(os.listdir(UNITS)):
        path = os.path.join(place.directory, name.replace('@', '@disk0'))
        with open(os.path.join(UNITS, name)) as file:
            text = file.read()
        with open(path, 'w') as file:
            file.write(text.replace('/usr/bin/holdfast', place.program))
        paths.append(path)
    assert len(paths) == 2, paths
    done = subprocess.run(['systemd-analyze', 'verify', '--man=no', *paths],
                          capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines()
            if 'holdfast' in line]
    assert not said, said


def make_service(place, name, unit):
    places = {'/usr/bin/holdfast': place.program,
              '/run/holdfast': place.runtime,
              '/etc/holdfast': place.directory}
    return Service(unit, name, places, place.environment, place.log)


def serving_unit(place, with_store):
    """Small, or a sanitizer would take for ever; its words are the unit's."""
    path = os.path.join(place.directory, 'serve.unit')
    with open(os.path.join(UNITS, 'holdfast-serve@.service')) as file:
        text = file.read()
    line = next(line for line in text.splitlines()
                if line.startswith('ExecStart='))
    changed = line + ' --runtime-dir /run/holdfast --size 4M --depth 32'
    if with_store:
        changed = changed.replace('/run/holdfast/keeper.sock', 'systemd:')
        assert changed.count('systemd:') == 1
    with open(path, 'w') as file:
        file.write(text.replace(line, changed))
    with open(os.path.join(place.directory, 'disk0'), 'w') as file:
        file.write(f'ADDRESS=vfio-user:{place.nvme}\n')
    return path


def came_by(place, way):
    deadline = time.monotonic() + PATIENCE_S
    while (status := place.status())['came_by'] != way:
        assert time.monotonic() < deadline, f'{status} {place.logged()}'
        time.sleep(0.005)


def start_again(service, rng, place):
    """Also when it is killed once more before, or just after, it serves."""
    service.start()
    if rng.random() < 0.5:
        time.sleep(rng.random() * 0.05)
        service.kill()
        service.start()
    service.await_line('serving')
    came_by(place, 'killed')


def kill_in_each_put(place, service, is_first):
    """While a set is put: at the beginning, in the middle, and after each of
    the messages at the end, with the text; then it is started again. Before
    the first set is whole, nothing was issued, and there is nothing to go on
    with."""
    service.start()
    service.await_line('serving')
    total = service.messages
    middle = total // 2
    for cut in 0, 1, 2, middle, middle + 1, *range(total - 4, total):
        if is_first:
            place.ask('stop')
            service.wait()
        else:
            service.kill()
        service.start(cut)
        service.wait()
        service.start()
        service.await_line('serving')
        status = place.ask('status')
        assert status['came_by'] == 'killed' or \
            (is_first and status['came_by'] == 'opened'), status
        await_progress(place, status['load']['completed'])


def run(place, service, rng):
    completed = 0
    for _ in range(ROUNDS):
        for _ in range(2):
            completed = await_progress(place, completed)['load']['completed']
            service.kill()
            start_again(service, rng, place)
        completed = await_progress(place, completed)['load']['completed']
        service.reload()
        came_by(place, 'executed')
    await_progress(place, completed)
    judge(place, place.ask('stop'), ROUNDS)
    service.wait()


def refuse_upgrade(place):
    """systemd would start another one when the old process ends."""
    refused = subprocess.run(
        [place.program, 'upgrade', 'disk0', '--runtime-dir', place.runtime],
        capture_output=True, text=True, env=place.environment)
    assert refused.returncode != 0, 'a service was upgraded behind its manager'
    assert 'systemctl reload' in refused.stderr, refused.stderr


def with_keeper(place, rng):
    os.makedirs(place.runtime, exist_ok=True)
    keeper = make_service(place, '', os.path.join(
        UNITS, 'holdfast-keeper.service'))
    keeper.start()
    keeper.await_line('keeping')
    service = make_service(place, 'disk0', serving_unit(place, False))
    service.start()
    service.await_line('serving')
    refuse_upgrade(place)
    run(place, service, rng)
    keeper.kill()


def with_store(place, rng):
    os.makedirs(place.runtime, exist_ok=True)
    service = make_service(place, 'disk0', serving_unit(place, True))
    kill_in_each_put(place, service, True)
    assert len(service.store) > 4, service.store
    refuse_upgrade(place)
    service.kill()
    kill_in_each_put(place, service, False)
    run(place, service, rng)
    # Its controller was shut down: whoever comes next begins anew.
    assert service.store == [], service.store


def main():
    if not can_compare():
        print('this kernel does not compare descriptors (kcmp)')
        sys.exit(77)
    print(f'HOLDFAST_SEED={SEED}', flush=True)
    for test in with_keeper, with_store:
        with tempfile.TemporaryDirectory(prefix='holdfast-svc.') as directory:
            place = Place(HOLDFAST, directory)
            try:
                verify_units(place)
                test(place, random.Random(SEED))
            finally:
                place.close()


main()
