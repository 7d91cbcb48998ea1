# SPDX-License-Identifier: BSD-3-Clause
# Goal: the rig itself is what the other suites believe it to be.
# Method: look at what the guest's kernel offers.
. /lib.sh

bound() {
	[ "$(basename "$(readlink /sys/bus/pci/devices/$1/driver)")" = vfio-pci ]
}

group_node() {
	local group

	group=$(basename "$(readlink /sys/bus/pci/devices/$1/iommu_group)")
	[ -c "/dev/vfio/$group" ]
}

cdev_node() {
	local name

	name=$(ls "/sys/bus/pci/devices/$1/vfio-dev") || return 1
	[ -c "/dev/vfio/devices/$name" ]
}

check_function "the function is vfio-pci's" bound 0000:00:03.0
check_function "its group has a device node" group_node 0000:00:03.0
if grep -q rig.kernel=iommufd /proc/cmdline; then
	check_function "it has a character device" cdev_node 0000:00:03.0
	check "iommufd is there" test -c /dev/iommu
fi
check "there are huge pages" grep -q 'HugePages_Total: *64' /proc/meminfo
finish
