# SPDX-License-Identifier: BSD-3-Clause
"""Makes an initramfs from programs of this machine. Needs no root."""

import glob
import gzip
import lzma
import os
import re
import stat
import subprocess

from . import tools

# In the order in which a guest loads them. What they depend on is found.
VFIO_MODULES = ['irqbypass', 'vfio', 'vfio_virqfd', 'vfio_iommu_type1',
                'vfio-pci-core', 'vfio-pci']
NVME_MODULES = ['nvme-core', 'nvme']
EXT4_MODULES = ['crc32c_generic', 'ext4']


class Initramfs:
    def __init__(self):
        self.entries = {}  # path without leading slash: (mode, bytes)
        for path in ('proc', 'sys', 'dev', 'tmp', 'run', 'bin', 'mod'):
            self.directory(path)
        self.busybox()

    def directory(self, path):
        path = path.strip('/')
        if path and path not in self.entries:
            self.directory(os.path.dirname(path))
            self.entries[path] = (stat.S_IFDIR | 0o755, b'')

    def data(self, path, content, mode=0o644):
        path = path.strip('/')
        self.directory(os.path.dirname(path))
        self.entries[path] = (stat.S_IFREG | mode, content)

    def link(self, path, target):
        path = path.strip('/')
        self.directory(os.path.dirname(path))
        self.entries[path] = (stat.S_IFLNK | 0o777, target.encode())

    def file(self, source, path):
        with open(source, 'rb') as f:
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
            self.data(path, f.read(), mode)

    def program(self, source, path=None):
        """A program with the libraries and the loader that it needs."""
        self.file(source, path or f'/bin/{os.path.basename(source)}')
        done = subprocess.run(['ldd', source], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
        for line in done.stdout.splitlines():
            if 'not found' in line:
                raise RuntimeError(f'{source} lacks a library: {line}')
            match = re.match(r'\s*(?:\S+ => )?(/\S+) \(0x', line)
            if match:
                self.library(match.group(1))

    def library(self, source):
        """Libraries of a build directory go where the loader looks."""
        path = source
        if not re.match(r'(/usr)?/lib(64)?/', source):
            path = f'/lib/{os.path.basename(source)}'
        if path.strip('/') not in self.entries:
            self.file(source, path)

    def busybox(self):
        path = tools.need('busybox')[0]
        self.program(path, '/bin/busybox')
        applets = tools.output([path, '--list'], 'busybox does not run')
        for name in applets.split():
            if name != 'busybox':
                self.link(f'/bin/{name}', 'busybox')

    def modules(self, kernel, names):
        """Modules as /mod/NN-name.ko, in the order in which to load them."""
        if not kernel.modules:
            return
        known = {}
        for path in glob.glob(f'{kernel.modules}/**/*.ko*', recursive=True):
            name = os.path.basename(path).split('.ko')[0]
            known[name.replace('-', '_')] = path
        loaded = []
        for name in names:
            self.module(known, name.replace('-', '_'), loaded)

    def module(self, known, name, loaded, depth=0):
        if name in loaded or name not in known or depth > 8:
            return  # built in, or of another kernel version
        content = read_module(known[name])
        match = re.search(rb'\0depends=([^\0]*)\0', content)
        for other in (match.group(1).decode().split(',') if match else []):
            self.module(known, other.replace('-', '_'), loaded, depth + 1)
        loaded.append(name)
        self.data(f'/mod/{len(loaded):02}-{name}.ko', content)

    def write(self, path):
        with gzip.open(path, 'wb', compresslevel=1) as out:
            number = 0
            for name in sorted(self.entries):
                number += 1
                mode, content = self.entries[name]
                out.write(newc(name, number, mode, content))
            out.write(newc('TRAILER!!!', 0, 0, b''))


def read_module(path):
    with open(path, 'rb') as f:
        content = f.read()
    if path.endswith('.xz'):
        return lzma.decompress(content)
    if path.endswith('.zst'):
        return subprocess.run(['zstd', '-qdc'], input=content, check=True,
                              stdout=subprocess.PIPE).stdout
    return content


def newc(name, number, mode, content):
    """One entry of the cpio archive format that the kernel unpacks."""
    fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0,
              len(name) + 1, 0]
    head = b'070701' + b''.join(b'%08X' % f for f in fields)
    head += name.encode() + b'\0'
    head += bytes(-len(head) % 4)
    return head + content + bytes(-len(content) % 4)
