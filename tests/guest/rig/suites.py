# SPDX-License-Identifier: BSD-3-Clause
"""The suites: which machine each boots, with what in it."""

import os
import re
import tempfile

from . import qemu
from .initramfs import NVME_MODULES, VFIO_MODULES, Initramfs
from .machine import Machine, Result

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def image(suite, kernel, modules):
    """What each guest has: busybox, modules, /init, and the suite."""
    root = Initramfs()
    root.file(f'{HERE}/init', '/init')
    root.file(f'{HERE}/lib.sh', '/lib.sh')
    root.file(f'{HERE}/suites/{suite}.sh', '/suite.sh')
    root.modules(kernel, modules)
    return root


def rig(build, kernel):
    machine = Machine(build, kernel, 'rig')
    machine.disk('d0', '64M')
    machine.nvme('nvme0', addr='3.0')
    machine.namespace('nvme0', 1, 'd0')
    return machine.boot(image('rig', kernel, VFIO_MODULES), timeout_s=60)


SUITES = {
    'rig': rig,
}
