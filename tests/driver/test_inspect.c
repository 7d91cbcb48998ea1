/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: on a bad day inspect tells what takes long and where it stands, what
 * failed and why, what was refused, and how often and why the controller was
 * reset; at any moment, in bounded space, disturbing nothing; and the log is
 * bounded too.
 * Method: one fault of the emulated controller after the other, and the tree
 * that is given then.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "driver/bring_up.h"
#include "rig.h"

struct scene {
	struct rig *rig;
	struct hf_queue *queue;
	uint8_t *data;
	struct rig_io work;
};

static void scene_open(struct scene *scene, struct rig *rig)
{
	*scene = (struct scene){.rig = rig};
	rig_open(rig);
	scene->data = hf_dma_alloc(rig->drv, 4096, &rig->err);
	assert_non_null(scene->data);
	assert_int_equal(
		hf_queue_open(&scene->queue, rig->drv, 0, HF_POLL, &rig->err),
		0);
}

static void scene_submit(struct scene *scene, enum hf_op op, uint64_t lba)
{
	struct hf_io *io = &scene->work.io;

	rig_prep(&scene->work, scene->rig->ns, op, lba, 8, scene->data);
	assert_int_equal(hf_submit(scene->queue, &io, 1), 1);
}

static struct json_object *tree_of(struct rig *rig)
{
	char *text = hf_driver_inspect(rig->drv);

	assert_non_null(text);
	struct json_object *tree = json_tokener_parse(text);
	assert_non_null(tree);
	free(text);
	return tree;
}

static struct json_object *of(struct json_object *tree, const char *key)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(tree, key, &value)) {
		fail_msg("no '%s' in %s", key,
			 json_object_to_json_string(tree));
	}
	return value;
}

static int64_t number(struct json_object *tree, const char *key)
{
	return json_object_get_int64(of(tree, key));
}

static const char *text(struct json_object *tree, const char *key)
{
	return json_object_get_string(of(tree, key));
}

static struct json_object *first(struct json_object *tree, const char *key)
{
	struct json_object *array = of(tree, key);

	assert_true(json_object_array_length(array) > 0);
	return json_object_array_get_idx(array, 0);
}

static void oldest_is(struct rig *rig, const char *where)
{
	struct json_object *tree = tree_of(rig);
	struct json_object *oldest = of(first(tree, "io_queues"), "oldest");

	assert_string_equal(text(oldest, "where"), where);
	json_object_put(tree);
}

static void the_oldest_command_and_where_it_stands(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	rig->options.io_timeout_ms = 600;
	scene_open(&scene, rig);
	rig_rule(rig, "io-read,nth=1:status=generic/82h");
	uint32_t hold = rig_rule(rig, "io-read,after=1:no-post");
	rig_rule(rig, "admin-abort:hold");
	scene_submit(&scene, HF_OP_READ, 0x1230);
	uint64_t deadline = hf_deadline_ms(5000);
	while (!hf_qpair_retries_wait(rig->drv->io[0])) {
		assert_false(hf_deadline_passed(deadline));
		(void)hf_reap(scene.queue, 4);
	}
	oldest_is(rig, "waiting to be sent again");
	while (rig_hits(rig, hold) == 0) {
		rig_turn(rig, 5);
	}
	oldest_is(rig, "in the controller");
	struct json_object *tree = tree_of(rig);
	struct json_object *queue = first(tree, "io_queues");
	struct json_object *oldest = of(queue, "oldest");
	assert_string_equal(text(oldest, "command"), "read");
	assert_int_equal(number(oldest, "opcode"), 2);
	assert_int_equal(number(oldest, "nsid"), 1);
	assert_int_equal(number(oldest, "lba"), 0x1230);
	assert_int_equal(number(oldest, "blocks"), 8);
	assert_int_equal(number(oldest, "tries"), 2);
	assert_int_equal(number(of(queue, "retries"), "not_ready"), 1);
	json_object_put(tree);
	deadline = hf_deadline_ms(5000);
	while (rig->drv->aborts == 0) {
		assert_false(hf_deadline_passed(deadline));
		rig_turn(rig, 5);
	}
	oldest_is(rig, "in the controller, abort sent");
	/* The Abort has no end: a reset; and it can be asked all the time. */
	rig_rule(rig, "reg-cc,write,value=1/1:delay=300ms");
	while (scene.work.calls == 0) {
		assert_false(hf_deadline_passed(deadline));
		json_object_put(tree_of(rig));
		rig_turn(rig, 5);
		(void)hf_reap(scene.queue, 4);
	}
	assert_int_equal(scene.work.result, -ECONNRESET);
	hf_queue_close(scene.queue);
}

static void a_completion_that_nobody_looked_at(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig);
	scene_submit(&scene, HF_OP_WRITE, 0);
	uint64_t deadline = hf_deadline_ms(5000);
	while (!hf_qpair_ready(rig->drv->io[0])) {
		assert_false(hf_deadline_passed(deadline));
	}
	oldest_is(rig, "completion posted, not processed");
	assert_int_equal(rig_finish(rig, scene.queue, &scene.work), 0);
	struct json_object *tree = tree_of(rig);
	assert_false(json_object_object_get_ex(first(tree, "io_queues"),
					       "oldest", NULL));
	json_object_put(tree);
	hf_queue_close(scene.queue);
}

static void the_last_errors_in_words(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	rig->options.retries = 0;
	scene_open(&scene, rig);
	rig_rule(rig, "io-write,nth=3:status=media/280h+dnr+more");
	for (uint32_t i = 0; i < 3; i++) {
		scene_submit(&scene, HF_OP_WRITE, 80 + i * 8);
		(void)rig_finish(rig, scene.queue, &scene.work);
	}
	struct json_object *tree = tree_of(rig);
	struct json_object *error = first(tree, "last_errors");

	assert_int_equal(json_object_array_length(of(tree, "last_errors")), 1);
	assert_int_equal(number(error, "qid"), 1);
	assert_string_equal(text(error, "command"), "write");
	assert_int_equal(number(error, "lba"), 96);
	assert_int_equal(number(error, "status"), 0x6280);
	assert_int_equal(number(error, "sct"), 2);
	assert_int_equal(number(error, "sc"), 0x80);
	assert_true(json_object_get_boolean(of(error, "dnr")));
	assert_non_null(strstr(text(error, "status_text"), "Media"));
	assert_string_equal(text(error, "retried"), "none");
	assert_true(number(error, "ago_ms") < 10000);
	assert_int_equal(number(first(tree, "io_queues"), "errors"), 1);
	json_object_put(tree);
	hf_queue_close(scene.queue);
}

static void errors_without_end_are_remembered_in_bounds(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig);
	rig_rule(rig, "io-read:status=generic/21h");
	for (uint32_t i = 0; i < 10; i++) {
		scene_submit(&scene, HF_OP_READ, i * 8);
		(void)rig_finish(rig, scene.queue, &scene.work);
	}
	struct json_object *tree = tree_of(rig);

	assert_int_equal(json_object_array_length(of(tree, "last_errors")),
			 HF_TROUBLE_ERRORS);
	assert_int_equal(number(first(tree, "last_errors"), "lba"), 72);
	assert_int_equal(number(first(tree, "io_queues"), "errors"), 60);
	assert_int_equal(
		number(of(first(tree, "io_queues"), "retries"), "given_up"),
		10);
	json_object_put(tree);
	hf_queue_close(scene.queue);
}

static void force_reset(struct rig *rig, const char *why)
{
	pthread_mutex_lock(&rig->drv->control);
	hf_bring_up_again(rig->drv, why);
	pthread_mutex_unlock(&rig->drv->control);
	hf_driver_kick(rig->drv);
}

static void resets_with_reason_and_duration(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	rig_rule(rig, "reg-cc,write,value=1/1:delay=150ms");
	force_reset(rig, "the first");
	struct json_object *tree = tree_of(rig);
	assert_string_equal(text(tree, "state"), "recovering");
	assert_string_equal(text(first(tree, "last_resets"), "result"),
			    "under way");
	json_object_put(tree);
	(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	hf_emu_fault_clear(rig->emu);
	for (uint32_t i = 0; i < 10; i++) {
		force_reset(rig, "one more");
		(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	}
	tree = tree_of(rig);

	struct json_object *resets = of(tree, "last_resets");
	assert_int_equal(number(tree, "resets"), 11);
	assert_int_equal(json_object_array_length(resets), HF_RESET_NOTES);
	assert_string_equal(text(first(tree, "last_resets"), "why"),
			    "one more");
	assert_string_equal(text(first(tree, "last_resets"), "result"),
			    "Success");
	assert_int_equal(number(first(tree, "last_resets"), "tries"), 1);
	json_object_put(tree);
}

static void refused_completions_and_why(void **state)
{
	static const struct {
		const char *rule;
		const char *why;
	} cases[] = {
		{"io-write,nth=1:wrong-sqid=7", "wrong_queue"},
		{"io-write,nth=1:bad-sqhd=0xffff", "head"},
		{"io-write,nth=1:repeat", "stale_command"},
		{"io-write,nth=1:phantom=0xf0ff", "unknown_command"},
	};
	struct rig *rig = *state;
	struct scene scene;

	scene_open(&scene, rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		hf_emu_fault_clear(rig->emu);
		rig_rule(rig, cases[i].rule);
		scene_submit(&scene, HF_OP_WRITE, 0);
		(void)rig_finish(rig, scene.queue, &scene.work);
		(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
		struct json_object *tree = tree_of(rig);
		struct json_object *refused = first(tree, "last_refused");

		assert_string_equal(text(refused, "why"), cases[i].why);
		assert_int_equal(number(refused, "qid"), 1);
		assert_int_equal(number(of(first(tree, "io_queues"), "refused"),
					cases[i].why),
				 1);
		json_object_put(tree);
	}
	hf_queue_close(scene.queue);
}

static bool abort_has_ended(void *arg)
{
	const struct hf_driver *drv = arg;

	return !drv->abort_outstanding;
}

static void aborts_and_how_they_ended(void **state)
{
	struct rig *rig = *state;
	struct scene scene;

	rig->options.io_timeout_ms = 200;
	scene_open(&scene, rig);
	rig_rule(rig, "io-read:hold");
	scene_submit(&scene, HF_OP_READ, 0);
	(void)rig_finish(rig, scene.queue, &scene.work);
	rig_until(rig, abort_has_ended, rig->drv);
	struct json_object *tree = tree_of(rig);

	assert_int_equal(number(of(tree, "abort_results"), "sent"), 1);
	assert_int_equal(number(of(tree, "abort_results"), "aborted"), 1);
	json_object_put(tree);
	hf_queue_close(scene.queue);
}

static uint32_t lines_with(struct rig *rig, const char *words)
{
	uint32_t count = 0;

	pthread_mutex_lock(&rig->log_lock);
	for (const char *at = rig->log; (at = strstr(at, words)) != NULL;
	     at++) {
		count++;
	}
	pthread_mutex_unlock(&rig->log_lock);
	return count;
}

static void a_device_cannot_fill_the_log(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	for (uint32_t i = 0; i < 30; i++) {
		force_reset(rig, "the test asks for it");
		(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
	}

	assert_int_equal(lines_with(rig, "resetting the controller"),
			 HF_LOG_BURST);
	/* Once the window is over, the next line says how many were not. */
	rig->drv->quiet[HF_QUIET_RESET].since_ns -=
		(HF_LOG_WINDOW_MS + 1) * HF_NS_PER_MS;
	force_reset(rig, "the test asks for it");
	assert_true(rig_logged(rig, "(22 more of this kind suppressed)"));
	(void)rig_event(rig, HF_EVENT_CONTROLLER_RESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(the_oldest_command_and_where_it_stands),
		rig_test(a_completion_that_nobody_looked_at),
		rig_test(the_last_errors_in_words),
		rig_test(errors_without_end_are_remembered_in_bounds),
		rig_test(resets_with_reason_and_duration),
		rig_test(refused_completions_and_why),
		rig_test(aborts_and_how_they_ended),
		rig_test(a_device_cannot_fill_the_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
