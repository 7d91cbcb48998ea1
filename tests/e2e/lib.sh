# SPDX-License-Identifier: BSD-3-Clause
# What the end-to-end tests share: the program, a directory of their own,
# counted failures. Sourced with $holdfast set to the program.
set -uo pipefail

place=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-e2e.XXXXXX") || exit 1
trap 'rm -rf "$place"' EXIT
cd "$place" || exit 1
failures=0
checks=0

fail()
{
	echo "FAILED: $*"
	failures=$((failures + 1))
}

# check WHAT COMMAND...: the command has to succeed.
check()
{
	local what=$1

	shift
	checks=$((checks + 1))
	"$@" || fail "$what: $*"
}

# run CODE ARGUMENT...: runs the program, output in out and err; it has to
# end with that code, and no sanitizer may have anything to say.
run()
{
	local want=$1 code

	shift
	checks=$((checks + 1))
	timeout 60 "$holdfast" "$@" >out 2>err
	code=$?
	if grep -Eq 'Sanitizer|runtime error|Assertion' err; then
		fail "holdfast $*: $(grep -E -m 3 \
			'Sanitizer|runtime error|Assertion' err)"
	fi
	if [ "$code" -ne "$want" ]; then
		fail "holdfast $*: ended with $code, not $want: $(head -c 400 err)"
		return 1
	fi
}

# json FILTER: the last output is JSON, and the filter holds.
json()
{
	checks=$((checks + 1))
	jq -e "$1" <out >/dev/null 2>jq.err ||
		fail "$1 does not hold for: $(head -c 600 out)$(cat jq.err)"
}

# says FILE WORDS: a file of the last run has these words.
says()
{
	checks=$((checks + 1))
	grep -Fq -- "$2" "$1" ||
		fail "'$2' is not in: $(head -c 400 "$1")"
}

# One sentence: that is one line on standard error.
one_line()
{
	checks=$((checks + 1))
	[ "$(wc -l <err)" -eq 1 ] || fail "$*: not one line: $(head -c 600 err)"
}

finish()
{
	echo "$checks checks, $failures failed"
	[ "$failures" -eq 0 ]
	exit
}

command -v jq >/dev/null || {
	echo "no jq here"
	exit 77
}
