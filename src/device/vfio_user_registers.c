/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_registers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "device/vfio_user_setup.h"

/* A server that looks at its socket now and then does so within this. */
#define AWAIT_NS (5 * HF_NS_PER_MS)

/* What registers held longer ago is not what they hold. */
#define FRESH_NS (50 * HF_NS_PER_MS)

static bool is_fresh(uint64_t asked_ns)
{
	uint64_t now = hf_now_ns();

	return asked_ns <= now && now - asked_ns < FRESH_NS;
}

static void prepare(struct hf_vfu_registers *registers,
		    const struct hf_reg_read *reads, uint32_t count)
{
	static_assert((int)HF_REG_READS_MAX <= (int)HF_VFU_CALLS_MAX,
		      "in one turn");
	assert(count <= HF_REG_READS_MAX);
	registers->count = count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t bytes = (uint32_t)sizeof(registers->asks[i]) +
				 reads[i].size_bytes;

		registers->reads[i] = reads[i];
		registers->asks[i] = (struct vfu_region_access){
			.offset = reads[i].offset,
			.region = VFIO_PCI_BAR0_REGION_INDEX,
			.count = reads[i].size_bytes,
		};
		registers->calls[i] = (struct hf_vfu_call){
			.command = VFU_REGION_READ,
			.request = &registers->asks[i],
			.request_bytes = sizeof(registers->asks[i]),
			.reply = &registers->replies[i],
			.reply_min_bytes = bytes,
			.reply_max_bytes = bytes,
		};
	}
}

static int take_values(struct hf_vfio_user *vu,
		       const struct hf_vfu_registers *registers,
		       struct hf_reg_read *reads)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < registers->count; i++) {
		rc = hf_vfu_check_echo(vu, &registers->asks[i],
				       &registers->replies[i].access, NULL);
		reads[i].value = hf_get_le64(registers->replies[i].data);
	}
	return rc;
}

static bool are_the_same(const struct hf_vfu_registers *registers,
			 const struct hf_reg_read *reads, uint32_t count)
{
	bool same = registers->count == count;

	for (uint32_t i = 0; same && i < count; i++) {
		same = registers->reads[i].offset == reads[i].offset &&
		       registers->reads[i].size_bytes == reads[i].size_bytes;
	}
	return same;
}

static struct hf_vfu_registers *make(const struct hf_reg_read *reads,
				     uint32_t count, uint64_t asked_ns)
{
	struct hf_vfu_registers *registers = calloc(1, sizeof(*registers));

	if (registers != NULL) {
		prepare(registers, reads, count);
		registers->asked_ns = asked_ns;
	}
	return registers;
}

static int ask(struct hf_vfio_user *vu, const struct hf_reg_read *reads,
	       uint32_t count, uint64_t asked_ns, uint64_t left_ns,
	       struct hf_error *err)
{
	assert(vu->asked == NULL);
	vu->asked = make(reads, count, asked_ns);
	if (vu->asked == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory to read registers",
				    vu->dev.id);
	}
	return hf_vfu_call_ahead(&vu->conn, vu->asked->calls, count, left_ns,
				 err);
}

int hf_vfu_registers_ask(struct hf_vfio_user *vu,
			 const struct hf_reg_read *reads, uint32_t count,
			 struct hf_error *err)
{
	return ask(vu, reads, count, hf_now_ns(), 0, err);
}

/* ------------------------------------------------------- for a successor */

/* What was asked for before has been answered, and is of no use any more.
 * False: it has not, and a server that does not answer is not waited for here.
 */
static bool forget_asked(struct hf_vfio_user *vu)
{
	struct hf_vfu_registers *before = vu->asked;

	if (before == NULL) {
		return true;
	}
	if (!hf_vfu_call_ahead_await(&vu->conn, 0)) {
		return false;
	}
	vu->asked = NULL;
	(void)!hf_vfu_call_ahead_take(&vu->conn);
	free(before);
	return true;
}

void hf_vfu_registers_leave(struct hf_vfio_user *vu,
			    const struct hf_reg_read *reads, uint32_t count)
{
	struct hf_vfu_journal *journal = vu->conn.journal;

	if (!forget_asked(vu)) {
		return;
	}
	__atomic_store_n(&journal->left_ns, 0, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < count; i++) {
		journal->left[i].offset = reads[i].offset;
		journal->left[i].size_bytes = reads[i].size_bytes;
	}
	journal->left_count = count;
	/* Whatever this process goes on to read is not what it was now. */
	if (ask(vu, reads, count, 0, hf_now_ns(), NULL) == 0) {
		(void)hf_vfu_call_ahead_await(&vu->conn, AWAIT_NS);
	}
}

static bool were_left(const struct hf_vfu_journal *journal,
		      const struct hf_reg_read *reads, uint32_t count)
{
	bool same = journal->left_count == count;

	for (uint32_t i = 0; same && i < count; i++) {
		same = journal->left[i].offset == reads[i].offset &&
		       journal->left[i].size_bytes == reads[i].size_bytes;
	}
	return same;
}

bool hf_vfu_registers_inherit(struct hf_vfio_user *vu,
			      const struct hf_reg_read *reads, uint32_t count)
{
	const struct hf_vfu_journal *journal = vu->conn.journal;
	uint64_t left_ns = __atomic_load_n(&journal->left_ns, __ATOMIC_ACQUIRE);

	assert(vu->asked == NULL);
	if (count == 0 || left_ns == 0 || !is_fresh(left_ns) ||
	    !were_left(journal, reads, count)) {
		return false;
	}
	struct hf_vfu_registers *left = make(reads, count, left_ns);
	if (left == NULL ||
	    !hf_vfu_call_ahead_inherit(&vu->conn, left->calls, count)) {
		free(left);
		return false;
	}
	vu->asked = left;
	return true;
}

/* ---------------------------------------------------------------- reading */

/* Return: true when they had been asked for, with the result in @rc. */
static bool take_asked(struct hf_vfio_user *vu, struct hf_reg_read *reads,
		       uint32_t count, int *rc)
{
	struct hf_vfu_registers *asked = vu->asked;

	if (asked == NULL) {
		return false;
	}
	*rc = hf_vfu_call_ahead_take(&vu->conn);
	vu->asked = NULL;
	bool same =
		is_fresh(asked->asked_ns) && are_the_same(asked, reads, count);
	if (same && *rc == 0) {
		*rc = take_values(vu, asked, reads);
	}
	free(asked);
	return same;
}

int hf_vfu_registers_read(struct hf_vfio_user *vu, struct hf_reg_read *reads,
			  uint32_t count)
{
	struct hf_vfu_registers registers = {0};
	int rc = 0;

	if (take_asked(vu, reads, count, &rc)) {
		return rc;
	}
	prepare(&registers, reads, count);
	rc = hf_vfu_call_many(&vu->conn, registers.calls, count, NULL);
	return rc != 0 ? rc : take_values(vu, &registers, reads);
}
