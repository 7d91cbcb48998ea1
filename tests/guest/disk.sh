# SPDX-License-Identifier: BSD-3-Clause
# For suites in which the guest's own NVMe driver runs the controller.

# disk NSID: the block device of a namespace. Its name does not tell.
disk() {
	local path

	for path in /sys/block/nvme*; do
		if [ "$(cat "$path/nsid" 2>/dev/null)" = "$1" ] &&
			[ -b "/dev/${path##*/}" ]; then
			echo "/dev/${path##*/}"
			return 0
		fi
	done
	return 1
}

has_disk() { disk "$1" >/dev/null; }

# copy_and_compare DISK MIB: random data, written and read in other sizes.
copy_and_compare() {
	dd if=/dev/urandom of=/tmp/written bs=64k count=$(($2 * 16)) || return 1
	dd if=/tmp/written of="$1" bs=64k oflag=direct || return 1
	dd if="$1" of=/tmp/read bs=16k count=$(($2 * 64)) iflag=direct ||
		return 1
	cmp /tmp/written /tmp/read
}

# What the kernel's driver complains of.
no_complaint() {
	! dmesg | grep -E 'nvme.*(timeout|abort|error|fail|invalid|reset)|DMAR.*fault'
}

# interrupts KIND: did the controller interrupt by PCI-MSI or IO-APIC?
interrupts() {
	grep nvme /proc/interrupts
	grep nvme /proc/interrupts | grep "$1" |
		awk '{ for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i }
			END { exit n == 0 }'
}
