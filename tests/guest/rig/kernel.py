# SPDX-License-Identifier: BSD-3-Clause
"""The guest's kernels: one with iommufd that lies at hand, and Debian's."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

from . import tools

IOMMUFD_NAME = 'shared/rig/bzImage-6.12-iommufd'

# What the tests load, with what those modules may depend on.
MODULE_DIRS = ['arch/x86/crypto', 'arch/x86/kvm', 'block', 'crypto',
               'drivers/iommu', 'drivers/nvme', 'drivers/pci',
               'drivers/vfio', 'drivers/virtio', 'fs', 'lib', 'virt']
UNPACKED = 2  # counted up when that changes: a cache may be older


class Kernel:
    def __init__(self, kind, image, modules=None):
        self.kind = kind        # "iommufd" or "debian"
        self.image = image      # what QEMU boots
        self.modules = modules  # the directory "kernel" of its modules

    def __str__(self):
        return f'{self.kind} ({self.image})'


def find(kind, build):
    if kind == 'iommufd':
        return iommufd()
    if kind == 'debian':
        return debian(tools.cache(build))
    # "any": the one that boots quicker, where there is a choice.
    try:
        return iommufd()
    except tools.Skip:
        return debian(tools.cache(build))


def iommufd():
    named = os.environ.get('HOLDFAST_RIG_KERNEL')
    if named:
        if os.path.exists(named):
            return Kernel('iommufd', named)
        raise tools.Skip(f'HOLDFAST_RIG_KERNEL names {named}, '
                         'which does not exist')
    for root in checkouts():
        path = os.path.join(os.path.dirname(root), IOMMUFD_NAME)
        if os.path.exists(path):
            return Kernel('iommufd', path)
    raise tools.Skip(
        'no kernel with iommufd: no packaged Debian kernel has it; build '
        'one and name it in HOLDFAST_RIG_KERNEL, or put it at '
        f'../{IOMMUFD_NAME}')


def checkouts():
    """This tree, and the one whose linked work tree it may be."""
    root = tools.source_root()
    roots = [root]
    done = subprocess.run(
        ['git', '-C', root, 'rev-parse', '--path-format=absolute',
         '--git-common-dir'],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode == 0:
        roots.append(os.path.dirname(done.stdout.strip()))
    return roots


def debian(cache):
    package = debian_package()
    root = os.path.join(cache, f'{package}.{UNPACKED}')
    with tools.locked(cache):
        if not os.path.exists(root):
            fetch(package, cache, root)
    images = glob.glob(f'{root}/boot/vmlinuz-*')
    modules = glob.glob(f'{root}/lib/modules/*/kernel')
    if len(images) != 1 or len(modules) != 1:
        raise tools.Skip(f'package {package} holds no kernel where one '
                         'was expected')
    return Kernel('debian', images[0], modules[0])


def debian_package():
    why = "Debian's kernel package cannot be looked up"
    text = tools.output(['apt-cache', 'depends', 'linux-image-amd64'], why)
    match = re.search(r'Depends: (linux-image-[0-9]\S*-amd64)\b', text)
    if not match:
        raise tools.Skip(f'{why}: linux-image-amd64 depends on no kernel; '
                         'is this Debian, and did apt-get update run?')
    return match.group(1)


def fetch(package, cache, root):
    tools.say(f'fetching package {package}')
    with tempfile.TemporaryDirectory(dir=cache) as work:
        os.chmod(work, 0o755)
        tools.output(['apt-get', '-q', '-o', 'APT::Sandbox::User=root',
                      '-o', 'Acquire::http::Timeout=20', 'download', package],
                     f'package {package} cannot be fetched', cwd=work)
        deb = glob.glob(f'{work}/*.deb')[0]
        out = os.path.join(work, 'root')
        os.mkdir(out)
        wanted = ['./boot/vmlinuz-*'] + [
            f'./lib/modules/*/kernel/{d}/*' for d in MODULE_DIRS]
        unpack(deb, out, wanted)
        os.rename(out, root)
    for old in glob.glob(os.path.join(cache, 'linux-image-*')):
        if old != root:
            shutil.rmtree(old, ignore_errors=True)


def unpack(deb, out, wanted):
    tar = subprocess.Popen(['dpkg-deb', '--fsys-tarfile', deb],
                           stdout=subprocess.PIPE)
    done = subprocess.run(['tar', '-x', '-C', out, '--wildcards', *wanted],
                          stdin=tar.stdout, stderr=subprocess.DEVNULL)
    tar.stdout.close()
    # A pattern without a match is no failure: directories come and go
    # with kernel versions, and what is missing shows when it is loaded.
    if tar.wait() != 0 or done.returncode not in (0, 2):
        raise tools.Skip(f'{os.path.basename(deb)} cannot be unpacked')
