# SPDX-License-Identifier: BSD-3-Clause
# Goal: programs that were not written here accept the emulated controller.
# Method: Linux's driver, nvme-cli, e2fsprogs and fio use it, in one boot.
. /lib.sh
. /disk.sh

# What a controller must say of itself, as nvme-cli prints it.
identify_controller() {
	nvme id-ctrl /dev/nvme0 >/tmp/id || return 1
	grep -E '^(vid|sn|mn|fr|mdts|nn|oncs|ver|sqes|cqes|subnqn)' /tmp/id
	grep -q '^sqes *: 0x66' /tmp/id && grep -q '^cqes *: 0x44' /tmp/id &&
		grep -q '^nn *: [1-9]' /tmp/id
}

identify_namespace() {
	nvme id-ns "$1" >/tmp/id || return 1
	cat /tmp/id
	grep -q 'in use' /tmp/id
}

lists_namespace() {
	nvme list >/tmp/list && cat /tmp/list && grep -q "$1" /tmp/list
}

controller_is_live() {
	[ "$(cat /sys/class/nvme/nvme0/state)" = live ]
}

# The reset is asked for through the kernel's driver, which then sets the
# controller up again from nothing.
reset_keeps_data() {
	dd if=/dev/urandom of=/tmp/before bs=64k count=4 || return 1
	dd if=/tmp/before of="$1" bs=64k oflag=direct || return 1
	nvme reset /dev/nvme0 || return 1
	wait_for 20 controller_is_live || return 1
	dd if="$1" of=/tmp/after bs=64k count=4 iflag=direct || return 1
	cmp /tmp/before /tmp/after
}

check_function "namespace 1 appears" wait_for 20 has_disk 1
disk=$(disk 1)
check_function "data is read as written" copy_and_compare "$disk" 4
check_function "nvme id-ctrl" identify_controller
check_function "nvme id-ns" identify_namespace "$disk"
check "nvme smart-log" nvme smart-log /dev/nvme0
check "nvme error-log" nvme error-log /dev/nvme0
check "nvme show-regs" nvme show-regs /dev/nvme0
check_function "nvme list" lists_namespace "$disk"
check_function "nvme reset keeps the data" reset_keeps_data "$disk"
check_function "data is read as written after the reset" \
	copy_and_compare "$disk" 4
check "mkfs.ext4" mkfs.ext4 -q -F "$disk"
check "e2fsck finds nothing" e2fsck -f -n "$disk"
check "fio verifies what it wrote" fio --name=verify --filename="$disk" \
	--rw=randwrite --bs=4k --size=16m --ioengine=libaio --iodepth=32 \
	--direct=1 --verify=crc32c --do_verify=1 --verify_fatal=1
check_function "interrupts come by PCI-MSI" interrupts PCI-MSI
finish
