# SPDX-License-Identifier: BSD-3-Clause
"""A guest with an IOMMU and QEMU's NVMe controllers, and its verdict."""

import os
import re
import shutil
import tempfile

from . import qemu, tools

# QEMU's words for what a driver did wrong.
TRACE = re.compile(r'pci_nvme_(ub|err)\w*')


class Result:
    """What a boot came to: no problem is a pass."""

    def __init__(self, guest, finished, allowed=()):
        self.console = guest.lines
        self.stderr = guest.stderr()
        self.log = guest.log_path
        self.problems = []
        if not finished:
            self.problems.append(f'not over after {guest.timeout_s} s')
        elif guest.status is None:
            self.problems.append('the guest ended without a RIG-EXIT')
        elif guest.status != 0:
            self.problems.append(f'the suite ended with {guest.status}')
        self.traces(allowed)

    def traces(self, allowed):
        """The controller complains of nothing but what a test provokes."""
        for line in self.stderr:
            match = TRACE.search(line)
            if match and not any(a in line for a in allowed):
                self.problems.append(f"QEMU's controller: {line}")


class Machine:
    def __init__(self, build, kernel, suite):
        self.kernel = kernel
        logs = os.path.join(build, 'rig-logs')
        os.makedirs(logs, exist_ok=True)
        self.log = os.path.join(logs, f'{suite}-{kernel.kind}.log')
        self.work = tempfile.mkdtemp(prefix='hf-rig.')
        self.program = qemu.installed()
        self.devices = []
        self.append = ''
        self.cpus = 2
        self.memory_mib = 1024
        self.iommu = 'intel-iommu,intremap=on,caching-mode=on'

    def drive(self, name, options):
        """One of QEMU's block drivers: slow, failing, or without data."""
        self.device('-drive', f'id={name},if=none,{options}')

    def disk(self, name, size):
        """A backing file of this boot alone."""
        path = f'{self.work}/{name}.img'
        with open(path, 'wb') as f:
            f.truncate(int(size[:-1]) << {'M': 20, 'G': 30}[size[-1]])
        self.drive(name, f'format=raw,file={path},cache=unsafe')

    def device(self, *args):
        self.devices += args

    def subsystem(self, name):
        self.device('-device', f'nvme-subsys,id={name},nqn={name}')

    def nvme(self, name, addr, **options):
        options = {'max_ioqpairs': 8, 'msix_qsize': 16, **options}
        words = ''.join(f',{k}={v}' for k, v in options.items())
        self.device('-device', f'nvme,id={name},serial={name},addr={addr}'
                    f'{words}')

    def namespace(self, controller, nsid, drive, **options):
        options = {'logical_block_size': 4096,
                   'physical_block_size': 4096, **options}
        words = ''.join(f',{k}={v}' for k, v in options.items())
        self.device('-device', f'nvme-ns,drive={drive},bus={controller},'
                    f'nsid={nsid}{words}')

    def arguments(self, initramfs):
        return [*self.program, '-machine',
                'q35,accel=tcg,kernel-irqchip=split', '-cpu', 'max',
                '-smp', str(self.cpus), '-m', str(self.memory_mib),
                *(['-device', self.iommu] if self.iommu else []),
                *self.devices,
                '-kernel', self.kernel.image, '-initrd', initramfs,
                '-append', 'console=ttyS0 quiet loglevel=0 panic=-1 '
                'intel_iommu=on no_hash_pointers '
                f'rig.kernel={self.kernel.kind} {self.append}']

    def boot(self, root, timeout_s, allowed=(), host=None):
        initramfs = f'{self.work}/initramfs.gz'
        root.write(initramfs)
        guest = qemu.Guest(self.arguments(initramfs), self.log, timeout_s,
                           host)
        try:
            finished = guest.run()
            return Result(guest, finished, allowed)
        finally:
            guest.close()
            shutil.rmtree(self.work, ignore_errors=True)
