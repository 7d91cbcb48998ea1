# SPDX-License-Identifier: BSD-3-Clause
# Goal: the VFIO backing reaches QEMU's controller by every path the kernel has.
# Method: the programs that judge any backing, with each mode by name.
. /lib.sh

BDF=0000:00:03.0
modes="auto group"
! grep -q rig.kernel=iommufd /proc/cmdline || modes="$modes cdev"

for mode in $modes; do
	export HOLDFAST_TEST_PLAIN="vfio:$BDF,mode=$mode"
	check "any backing's tests, mode=$mode" test-any-port
	check "DMA outside is refused, mode=$mode" \
		env HOLDFAST_TEST_IOMMU=1 test-any-port
	dmesg -c >/dev/null
done
finish
