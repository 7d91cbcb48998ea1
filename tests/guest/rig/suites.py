# SPDX-License-Identifier: BSD-3-Clause
"""The suites: which machine each boots, with what in it."""

import glob
import os

from . import keepalive, tools
from .initramfs import (EXT4_MODULES, NVME_MODULES, VFIO_MODULES,
                        Initramfs)
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
    """Functions for each role that the test programs know."""
    machine = Machine(build, kernel, 'vfio')
    late = 'driver=null-co,size=64M,read-zeroes=on,latency-ns=300000000'
    broken = ('driver=blkdebug,image.driver=null-co,image.size=64M,'
              'image.read-zeroes=on,inject-error.0.event=none,'
              'inject-error.0.iotype=read,inject-error.0.errno=5')
    null = 'driver=null-co,size=64M,read-zeroes=on'
    machine.subsystem('s0')
    machine.subsystem('s1')
    machine.disk('d0', '256M')
    machine.nvme('plain', addr='3.0', subsys='s0')
    machine.namespace('plain', 1, 'd0')
    machine.drive('d1', null)
    machine.drive('d2', null)
    machine.nvme('attach', addr='4.0', subsys='s1')
    machine.namespace('attach', 1, 'd1')
    machine.namespace('attach', 2, 'd2', shared='on', detached='on')
    machine.drive('d3', late)
    machine.nvme('late', addr='5.0')
    machine.namespace('late', 1, 'd3')
    machine.drive('d4', broken)
    machine.nvme('broken', addr='6.0')
    machine.namespace('broken', 1, 'd4')
    # Two that can be unplugged, one for each path.
    for number in (0, 1):
        machine.device('-device', f'pcie-root-port,id=port{number},'
                       f'chassis={number},slot={number},'
                       f'addr={7 + number}.0')
        machine.drive(f'h{number}', null)
        machine.nvme(f'hot{number}', addr='0.0', bus=f'port{number}')
        machine.namespace(f'hot{number}', 1, f'h{number}')

    root = image('vfio', kernel, VFIO_MODULES)
    programs(root, build)
    # The late commands that are aborted, the reads that are to fail, and
    # what the IOMMU refuses.
    return machine.boot(root, timeout_s=600,
                        allowed=('status 0x281', 'pci_nvme_err_addr_write',
                                 'pci_nvme_err_aio'))


def served(build, kernel):
    """One controller, which tells when it starts, stops and is reset."""
    machine = Machine(build, kernel, 'keepalive')
    for event in keepalive.EVENTS:
        machine.device('-trace', event)
    machine.disk('d0', '64M')
    machine.nvme('plain', addr='3.0')
    machine.namespace('plain', 1, 'd0')
    root = image('keepalive', kernel, VFIO_MODULES)
    users(root)
    root.program(built(f'{build}/holdfast'))
    result = machine.boot(root, timeout_s=600)
    result.problems += keepalive.judge(result.stderr, result.console)
    return result


def noiommu(build, kernel):
    """A machine without an IOMMU."""
    machine = Machine(build, kernel, 'noiommu')
    machine.iommu = None
    machine.append += ' rig.nobind'
    machine.subsystem('s0')
    machine.disk('d0', '256M')
    machine.nvme('plain', addr='3.0', subsys='s0')
    machine.namespace('plain', 1, 'd0')
    root = image('noiommu', kernel, VFIO_MODULES)
    programs(root, build)
    root.program(built(f'{build}/holdfast'))
    # Linux asks QEMU's controller for what it does not have.
    return machine.boot(root, timeout_s=300,
                        allowed=('pci_nvme_err_req_status',
                                 'pci_nvme_err_invalid'))


def programs(root, build):
    """The test programs that this build has."""
    names = []
    for path in sorted(glob.glob(f'{build}/tests/driver/test-any-*')) + [
            f'{build}/tests/guest/{n}' for n in GUEST_PROGRAMS]:
        if os.access(path, os.X_OK) and os.path.isfile(path):
            root.program(path)
            names.append(os.path.basename(path))
    root.data('/programs', '\n'.join(
        n[5:] for n in names if n.startswith('test-any-')).encode() + b'\n')
    if 'busy' in names:
        root.data('/etc/driver', b'')
    users(root)


def users(root):
    root.data('/etc/passwd', b'root:x:0:0::/:/bin/sh\n'
              b'user:x:1000:1000::/tmp:/bin/sh\n')
    root.data('/etc/group', b'root:x:0:\nuser:x:1000:\n')


def bench(build, kernel):
    machine = Machine(build, kernel, 'bench')
    machine.disk('d0', '256M')
    machine.nvme('plain', addr='3.0', max_ioqpairs=8)
    machine.namespace('plain', 1, 'd0')
    root = image('bench', kernel, VFIO_MODULES)
    for path in (f'{build}/holdfast', f'{build}/tests/perf/perf-open'):
        root.program(built(path))
    return machine.boot(root, timeout_s=300)


def holdfast_tools(build, kernel):
    """The kernel's own driver has the controller at first."""
    machine = Machine(build, kernel, 'tools')
    machine.append += ' rig.nobind'
    machine.disk('d0', '64M')
    machine.nvme('tools', addr='3.0')
    machine.namespace('tools', 1, 'd0')
    root = image('tools', kernel, NVME_MODULES + VFIO_MODULES + EXT4_MODULES)
    root.program(built(f'{build}/holdfast'))
    root.program(tools.need('mkfs.ext4')[0])
    # Linux asks QEMU's controller for what it does not have.
    return machine.boot(root, timeout_s=300,
                        allowed=('pci_nvme_err_req_status',
                                 'pci_nvme_err_invalid'))


def built(path):
    if not os.path.exists(path):
        raise tools.Skip(f'{path} is not built')
    return path


GUEST_PROGRAMS = ['test-interrupts', 'test-remove-request',
                  'test-vfio-refusals', 'busy']


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


VFU_MEDIA = ['--size', '128M']
TOOLS = ['nvme', 'fio', 'mkfs.ext4', 'e2fsck']

SUITES = {
    'rig': rig,
    'vfio': vfio,
    'keepalive': served,
    'noiommu': noiommu,
    'bench': bench,
    'tools': holdfast_tools,
    'vfu': vfu_suite('vfu', 'vfu', programs=TOOLS),
    'vfu-intx': vfu_suite('vfu-intx', 'vfu-data', change=vfu_intx),
    'vfu-one-cpu': vfu_suite('vfu-one-cpu', 'vfu-data', change=vfu_one_cpu),
    'vfu-no-mmap': vfu_suite('vfu-no-mmap', 'vfu-data', ['--no-bar-mmap']),
    'vfu-viommu': vfu_suite('vfu-viommu', 'vfu', change=vfu_viommu,
                            programs=TOOLS, timeout_s=300),
    'vfu-killed': vfu_killed,
}
