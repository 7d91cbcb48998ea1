# SPDX-License-Identifier: BSD-3-Clause
"""Finds a QEMU, and boots guests on it for a bounded time."""

import glob
import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import time

from . import tools

BASE = ['-nodefaults', '-nographic', '-no-reboot', '-serial', 'stdio',
        '-trace', 'pci_nvme_ub*', '-trace', 'pci_nvme_err*']


def installed():
    return tools.need('qemu-system-x86_64')


def vfio_user(cache):
    """A QEMU that can be a vfio-user client, 10.1 or later: the machine's
    own if it is new enough, else Debian's backport, unpacked in @cache."""
    own = tools.which('qemu-system-x86_64')
    if own and has_vfio_user([own]):
        return [own]
    root = os.path.join(cache, 'qemu-vfio-user')
    with tools.locked(cache):
        if not os.path.exists(root):
            fetch(cache, root)
    argv = unpacked(root)
    if not has_vfio_user(argv):
        raise tools.Skip('the fetched QEMU has no vfio-user-pci device')
    return argv


def has_vfio_user(argv):
    done = subprocess.run([*argv, '-device', 'vfio-user-pci,help'], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return 'vfio-user-pci options' in done.stdout


def unpacked(root):
    lib = f'{root}/usr/lib/x86_64-linux-gnu'
    argv = ['env', f'QEMU_MODULE_DIR={lib}/qemu',
            f'{root}/usr/lib64/ld-linux-x86-64.so.2',
            '--library-path', f'{lib}:{lib}/qemu',
            f'{root}/usr/bin/qemu-system-x86_64']
    for data in ('usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'):
        argv += ['-L', f'{root}/{data}']
    return argv


def fetch(cache, root):
    """Debian's backport of QEMU with all its libraries. The machine's own
    list of packages is not touched: a QEMU from a later Debian does not fit
    it."""
    tools.say('fetching QEMU with vfio-user-pci (trixie-backports)')
    with tempfile.TemporaryDirectory(dir=cache) as work:
        os.chmod(work, 0o755)
        apt = private_apt(work)
        why = 'QEMU 10.1 or later cannot be fetched'
        tools.output([*apt, 'update'], why)
        tools.output([*apt, '-y', '--download-only', '-t',
                      'trixie-backports', 'install', 'qemu-system-x86',
                      'libc6'], why)
        out = os.path.join(work, 'root')
        for name in ('bin', 'sbin', 'lib', 'lib64'):
            os.makedirs(f'{out}/usr/{name}')
            os.symlink(f'usr/{name}', f'{out}/{name}')
        debs = glob.glob(f'{work}/cache/archives/*.deb')
        if not debs:
            raise tools.Skip(f'{why}: apt-get fetched nothing')
        for deb in debs:
            unpack(deb, out)
        os.rename(out, root)


def unpack(deb, out):
    tar = subprocess.Popen(['dpkg-deb', '--fsys-tarfile', deb],
                           stdout=subprocess.PIPE)
    subprocess.run(['tar', '-x', '-C', out, '--keep-directory-symlink'],
                   stdin=tar.stdout, check=True)
    tar.stdout.close()
    if tar.wait() != 0:
        raise tools.Skip(f'{os.path.basename(deb)} cannot be unpacked')


def private_apt(work):
    """apt-get with lists, cache and state of its own, on the mirror that
    this machine uses already."""
    key = '/usr/share/keyrings/debian-archive-keyring.gpg'
    if not shutil.which('apt-get') or not os.path.exists(key):
        raise tools.Skip('QEMU 10.1 or later is not installed, and this is '
                         'no Debian system to fetch it with')
    os.makedirs(f'{work}/lists/partial')
    os.makedirs(f'{work}/cache/archives/partial')
    open(f'{work}/status', 'w').close()
    with open(f'{work}/debian.sources', 'w') as f:
        f.write(f'Types: deb\nURIs: {mirror()}\n'
                'Suites: trixie trixie-backports\nComponents: main\n'
                f'Signed-By: {key}\n')
    options = [
        f'Dir::Etc::sourcelist={work}/debian.sources',
        'Dir::Etc::sourceparts=-',
        f'Dir::State::Lists={work}/lists',
        f'Dir::State::status={work}/status',
        f'Dir::Cache={work}/cache',
        'APT::Sandbox::User=root',
        'Acquire::http::Timeout=20',
        'Acquire::Retries=1',
        'APT::Install-Recommends=0',
        'Debug::NoLocking=1']
    argv = ['apt-get', '-q']
    for option in options:
        argv += ['-o', option]
    return argv


def mirror():
    paths = ['/etc/apt/sources.list', *glob.glob('/etc/apt/sources.list.d/*')]
    for path in paths:
        try:
            with open(path) as f:
                text = f.read()
        except OSError:
            continue
        for uri in re.findall(r'^URIs:\s*(\S+)', text, re.M) + re.findall(
                r'^deb\s+(?:\[[^]]*\]\s*)?(\S+)', text, re.M):
            if re.search(r'/debian/?$', uri):
                return uri
    raise tools.Skip("no Debian mirror is in this machine's apt sources")


class Guest:
    """One boot. Its console is read line by line:
        RIG-QMP {...}      is passed on to QEMU's monitor
        RIG-HOST words...  calls @host(words) here
        RIG-EXIT n         is the result
    """

    def __init__(self, argv, log_path, timeout_s, host=None):
        self.log_path = log_path
        self.deadline = time.monotonic() + timeout_s
        self.timeout_s = timeout_s
        self.host = host
        self.lines = []
        self.status = None
        self.qmp = None
        self.work = tempfile.mkdtemp(prefix='hf-rig.')
        self.monitor = f'{self.work}/qmp'
        self.errors = open(f'{self.work}/stderr', 'w+b')
        self.log = open(log_path, 'w')
        self.process = subprocess.Popen(
            [*argv, *BASE, '-qmp', f'unix:{self.monitor},server=on,wait=off'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.errors)

    def run(self, until=None):
        """Reads the console until the guest is off, a line matches @until,
        or the time is over. True unless the time is over."""
        out = self.process.stdout
        os.set_blocking(out.fileno(), False)
        waiter = selectors.DefaultSelector()
        waiter.register(out, selectors.EVENT_READ)
        rest = getattr(self, 'rest', b'')
        while True:
            left = self.deadline - time.monotonic()
            if left <= 0:
                return False
            if not waiter.select(left):
                continue
            chunk = out.read(65536)
            if not chunk:
                self.process.wait()
                return True
            *whole, rest = (rest + chunk).split(b'\n')
            self.rest = rest
            found = False
            for line in whole:
                text = line.decode('utf-8', 'replace').rstrip('\r')
                self.line(text)
                found = found or (until and re.search(until, text))
            if found:
                return True

    def line(self, text):
        self.log.write(text + '\n')
        self.log.flush()
        self.lines.append(text)
        match = re.search(r'RIG-(QMP|HOST|EXIT) (.*)', text)
        if not match:
            return
        if match.group(1) == 'QMP':
            self.command(json.loads(match.group(2)))
        elif match.group(1) == 'HOST' and self.host:
            self.host(match.group(2).split())
        elif match.group(1) == 'EXIT':
            self.status = int(match.group(2).split()[0])

    def command(self, command):
        """One monitor command; its reply goes to the log."""
        if self.qmp is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(10)
            connection.connect(self.monitor)
            self.qmp = connection.makefile('rw')
            self.qmp.readline()
            self.command({'execute': 'qmp_capabilities'})
        self.qmp.write(json.dumps(command) + '\n')
        self.qmp.flush()
        while True:
            reply = json.loads(self.qmp.readline())
            self.log.write(f'qmp: {json.dumps(reply)}\n')
            if 'event' not in reply:
                return reply

    def stderr(self):
        self.errors.flush()
        with open(f'{self.work}/stderr', errors='replace') as f:
            return f.read().splitlines()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.log.write('\n'.join(['--- QEMU:', *self.stderr(), '']))
        self.log.close()
        self.errors.close()
        self.process.stdout.close()
        shutil.rmtree(self.work, ignore_errors=True)
