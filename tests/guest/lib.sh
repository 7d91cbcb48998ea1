# SPDX-License-Identifier: BSD-3-Clause
# For suites in a guest: checks that are counted and told one a line.

failed=0
checks=0

# check NAME COMMAND...: runs it, shows what it printed when it fails.
check() {
	local name=$1 start end status
	shift

	start=$(cut -d ' ' -f 1 /proc/uptime)
	timeout "${CHECK_TIMEOUT_S:-60}" sh -c '"$@"' sh "$@" \
		>/tmp/check.out 2>&1 </dev/null
	status=$?
	end=$(cut -d ' ' -f 1 /proc/uptime)
	verdict "$name" $status "($start-$end s)"
}

# The same for a function of the suite, which must bound itself.
check_function() {
	local name=$1 status
	shift

	"$@" >/tmp/check.out 2>&1 </dev/null
	status=$?
	verdict "$name" $status
}

verdict() {
	checks=$((checks + 1))
	case $2 in
	0) echo "RIG-OK $1 $3" ;;
	77) echo "RIG-SKIP $1 $3 $(tail -n 1 /tmp/check.out)" ;;
	*)
		failed=$((failed + 1))
		echo "RIG-BAD $1: status $2 $3"
		tail -n "${CHECK_LINES:-60}" /tmp/check.out | sed 's/^/    | /'
		;;
	esac
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local left=$(($1 * 20))
	shift

	until "$@"; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.05
	done
}

# A command for QEMU's monitor.
qmp() { echo "RIG-QMP $1"; }

# A line that the machine outside acts on.
host() { echo "RIG-HOST $*"; }

# The verdict of the suite: at least one check, none failed.
finish() {
	echo "RIG-SUM $checks checks, $failed failed"
	[ $checks -gt 0 ] && [ $failed -eq 0 ]
}
