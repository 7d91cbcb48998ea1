# SPDX-License-Identifier: BSD-3-Clause
# Goal: figures of the kernel's VFIO and QEMU's controller, to compare ways of
#       taking completions with each other; no more than that, since all of it
#       is emulated. No test looks at them.
# Method: each figure is the median of five runs, all in one boot.
. /lib.sh

address=vfio:0000:00:03.0

# five COMMAND...: its numbers' median, from five runs that print one each.
five() {
	local run

	for run in 1 2 3 4 5; do
		"$@" || return 1
	done | sort -n | sed -n 3p
}

iops() {
	holdfast bench $address --rw randread --bs 4k --qd "$1" \
		--batch "$1" --mode "$2" --time 2 --output json |
		tr ',{}' '\n' | sed -n 's/ *"iops": *\([0-9]*\).*/\1/p' |
		head -n 1
}

for mode in poll event thread; do
	for depth in 1 32; do
		echo "RIG-SAY 4 KiB random reads, $mode, depth $depth:" \
			"$(five iops $depth $mode) IOPS"
	done
done
echo "RIG-SAY open to first completion: $(perf-open $address) us"
check "there was something to measure" \
	holdfast bench $address --rw randread --bs 4k --qd 1 --time 1
finish
