# SPDX-License-Identifier: BSD-3-Clause
# Goal: "holdfast bind" takes a function from the kernel's driver and "unbind"
#       gives it back, but never one that is in use; "list" and "doctor" tell
#       what is.
# Method: QEMU's controller, which the kernel's NVMe driver runs at first.
. /lib.sh
. /disk.sh

bdf=0000:00:03.0

driver_is() {
	[ "$(basename "$(readlink /sys/bus/pci/devices/$bdf/driver)")" = "$1" ]
}

# says STATUS WORD COMMAND...: it ends so, and its words hold WORD.
says() {
	local want=$1 word=$2 status
	shift 2

	"$@" >/tmp/says.out 2>&1
	status=$?
	cat /tmp/says.out
	[ $status -eq "$want" ] && grep -q "$word" /tmp/says.out
}

dry_run_changes_nothing() {
	says 0 vfio-pci holdfast bind $bdf --dry-run && driver_is nvme
}

# has_open PID FILE: as its standard input.
has_open() { [ "$(readlink "/proc/$1/fd/0")" = "$2" ]; }

# A process has the disk open: it is named, and the driver stays.
busy_is_refused() {
	local path pid status

	path=$(disk 1)
	sleep 100 <"$path" &
	pid=$!
	wait_for 20 has_open $pid "$path" || return 1
	says 1 "$pid" holdfast bind $bdf && driver_is nvme
	status=$?
	kill $pid
	wait $pid
	return $status
}

swap_is_refused() {
	local status

	mkswap "$(disk 1)" && swapon "$(disk 1)" || return 77
	says 1 swap holdfast bind $bdf && driver_is nvme
	status=$?
	swapoff "$(disk 1)"
	return $status
}

mounted_is_refused() {
	local status

	mkdir -p /mnt
	mkfs.ext4 -q -F "$(disk 1)" && mount -t ext4 "$(disk 1)" /mnt ||
		return 77
	says 1 /mnt holdfast bind $bdf && driver_is nvme
	status=$?
	umount /mnt
	return $status
}

bound() { says 0 . holdfast bind $bdf && driver_is vfio-pci; }

unbound() {
	says 0 . holdfast unbind $bdf && driver_is nvme &&
		wait_for 20 has_disk 1
}

no_disk() { ! has_disk 1; }

check_function "the kernel's driver has it" wait_for 20 has_disk 1
check_function "list shows it" says 0 $bdf holdfast list
check_function "identify refuses, and says how to bind" \
	says 1 "holdfast bind" holdfast id-ctrl $bdf
check_function "a dry run changes nothing" dry_run_changes_nothing
check_function "a disk that a process has open is refused" busy_is_refused
check_function "a disk that is swap is refused" swap_is_refused
check_function "a disk that is mounted is refused" mounted_is_refused
check_function "bind" bound
check_function "its disk is gone" no_disk
check_function "identify" says 0 tools holdfast id-ctrl $bdf
check_function "doctor" says 0 . holdfast doctor $bdf
check_function "list shows its driver" says 0 vfio-pci holdfast list
check_function "unbind gives it back" unbound
check_function "data is read as written" copy_and_compare "$(disk 1)" 1
check_function "bind again" bound
check_function "no such function" says 1 0000:00:1e.7 holdfast bind 0000:00:1e.7
finish
