# SPDX-License-Identifier: BSD-3-Clause
"""The suites: which machine each boots, with what in it."""

import os

from . import tools
from .initramfs import NVME_MODULES, VFIO_MODULES, Initramfs
from .machine import Machine
from .vfu import VfuMachine, with_server

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def image(suite, kernel, modules):
    """What each guest has: busybox, modules, /init, and the suite."""
    root = Initramfs()
    root.file(f'{HERE}/init', '/init')
    for name in ('lib.sh', 'disk.sh'):
        root.file(f'{HERE}/{name}', f'/{name}')
    root.file(f'{HERE}/suites/{suite}.sh', '/suite.sh')
    root.modules(kernel, modules)
    return root


def rig(build, kernel):
    machine = Machine(build, kernel, 'rig')
    machine.disk('d0', '64M')
    machine.nvme('nvme0', addr='3.0')
    machine.namespace('nvme0', 1, 'd0')
    return machine.boot(image('rig', kernel, VFIO_MODULES), timeout_s=60)


def vfio(build, kernel):
    machine = Machine(build, kernel, 'vfio')
    machine.disk('d0', '64M')
    machine.nvme('plain', addr='3.0')
    machine.namespace('plain', 1, 'd0')
    root = image('vfio', kernel, VFIO_MODULES)
    root.program(f'{build}/tests/driver/test-any-port')
    return machine.boot(root, timeout_s=120)


def vfu_suite(name, script, options=(), change=None, programs=(),
              timeout_s=120):
    """A suite on a vfio-user server: @script in the guest, @options for the
    server, @change for what is special about the machine."""
    def run(build, kernel):
        root = image(script, kernel, NVME_MODULES)
        for program in tools.need(*programs):
            root.program(program)

        def boot(server):
            machine = VfuMachine(build, kernel, name, server)
            if change:
                change(machine)
            return machine.boot(root, timeout_s)
        return with_server(build, name, [*VFU_MEDIA, *options], boot)
    return run


def vfu_intx(machine):
    machine.append += ' pci=nomsi rig.interrupts=intx'


def vfu_one_cpu(machine):
    machine.cpus = 1


def vfu_viommu(machine):
    """Each 4 KiB page that the guest maps becomes a region of its own."""
    machine.iommu = 'intel-iommu,intremap=on,caching-mode=on'
    machine.append += ' intel_iommu=on iommu=nopt'


def vfu_killed(build, kernel):
    """A guest dies while it writes; the next one finds a controller."""
    writing = image('vfu-writing', kernel, NVME_MODULES)
    compare = image('vfu-data', kernel, NVME_MODULES)

    def boot(server):
        first = VfuMachine(build, kernel, 'vfu-killed-first', server)
        killed = first.boot_and_kill(writing, 60, 'RIG-WRITING')
        if killed.problems:
            return killed
        second = VfuMachine(build, kernel, 'vfu-killed', server)
        return second.boot(compare, 60)
    return with_server(build, 'vfu-killed', VFU_MEDIA, boot)


VFU_MEDIA = ['--media', 'size=128M']
TOOLS = ['nvme', 'fio', 'mkfs.ext4', 'e2fsck']

SUITES = {
    'rig': rig,
    'vfio': vfio,
    'vfu': vfu_suite('vfu', 'vfu', programs=TOOLS),
    'vfu-intx': vfu_suite('vfu-intx', 'vfu-data', change=vfu_intx),
    'vfu-one-cpu': vfu_suite('vfu-one-cpu', 'vfu-data', change=vfu_one_cpu),
    'vfu-no-mmap': vfu_suite('vfu-no-mmap', 'vfu-data', ['--no-mmap']),
    'vfu-viommu': vfu_suite('vfu-viommu', 'vfu', change=vfu_viommu,
                            programs=TOOLS, timeout_s=300),
    'vfu-killed': vfu_killed,
}
