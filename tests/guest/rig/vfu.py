# SPDX-License-Identifier: BSD-3-Clause
"""A guest whose NVMe function is served by "holdfast emulate"."""

import os
import signal
import subprocess
import tempfile
import time

from . import qemu, tools
from .machine import Machine, Result


class Server:
    """One "holdfast emulate", which outlives the guests of a suite."""

    def __init__(self, build, suite, options):
        program = os.path.join(build, 'holdfast')
        if not os.path.exists(program):
            raise tools.Skip(f'{program} is not built')
        self.work = tempfile.mkdtemp(prefix='hf-rig.')
        self.socket = f'{self.work}/nvme.sock'
        logs = os.path.join(build, 'rig-logs')
        os.makedirs(logs, exist_ok=True)
        self.log_path = os.path.join(logs, f'{suite}-server.log')
        self.log = open(self.log_path, 'w')
        self.process = subprocess.Popen(
            [program, 'emulate', self.socket, *options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.wait_for_socket()

    def wait_for_socket(self):
        deadline = time.monotonic() + 20
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or \
                    time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(
                    'holdfast emulate does not serve: '
                    + ' '.join(open(self.log_path).read().split()[-60:]))
            time.sleep(0.02)

    def stop(self):
        """Ends it in order; what went wrong on the way, if anything."""
        problems = []
        if self.process.poll() is not None:
            problems.append('the server ended on its own, with '
                            f'{self.process.returncode}')
        else:
            self.process.send_signal(signal.SIGTERM)
            try:
                status = self.process.wait(10)
                if status != 0:
                    problems.append(f'the server ended with {status}')
            except subprocess.TimeoutExpired:
                problems.append('the server ignored SIGTERM for 10 s')
                self.process.kill()
                self.process.wait()
        self.log.close()
        with open(self.log_path, errors='replace') as f:
            tail = f.read().splitlines()[-20:]
        if problems:
            problems.append('its last words: ' + ' / '.join(tail))
        return problems


class VfuMachine(Machine):
    def __init__(self, build, kernel, suite, server):
        super().__init__(build, kernel, suite)
        self.program = qemu.vfio_user(tools.cache(build))
        self.server = server
        self.iommu = None
        self.bios = []

    def arguments(self, initramfs):
        device = ('{"driver":"vfio-user-pci","id":"v0","addr":"3.0",'
                  '"socket":{"type":"unix","path":"'
                  + self.server.socket + '"}}')
        iommu = ['-device', self.iommu] if self.iommu else []
        return [*self.program,
                # The server reads and writes the guest's memory itself.
                '-object', 'memory-backend-memfd,id=m,share=on,'
                f'size={self.memory_mib}M',
                '-machine', 'q35,memory-backend=m,accel=tcg,'
                'kernel-irqchip=split',
                '-cpu', 'max', '-smp', str(self.cpus),
                '-m', f'{self.memory_mib}M', *iommu, *self.bios,
                '-device', device,
                '-kernel', self.kernel.image, '-initrd', initramfs,
                '-append', 'console=ttyS0 quiet loglevel=0 panic=-1 '
                'rig.nobind rig.hugepages=0 iomem=relaxed '
                f'rig.kernel={self.kernel.kind} '
                f'{self.append}']

    def boot_and_kill(self, root, timeout_s, until):
        """Kills the guest when its console shows @until."""
        initramfs = f'{self.work}/initramfs.gz'
        root.write(initramfs)
        guest = qemu.Guest(self.arguments(initramfs), self.log, timeout_s)
        try:
            problems = []
            if not guest.run(until) or guest.process.poll() is not None:
                problems = [f'the guest never showed "{until}"']
            result = Result(guest, True)
            result.problems = problems
            return result
        finally:
            guest.close()


def with_server(build, suite, options, use):
    """@use of a server that must still live afterwards and end in order."""
    # A QEMU that cannot be had is a reason to skip before anything starts.
    qemu.vfio_user(tools.cache(build))
    server = Server(build, suite, options)
    result = None
    try:
        result = use(server)
    finally:
        problems = server.stop()
        if result is not None:
            result.problems += problems
    return result
