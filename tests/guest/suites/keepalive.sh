# SPDX-License-Identifier: BSD-3-Clause
# Goal: on the kernel's VFIO, too, no command is lost and the controller is not
#       reset while the process that drives it is upgraded, executes itself,
#       and is killed; with nobody to hold its descriptors, the kernel resets it
#       when the process is killed.
# Method: "holdfast serve" with its verified load, as root and as an ordinary
#         user who may lock little memory. What becomes of the controller is
#         told by QEMU, and judged outside: see rig/keepalive.py.
. /lib.sh

function=0000:00:03.0
paths=group
if [ -c /dev/iommu ]; then
	paths='group cdev'
fi

# json FIELD: its number in an answer on stdin; the first of that name.
json() { sed -n "s/.*\"$1\": *\"\{0,1\}\([a-z0-9]*\).*/\1/p" | head -n 1; }

ask() { timeout 60 holdfast "$@" --runtime-dir $place --output json; }

completed() { ask status disk0 | json completed; }

more_than() { [ "$(completed)" -gt "$1" ]; }

# Time in which nothing completes would show nothing.
works() { wait_for 30 more_than "$(completed)"; }

server() { ask status disk0 | json pid; }

# serve WORD...: in the background, until it has said something.
serve() {
	rm -f $place/said
	mkfifo $place/said
	holdfast serve "$@" --name disk0 --runtime-dir $place \
		>$place/said 2>>$place/log &
	timeout 30 head -n 1 $place/said | grep -q -E 'serving|waiting' ||
		return 1
}

ended() { [ ! -d "/proc/$1" ] || grep -q "State:.*Z" "/proc/$1/status" 2>/dev/null; }

came_by() { [ "$(ask status disk0 | json came_by)" = "$1" ]; }

upgraded() { ask upgrade disk0 >/dev/null && came_by upgraded; }

executed() {
	local pid

	pid=$(server)
	kill -HUP "$pid"
	wait_for 30 came_by executed && [ "$(server)" = "$pid" ]
}

killed() {
	local pid

	pid=$(server)
	kill -9 "$pid"
	wait_for 30 ended "$pid" && serve --keeper $place/keeper &&
		came_by killed
}

killed_with_standby() {
	serve --keeper $place/keeper --standby || return 1
	kill -9 "$(server)"
	wait_for 30 came_by killed
}

# All that was sent has ended once, as it should.
good_end() {
	local name

	ask stop disk0 >$place/end || return 1
	cat $place/end
	for name in lost duplicated failed blocks_wrong under_way; do
		[ "$(json $name <$place/end)" = 0 ] || return 1
	done
	[ "$(json blocks_verified <$place/end)" -gt 0 ]
}

begin() {
	mkdir -p $place
	holdfast keep $place/keeper >>$place/log 2>&1 &
	keeper=$!
	wait_for 20 test -S $place/keeper &&
		serve "vfio:$function,mode=$path" --keeper $place/keeper \
			--size 2M --depth 4
}

# Several times each, and under way between one and the next.
replaced() {
	local way

	begin || return 1
	for way in $ways; do
		works && $way || {
			echo "$way"
			cat $place/log
			return 1
		}
	done
	works && good_end || return 1
	kill $keeper
	wait $keeper
}

# The function's files are the user's, who may lock 16 MiB. iommufd charges that
# to the user, whatever process has it.
as_user() {
	local file

	for file in /dev/vfio/* /dev/vfio/devices/* /dev/iommu; do
		[ ! -c "$file" ] || chown user "$file"
	done
	(
		ulimit -l 16384
		su user -c "timeout 120 sh /suite.sh $path" </dev/null
	)
}

# Nobody else has the descriptors.
not_kept() {
	local pid

	mkdir -p $place
	serve "vfio:$function,mode=$path" --size 2M --depth 4 && works ||
		return 1
	pid=$(server)
	kill -9 "$pid"
	wait_for 30 ended "$pid"
}

if [ $# -eq 1 ]; then
	place=/tmp/user path=$1 ways='executed killed upgraded'
	replaced
	exit
fi
for path in $paths; do
	place=/tmp/root
	ways='upgraded executed killed killed_with_standby killed executed'
	check_function "$path: killed with no keeper" not_kept
	check_function "$path: upgraded, executed, killed" replaced
	check_function "$path: the same as an ordinary user" as_user
done
finish
