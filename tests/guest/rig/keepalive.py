# SPDX-License-Identifier: BSD-3-Clause
"""What became of the one controller of a machine, as QEMU tells it: neither
the kernel nor a driver can hide a reset from that."""

import re

EVENTS = {
    'pci_nvme_mmio_start_success': 'S',
    'pci_nvme_mmio_shutdown_set': 'D',
    'pci_nvme_mmio_stopped': 'T',
    'pci_nvme_pci_reset': 'R',
}

# For each path, in the order of the suite: killed with no keeper, so the
# kernel resets the function at once, and again when it is opened next; then
# two that end in order after all that was done to them, and nothing between
# their start and that.
LIVES = 'SRR+' 'SDTR+' 'SDTR+'


def judge(stderr, console):
    """Problems, in a list."""
    told = ''.join(letter for line in stderr
                   for event, letter in EVENTS.items() if event in line)
    paths = sum('with no keeper' in line for line in console)
    # What the firmware does comes first.
    if paths and re.search(f'({LIVES}){{{paths}}}$', told):
        return []
    return [f'the controller was started (S), shut down (D), stopped (T) and '
            f'reset (R) as {told}, which does not end in {paths} times {LIVES}']
