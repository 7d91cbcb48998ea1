# SPDX-License-Identifier: BSD-3-Clause
# Goal: Linux's own driver gets its data from the emulated controller, however
#       the machine is made: INTx, one CPU, no mappable doorbells, after a
#       guest that was killed.
# Method: write, read, compare; then look at interrupts and the kernel's log.
. /lib.sh
. /disk.sh

kind=PCI-MSI
if grep -q rig.interrupts=intx /proc/cmdline; then
	kind=IO-APIC
fi

check_function "namespace 1 appears" wait_for 20 has_disk 1
check_function "data is read as written" copy_and_compare "$(disk 1)" 4
check_function "interrupts come by $kind" interrupts "$kind"
check_function "the kernel complains of nothing" no_complaint
finish
