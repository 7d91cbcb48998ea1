# SPDX-License-Identifier: BSD-3-Clause
# Goal: the driver runs QEMU's controller through this kernel's VFIO: by group
#       and type1, and by character device and iommufd where there is one.
# Method: the same programs for each path, in one boot, on functions that are
#         there for them: see rig/suites.py.
. /lib.sh

paths=group
if [ -c /dev/iommu ]; then
	paths='group cdev'
fi

# A process that is killed leaves a device that the next one can run.
killed_and_restarted() {
	local round pid

	for round in 1 2 3; do
		busy "$1" >/tmp/busy.out 2>&1 &
		pid=$!
		wait_for 20 grep -q busy /tmp/busy.out || {
			cat /tmp/busy.out
			kill -9 $pid
			return 1
		}
		kill -9 $pid
		wait $pid
		timeout 30 busy "$1" 3 || return 1
	done
}

# An ordinary user, who owns the device file and may lock 64 MiB.
as_user() {
	local file

	for file in /dev/vfio/* /dev/vfio/devices/* /dev/iommu; do
		[ ! -c "$file" ] || chown user "$file"
	done
	(
		ulimit -l 65536
		su user -c "timeout 30 busy $1 3" </dev/null
	)
}

gone() { [ ! -e "/sys/bus/pci/devices/$1" ]; }

removed() {
	HOLDFAST_TEST_PLAIN=$1 HOLDFAST_TEST_QEMU_ID=$2 \
		timeout 60 test-remove-request || return 1
	wait_for 10 gone "$3"
}

number=0
for path in $paths; do
	# An old fault must not be taken for a new one.
	dmesg -c >/dev/null
	export HOLDFAST_TEST_PLAIN="vfio:0000:00:03.0,mode=$path"
	export HOLDFAST_TEST_ATTACH="vfio:0000:00:04.0,mode=$path"
	export HOLDFAST_TEST_LATE="vfio:0000:00:05.0,mode=$path"
	export HOLDFAST_TEST_BROKEN="vfio:0000:00:06.0,mode=$path"
	hot=0000:0$((number + 1)):00.0
	for name in $(cat /programs); do
		case $name in
		any-*) check "$path: $name" test-$name ;;
		esac
	done
	check "$path: DMA outside mapped memory is refused" \
		env HOLDFAST_TEST_IOMMU=1 test-any-port
	check "$path: refusals, and descriptors of others" test-vfio-refusals
	[ -e /etc/driver ] || continue
	check "$path: interrupts reach their CPU" test-interrupts
	check_function "$path: killed and restarted" \
		killed_and_restarted "$HOLDFAST_TEST_PLAIN"
	check_function "$path: an ordinary user" as_user "$HOLDFAST_TEST_PLAIN"
	check_function "$path: the kernel asks for the device back" \
		removed "vfio:$hot,mode=$path" "hot$number" "$hot"
	number=$((number + 1))
done
finish
