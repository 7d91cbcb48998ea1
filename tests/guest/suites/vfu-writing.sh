# SPDX-License-Identifier: BSD-3-Clause
# Goal: a guest that can be killed while it writes.
# Method: say when writing has begun, and never stop.
. /lib.sh
. /disk.sh

wait_for 20 has_disk 1 || finish
to=$(disk 1)
while dd if=/dev/urandom of="$to" bs=64k count=64 oflag=direct 2>/dev/null; do
	echo RIG-WRITING
done
finish
