/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: registers that a successor reads are asked for once, by itself early or
 * by its predecessor late, and are what they were a moment ago at most.
 * Method: the predecessor's device stays in this process, and what the server
 * shows is changed between asking and taking. The clock stands, but for
 * being looked at, while it is judged how old an answer is.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/clock.h"
#include "device/vfio_user.h"
#include "takeover.h"

/* Seconds that it stands at, or 0; and how often it was looked at: each look
 * takes a microsecond, so that what only waits ends. */
static time_t stands_at;
static uint32_t looks;

/* Before the C library's, for all of this program. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (stands_at != 0) {
		uint32_t look = __atomic_add_fetch(&looks, 1, __ATOMIC_RELAXED);

		*ts = (struct timespec){.tv_sec = stands_at,
					.tv_nsec = look * 1000L};
		return 0;
	}
	return (int)syscall(SYS_clock_gettime, clock, ts);
}

/* Until it is set to 0. */
static void stand_at(time_t seconds)
{
	looks = 0;
	stands_at = seconds;
}

/* Two registers, as a driver that takes over reads them. */
static const struct hf_reg_read two_registers[] = {
	{.offset = 0, .size_bytes = 8},
	{.offset = 8, .size_bytes = 4},
};

static void set_registers(struct takeover *t, uint8_t first, uint8_t second)
{
	pthread_mutex_lock(&t->f->server.lock);
	t->f->server.regs[0] = first;
	t->f->server.regs[8] = second;
	pthread_mutex_unlock(&t->f->server.lock);
}

static void check_two(struct takeover *t, uint8_t first, uint8_t second)
{
	struct hf_reg_read reads[2];

	memcpy(reads, two_registers, sizeof(reads));
	int rc = hf_reg_read_many(t->heir, reads, 2);
	stands_at = 0;
	assert_int_equal(rc, 0);
	assert_int_equal(reads[0].value & 0xff, first);
	assert_int_equal(reads[1].value & 0xff, second);
}

static void adopt(struct takeover *t)
{
	if (hf_vfio_user_adopt(&t->heir, t->set, &t->f->options, two_registers,
			       2, &t->f->err) != 0) {
		fail_msg("%s", t->f->err.message);
	}
}

/* No time passes until they are taken. */
static void adopted_and_asked(struct takeover *t)
{
	set_registers(t, 0x11, 0x22);
	stand_at((time_t)(hf_now_ns() / HF_NS_PER_S));
	adopt(t);
}

static void registers_asked_for_ahead_are_asked_for_once(void **state)
{
	struct takeover *t = takeover_prepare(state);

	uint32_t before = vfu_messages(t->f);
	adopted_and_asked(t);
	check_two(t, 0x11, 0x22);
	assert_int_equal(vfu_messages(t->f), before + 2);
	/* What was asked for ahead is old by now. */
	check_two(t, 0x11, 0x22);
	assert_int_equal(vfu_messages(t->f), before + 4);
	takeover_finish(t);
}

static void another_request_may_come_before_what_was_asked_for(void **state)
{
	struct takeover *t = takeover_prepare(state);
	uint64_t value;

	adopted_and_asked(t);
	stands_at = 0;
	assert_int_equal(hf_reg_read64(t->heir, 0, &value), 0);
	assert_int_equal(value & 0xff, 0x11);
	check_two(t, 0x11, 0x22);
	takeover_finish(t);
}

static void other_registers_than_those_asked_for_are_read(void **state)
{
	struct takeover *t = takeover_prepare(state);
	struct hf_reg_read one = {.offset = 8, .size_bytes = 4};

	adopted_and_asked(t);
	stands_at = 0;
	assert_int_equal(hf_reg_read_many(t->heir, &one, 1), 0);
	assert_int_equal(one.value & 0xff, 0x22);
	check_two(t, 0x11, 0x22);
	takeover_finish(t);
}

/* Also on a machine that takes longer than what asks waits. */
static void await_bytes(struct takeover *t, int bytes)
{
	uint64_t deadline_ns = hf_deadline_ms(10000);
	int waiting = 0;

	while (waiting < bytes && !hf_deadline_passed(deadline_ns)) {
		assert_int_equal(ioctl(hf_vfio_user_of(t->f->dev)->conn.fd,
				       SIOCINQ, &waiting),
				 0);
		poll(NULL, 0, waiting < bytes ? 1 : 0);
	}
	assert_int_equal(waiting, bytes);
}

/* As hf_driver_prepare_save() has it done; they are others soon afterwards. */
static void leave(struct takeover *t, int reply_bytes)
{
	set_registers(t, 0x11, 0x22);
	hf_reg_read_ahead(t->f->dev, two_registers, 2);
	await_bytes(t, reply_bytes);
	set_registers(t, 0x33, 0x44);
}

enum {
	BYTES_OF_TWO = 2 * (sizeof(struct vfu_header) +
			    sizeof(struct vfu_region_access)) +
		       8 + 4,
};

static void leave_registers(struct takeover *t)
{
	leave(t, BYTES_OF_TWO);
}

/* After @seconds; from then on no time passes until it is let go on. */
static void adopt_after(struct takeover *t, time_t seconds)
{
	uint64_t left_s = takeover_journal(t)->left_ns / HF_NS_PER_S;

	takeover_journal(t)->left_ns = left_s * HF_NS_PER_S;
	stand_at((time_t)left_s + seconds);
	adopt(t);
}

static void what_the_predecessor_asked_for_is_not_asked_for_again(void **state)
{
	struct takeover *t = takeover_prepare(state);

	uint32_t before = vfu_messages(t->f);
	leave_registers(t);
	assert_int_equal(vfu_messages(t->f), before + 2);
	adopt_after(t, 0);
	check_two(t, 0x11, 0x22);
	assert_int_equal(vfu_messages(t->f), before + 2);
	assert_int_equal(takeover_journal(t)->pending, 0);
	/* Once: they may be others by now. */
	check_two(t, 0x33, 0x44);
	assert_int_equal(vfu_messages(t->f), before + 4);
	takeover_finish(t);
	assert_int_equal(vfu_inspect_number(*state, "stale_replies_dropped"),
			 0);
}

static void what_it_asked_for_long_ago_is_asked_for_again(void **state)
{
	struct takeover *t = takeover_prepare(state);

	leave_registers(t);
	adopt_after(t, 1);
	check_two(t, 0x33, 0x44);
	takeover_finish(t);
	assert_int_equal(vfu_inspect_number(*state, "stale_replies_dropped"),
			 2);
}

/* A clock that was another one's, or a page that somebody wrote to. */
static void what_it_will_have_asked_for_is_asked_for_again(void **state)
{
	struct takeover *t = takeover_prepare(state);

	leave_registers(t);
	adopt_after(t, -1);
	check_two(t, 0x33, 0x44);
	takeover_finish(t);
}

static void what_it_did_not_say_that_it_asked_for_is_asked_for(void **state)
{
	struct hf_vfu_journal *journal;

	for (uint32_t i = 0; i < 5; i++) {
		void *each;

		vfu_setup(&each);
		struct takeover *t = takeover_prepare(&each);
		leave_registers(t);
		journal = takeover_journal(t);
		switch (i) {
		case 0:
			journal->left[1].offset += 4;
			break;
		case 1:
			journal->left[0].size_bytes = 4;
			break;
		case 2:
			journal->left_count = UINT32_MAX;
			break;
		case 3:
			/* Another one was asked for besides. */
			journal->oldest_id--;
			break;
		default:
			/* By a program that knows nothing of all this. */
			journal->left_id--;
			break;
		}
		adopt_after(t, 0);
		check_two(t, 0x33, 0x44);
		takeover_finish(t);
		assert_int_equal(vfu_teardown(&each), 0);
	}
	(void)state;
}

static void what_the_predecessor_read_after_all_is_not_waited_for(void **state)
{
	struct takeover *t = takeover_prepare(state);
	uint64_t value;

	leave_registers(t);
	assert_int_equal(hf_reg_read64(t->f->dev, 0, &value), 0);
	assert_int_equal(value & 0xff, 0x33);
	assert_int_equal(takeover_journal(t)->left_ns, 0);
	adopt_after(t, 0);
	check_two(t, 0x33, 0x44);
	takeover_finish(t);
}

static void one_that_goes_on_reads_what_is(void **state)
{
	struct takeover *t = takeover_prepare(state);

	leave_registers(t);
	t->heir = t->f->dev;
	check_two(t, 0x33, 0x44);
	leave_registers(t);
	leave_registers(t);
	t->heir = NULL;
	adopt_after(t, 0);
	check_two(t, 0x11, 0x22);
	takeover_finish(t);
}

/* It took them over, and did not live to take them. */
static void what_was_asked_for_is_left_to_the_next_but_one(void **state)
{
	struct takeover *t = takeover_prepare(state);

	leave_registers(t);
	adopt_after(t, 0);
	stands_at = 0;
	struct hf_device *dead = t->heir;
	takeover_carry_out(t, dead);
	hf_device_release(dead, HF_RELEASE_KEEP);
	adopt_after(t, 0);
	check_two(t, 0x11, 0x22);
	takeover_finish(t);
}

static void spoiled_by(struct takeover *t,
		       void (*spoil)(struct scripted_server *server,
				     struct scripted_reply *reply,
				     uint32_t nth))
{
	pthread_mutex_lock(&t->f->server.lock);
	t->f->server.spoil = spoil;
	pthread_mutex_unlock(&t->f->server.lock);
}

static void refuse_registers(struct scripted_server *server,
			     struct scripted_reply *reply, uint32_t nth)
{
	(void)server;
	(void)nth;
	reply_header(reply)->flags |= VFU_FLAG_ERROR;
	reply_header(reply)->error = EIO;
	reply_resize(reply, 0);
}

static void an_error_that_was_left_is_an_error(void **state)
{
	struct takeover *t = takeover_prepare(state);
	struct hf_reg_read reads[2];

	spoiled_by(t, refuse_registers);
	leave(t, 2 * (int)sizeof(struct vfu_header));
	spoiled_by(t, NULL);
	adopt_after(t, 0);
	memcpy(reads, two_registers, sizeof(reads));
	int rc = hf_reg_read_many(t->heir, reads, 2);
	stands_at = 0;
	assert_int_equal(rc, -EIO);
	check_two(t, 0x33, 0x44);
	takeover_finish(t);
}

static void what_was_asked_for_and_never_taken_is_dropped(void **state)
{
	struct takeover *t = takeover_prepare(state);
	uint64_t value;

	adopted_and_asked(t);
	stands_at = 0;
	struct hf_device *dead = t->heir;
	takeover_carry_out(t, dead);
	hf_device_release(dead, HF_RELEASE_KEEP);
	assert_int_equal(hf_vfio_user_adopt(&t->heir, t->set, &t->f->options,
					    NULL, 0, &t->f->err),
			 0);
	assert_int_equal(hf_reg_read64(t->heir, 8, &value), 0);
	assert_int_equal(value & 0xff, 0x22);
	takeover_finish(t);
	assert_int_equal(vfu_inspect_number(*state, "stale_replies_dropped"),
			 2);
}

static void answer_another(struct scripted_server *server,
			   struct scripted_reply *reply, uint32_t nth)
{
	(void)server;
	(void)nth;
	reply_header(reply)->id = (uint16_t)(reply_header(reply)->id + 7);
}

/* Of the right length, and to nothing that anybody asked. */
static void what_was_left_is_looked_at(void **state)
{
	struct takeover *t = takeover_prepare(state);
	struct hf_reg_read reads[2];

	spoiled_by(t, answer_another);
	leave_registers(t);
	spoiled_by(t, NULL);
	adopt_after(t, 0);
	memcpy(reads, two_registers, sizeof(reads));
	int rc = hf_reg_read_many(t->heir, reads, 2);
	stands_at = 0;
	assert_int_equal(rc, -ENODEV);
	takeover_finish(t);
}

/* Whoever adopts may take its time. */
static void what_was_left_and_not_taken_at_once_is_read_again(void **state)
{
	struct takeover *t = takeover_prepare(state);

	leave_registers(t);
	adopt_after(t, 0);
	stands_at++;
	check_two(t, 0x33, 0x44);
	takeover_finish(t);
}

static void ask_for_memory_first(struct scripted_server *server,
				 struct scripted_reply *reply, uint32_t nth)
{
	const struct vfu_dma_access access = {.count = 4};
	const struct vfu_header header = {
		.id = 77, .command = VFU_DMA_READ, .size = 32};

	(void)server;
	(void)nth;
	memcpy(reply->before, &header, sizeof(header));
	memcpy(reply->before + sizeof(header), &access, sizeof(access));
	reply->before_bytes = header.size;
}

/* What was asked for ahead is waited for from when it is wanted. */
static void answers_that_wait_for_long_are_answers(void **state)
{
	struct vfu_fixture *f = *state;
	uint64_t value;

	f->options.timeout_ms = 1000;
	struct takeover *t = takeover_prepare(state);
	spoiled_by(t, ask_for_memory_first);
	set_registers(t, 0x11, 0x22);
	hf_reg_read_ahead(t->f->dev, two_registers, 2);
	await_bytes(t, 2 * 32 + BYTES_OF_TWO);
	spoiled_by(t, NULL);
	stand_at((time_t)(hf_now_ns() / HF_NS_PER_S) + 3600);
	int rc = hf_reg_read64(t->f->dev, 0, &value);
	stands_at = 0;
	assert_int_equal(rc, 0);
	t->heir = t->f->dev;
	check_two(t, 0x11, 0x22);
	adopt(t);
	takeover_finish(t);
}

/* A server that stands still is not waited for, nor given up. */
static void a_server_that_stands_still_is_left_alone(void **state)
{
	struct takeover *t = takeover_prepare(state);

	pthread_mutex_lock(&t->f->server.lock);
	for (uint32_t i = 0; i < 3; i++) {
		hf_reg_read_ahead(t->f->dev, two_registers, 2);
	}
	t->f->server.regs[0] = 0x55;
	t->f->server.regs[8] = 0x66;
	pthread_mutex_unlock(&t->f->server.lock);
	adopt(t);
	check_two(t, 0x55, 0x66);
	takeover_finish(t);
}

/* As many doorbells were rung by message as bring each of them round again. */
static void identifiers_may_wrap_behind_what_was_left(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		void *each;

		vfu_setup(&each);
		struct takeover *t = takeover_prepare(&each);
		leave_registers(t);
		struct hf_vfu_journal *journal = takeover_journal(t);
		journal->next_id = (journal->oldest_id + i) & 0xffffu;
		adopt_after(t, 1);
		check_two(t, 0x33, 0x44);
		takeover_finish(t);
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

struct attachment {
	uint32_t replies; /* before the one that it comes with */
	int fd;
};

static void attach(struct scripted_server *server, struct scripted_reply *reply,
		   uint32_t nth)
{
	struct attachment *attachment = server->user;

	(void)nth;
	if (attachment->replies-- == 0) {
		reply->fds[0] = attachment->fd;
		reply->fd_count = 1;
	}
}

static void a_descriptor_with_what_was_left_is_closed_and_counted(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct attachment attachment = {.replies = i,
						.fd = eventfd(0, EFD_CLOEXEC)};
		void *each;

		assert_true(attachment.fd >= 0);
		vfu_setup(&each);
		struct takeover *t = takeover_prepare(&each);
		t->f->server.user = &attachment;
		spoiled_by(t, attach);
		leave_registers(t);
		spoiled_by(t, NULL);
		adopt_after(t, 0);
		check_two(t, 0x11, 0x22);
		takeover_finish(t);
		assert_int_equal(vfu_inspect_number(
					 each, "unexpected_descriptors_closed"),
				 1);
		assert_int_equal(vfu_teardown(&each), 0);
		close(attachment.fd);
	}
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, vfu_setup, vfu_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers_asked_for_ahead_are_asked_for_once),
		TEST(another_request_may_come_before_what_was_asked_for),
		TEST(other_registers_than_those_asked_for_are_read),
		TEST(what_was_asked_for_and_never_taken_is_dropped),
		TEST(what_the_predecessor_asked_for_is_not_asked_for_again),
		TEST(what_it_asked_for_long_ago_is_asked_for_again),
		TEST(what_it_will_have_asked_for_is_asked_for_again),
		cmocka_unit_test(
			what_it_did_not_say_that_it_asked_for_is_asked_for),
		TEST(what_the_predecessor_read_after_all_is_not_waited_for),
		TEST(one_that_goes_on_reads_what_is),
		TEST(what_was_asked_for_is_left_to_the_next_but_one),
		TEST(an_error_that_was_left_is_an_error),
		TEST(what_was_left_is_looked_at),
		TEST(what_was_left_and_not_taken_at_once_is_read_again),
		TEST(answers_that_wait_for_long_are_answers),
		TEST(a_server_that_stands_still_is_left_alone),
		cmocka_unit_test(identifiers_may_wrap_behind_what_was_left),
		cmocka_unit_test(
			a_descriptor_with_what_was_left_is_closed_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
