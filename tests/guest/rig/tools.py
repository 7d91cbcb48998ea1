# SPDX-License-Identifier: BSD-3-Clause
"""What the rigs need from the machine they run on. Knows no suite."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys


class Skip(Exception):
    """The rig cannot be had here; the message says why."""


def say(text):
    print(f'rig: {text}', flush=True)


# Which Debian package brings a program that the rigs run.
PACKAGES = {
    'qemu-system-x86_64': 'qemu-system-x86',
    'qemu-img': 'qemu-utils',
    'busybox': 'busybox-static',
    'nvme': 'nvme-cli',
    'fio': 'fio',
    'mkfs.ext4': 'e2fsprogs',
    'e2fsck': 'e2fsprogs',
}
SEARCH = os.environ.get('PATH', '') + ':/usr/local/sbin:/usr/sbin:/sbin'


def which(name):
    return shutil.which(name, path=SEARCH)


def need(*names):
    """The paths of programs; installs Debian's packages where that is
    possible, which it says, and skips where it is not."""
    missing = sorted({PACKAGES[n] for n in names if not which(n)})
    if missing:
        install(missing)
    paths = [which(n) for n in names]
    for name, path in zip(names, paths):
        if not path:
            raise Skip(f'{name} is not installed and package '
                       f'{PACKAGES[name]} could not be installed')
    return paths


def install(packages):
    """The packages of the "guest" group, among which these are."""
    words = ' '.join(packages)
    script = os.path.join(source_root(), 'scripts/install-deps')
    say(f'installing, for lack of {words}')
    try:
        done = subprocess.run([script, 'guest'], stdout=sys.stderr,
                              timeout=900)
    except subprocess.TimeoutExpired:
        raise Skip(f'installing {words} took more than 15 minutes')
    if done.returncode != 0:
        raise Skip(f'scripts/install-deps could not install {words}')


def output(argv, why, timeout=600, **kwargs):
    """What a command prints, or Skip with @why when it fails."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True,
                              timeout=timeout, **kwargs)
    except FileNotFoundError:
        raise Skip(f'{why}: {argv[0]} is not installed')
    except subprocess.TimeoutExpired:
        raise Skip(f'{why}: {argv[0]} took more than {timeout} s')
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise Skip(f'{why}: {last}')
    return done.stdout


def source_root():
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.dirname(os.path.dirname(os.path.dirname(here)))


def cache(build):
    """Where fetched packages are kept from one run to the next."""
    path = os.environ.get('HOLDFAST_RIG_CACHE',
                          os.path.join(build, 'rig-cache'))
    os.makedirs(path, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(directory):
    """One process at a time fills a cache; the others find it filled."""
    with open(os.path.join(directory, 'lock'), 'w') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield
