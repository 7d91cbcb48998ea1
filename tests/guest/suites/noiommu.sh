# SPDX-License-Identifier: BSD-3-Clause
# Goal: on a machine without an IOMMU nothing runs unless it is asked for by
#       name, and then the controller works.
# Method: the machine has no IOMMU; VFIO's no-IOMMU mode is off at first.
. /lib.sh

BDF=0000:00:03.0
unsafe=/sys/module/vfio/parameters/enable_unsafe_noiommu_mode

# says STATUS WORD COMMAND...: it ends so, and its words hold WORD.
says() {
	local want=$1 word=$2 status
	shift 2

	"$@" >/tmp/says.out 2>&1
	status=$?
	cat /tmp/says.out
	[ $status -eq "$want" ] && grep -q "$word" /tmp/says.out
}

check_function "bind refuses, and says that the IOMMU is off" \
	says 1 "IOMMU is off" holdfast bind $BDF
check_function "doctor says so too" says 1 "IOMMU is off" holdfast doctor
# Debian's kernels cannot do without one, whoever asks.
if [ ! -e $unsafe ]; then
	finish
	exit
fi
echo 1 >$unsafe
check_function "bind, once it is allowed" says 0 vfio-pci holdfast bind $BDF
check_function "it is not used unasked" \
	says 1 "mode=noiommu" holdfast id-ctrl $BDF
export HOLDFAST_TEST_PLAIN="vfio:$BDF,mode=noiommu"
for name in $(cat /programs); do
	case $name in
	any-basic | any-carry | any-port)
		check "noiommu: $name" test-$name
		;;
	esac
done
check_function "the controller answers, with a warning" \
	says 0 "WITHOUT AN IOMMU" holdfast id-ctrl $HOLDFAST_TEST_PLAIN \
	--verbose
finish
