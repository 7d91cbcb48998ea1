/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: each command of the control socket does what it says, and whatever
 * else is sent there is answered with a sentence.
 * Method: lines into the commands' function; then lines over the socket, cut
 * and joined in every way.
 */
#include "cmocka_all.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/checked.h"
#include "emu/control.h"

struct fixture {
	struct hf_emu *emu;
	struct hf_emu_control *control;
	char directory[64];
	char path[96];
	struct json_object *answer;
	bool quit;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct hf_emu_options options;
	struct hf_emu_namespace_options ns;

	hf_emu_options_init(&options);
	options.serve = HF_EMU_MANUAL;
	hf_emu_namespace_options_init(&ns);
	ns.size_bytes = 1 << 20;
	strcpy(f->directory, "/tmp/hf-ctl-XXXXXX");
	if (mkdtemp(f->directory) == NULL ||
	    hf_emu_create(&f->emu, &options, NULL) != 0 ||
	    hf_emu_namespace_add(f->emu, &ns, NULL, NULL) != 0) {
		return -1;
	}
	snprintf(f->path, sizeof(f->path), "%s/ctl", f->directory);
	*state = f;
	return hf_emu_control_open(&f->control, f->emu, NULL, f->path, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	json_object_put(f->answer);
	hf_emu_control_close(f->control);
	hf_emu_destroy(f->emu);
	int result = rmdir(f->directory);
	free(f);
	return result;
}

/* Returns whether the answer is "ok". */
static bool execute(struct fixture *f, const char *line)
{
	char *text = hf_control_execute(f->emu, NULL, line, &f->quit);
	struct json_object *ok;

	assert_non_null(text);
	assert_null(strchr(text, '\n'));
	json_object_put(f->answer);
	f->answer = json_tokener_parse(text);
	free(text);
	assert_true(json_object_object_get_ex(f->answer, "ok", &ok));
	return json_object_get_boolean(ok);
}

static int64_t number(struct fixture *f, const char *name)
{
	struct json_object *field;

	assert_true(json_object_object_get_ex(f->answer, name, &field));
	return json_object_get_int64(field);
}

static uint32_t namespaces(struct fixture *f,
			   struct hf_emu_namespace_info infos[4])
{
	return hf_emu_namespace_list(f->emu, infos, 4);
}

static void namespaces_come_change_and_go(void **state)
{
	struct fixture *f = *state;
	struct hf_emu_namespace_info infos[4];

	assert_true(execute(f, "{\"command\":\"add-namespace\",\"size\":2097152"
			       ",\"lba\":4096,\"nsid\":7}"));
	assert_int_equal(number(f, "nsid"), 7);
	assert_int_equal(namespaces(f, infos), 2);
	assert_int_equal(infos[1].lba_bytes, 4096);
	assert_int_equal(infos[1].blocks, 512);
	assert_true(execute(
		f, "{\"command\":\"resize\",\"nsid\":7,\"size\":4194304}"));
	namespaces(f, infos);
	assert_int_equal(infos[1].blocks, 1024);
	assert_true(execute(f, "{\"command\":\"swap\",\"nsid\":7,"
			       "\"media\":\"null\",\"size\":1048576}"));
	namespaces(f, infos);
	assert_int_equal(infos[1].media, HF_EMU_MEDIA_NULL);
	assert_true(
		execute(f, "{\"command\":\"remove-namespace\",\"nsid\":7}"));
	assert_int_equal(namespaces(f, infos), 1);
	assert_false(
		execute(f, "{\"command\":\"remove-namespace\",\"nsid\":7}"));
	assert_int_equal(number(f, "code"), -ENOENT);
}

static void faults_come_and_go(void **state)
{
	struct fixture *f = *state;

	assert_true(execute(f, "{\"command\":\"fault-add\",\"rule\":"
			       "\"io-read:status=media/281h\"}"));
	char line[64];
	snprintf(line, sizeof(line), "{\"command\":\"fault-remove\",\"id\":%d}",
		 (int)number(f, "id"));
	assert_true(execute(f, line));
	assert_false(execute(f, line));
	assert_false(execute(
		f, "{\"command\":\"fault-add\",\"rule\":\"nonsense\"}"));
	assert_true(execute(f, "{\"command\":\"fault-release\"}"));
	assert_int_equal(number(f, "released"), 0);
	assert_true(execute(f, "{\"command\":\"fault-clear\"}"));
}

static void what_happens_to_a_controller_happens(void **state)
{
	static const char *const lines[] = {
		"{\"command\":\"power-fail\"}",
		"{\"command\":\"reset\"}",
		"{\"command\":\"flush\"}",
		"{\"command\":\"event\",\"type\":1,\"info\":0,\"log\":2}",
		"{\"command\":\"temperature\",\"kelvin\":400}",
	};
	struct fixture *f = *state;
	struct hf_emu_stats stats = {.size = sizeof(stats)};

	for (size_t i = 0; i < HF_ARRAY_LEN(lines); i++) {
		assert_true(execute(f, lines[i]));
	}
	hf_emu_stats(f->emu, &stats);
	assert_int_equal(stats.resets, 2);
}

static void status_tells_all(void **state)
{
	struct fixture *f = *state;
	struct json_object *field;

	assert_true(execute(f, "{\"command\":\"status\"}"));
	assert_true(json_object_object_get_ex(f->answer, "controller", &field));
	assert_true(json_object_object_get_ex(f->answer, "faults", &field));
	assert_true(json_object_object_get_ex(f->answer, "namespaces", &field));
	assert_int_equal(json_object_array_length(field), 1);
}

static void quit_is_passed_on(void **state)
{
	struct fixture *f = *state;

	assert_false(f->quit);
	assert_true(execute(f, "{\"command\":\"quit\"}"));
	assert_true(f->quit);
}

static void what_is_not_a_command_is_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"1",
		"null",
		"{}",
		"{\"command\":1}",
		"{\"command\":\"explode\"}",
		"{\"command\":\"resize\"}",
		"{\"command\":\"resize\",\"nsid\":1}",
		"{\"command\":\"resize\",\"nsid\":-1,\"size\":512}",
		"{\"command\":\"resize\",\"nsid\":4294967297,\"size\":512}",
		"{\"command\":\"resize\",\"nsid\":\"1\",\"size\":512}",
		"{\"command\":\"resize\",\"nsid\":1.5,\"size\":512}",
		"{\"command\":\"resize\",\"nsid\":1,\"size\":513}",
		"{\"command\":\"swap\",\"nsid\":99}",
		"{\"command\":\"add-namespace\",\"media\":\"file\"}",
		"{\"command\":\"add-namespace\",\"media\":\"tape\"}",
		"{\"command\":\"add-namespace\",\"path\":\"/nowhere/disk\"}",
		"{\"command\":\"add-namespace\",\"create\":1}",
		"{\"command\":\"add-namespace\",\"lba\":3}",
		"{\"command\":\"event\",\"type\":8,\"info\":0,\"log\":0}",
		"{\"command\":\"event\",\"type\":1,\"info\":256,\"log\":0}",
		"{\"command\":\"temperature\"}",
		"{\"command\":\"disconnect\"}",
		"{\"command\":\"request-removal\"}",
		("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}"
		 "}"
		 "}}}"),
	};
	struct fixture *f = *state;
	struct hf_emu_namespace_info infos[4];
	struct json_object *error;

	for (size_t i = 0; i < HF_ARRAY_LEN(lines); i++) {
		assert_false(execute(f, lines[i]));
		assert_true(
			json_object_object_get_ex(f->answer, "error", &error));
		assert_int_not_equal(json_object_get_string_len(error), 0);
	}
	assert_int_equal(namespaces(f, infos), 1);
	assert_false(f->quit);
}

/* ---------------------------------------------------------------- the socket
 */

static int connect_to(struct fixture *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, f->path);
	assert_int_equal(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Until there is nothing left to do. */
static void process(struct fixture *f)
{
	struct pollfd ready = {.fd = hf_emu_control_fd(f->control),
			       .events = POLLIN};

	while (poll(&ready, 1, 0) == 1) {
		f->quit = hf_emu_control_process(f->control);
	}
}

static uint32_t answers(int fd)
{
	char text[8192];
	uint32_t lines = 0;
	ssize_t got;

	while ((got = recv(fd, text, sizeof(text), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < got; i++) {
			lines += text[i] == '\n';
		}
	}
	return lines;
}

static void lines_may_come_in_pieces_or_together(void **state)
{
	static const char two[] =
		"{\"command\":\"flush\"}\n{\"command\":\"flush\"}\n{";
	struct fixture *f = *state;
	int fd = connect_to(f);

	for (size_t i = 0; i < sizeof(two) - 1; i++) {
		assert_int_equal(send(fd, two + i, 1, 0), 1);
		process(f);
	}
	assert_int_equal(answers(fd), 2);
	assert_int_equal(send(fd, "}\n\n", 3, 0), 3);
	process(f);
	assert_int_equal(answers(fd), 2);
	close(fd);
	process(f);
}

static void a_line_without_end_ends_its_client(void **state)
{
	static char junk[70000];
	struct fixture *f = *state;
	int fd = connect_to(f);
	int other = connect_to(f);

	memset(junk, 'x', sizeof(junk));
	process(f);
	assert_true(send(fd, junk, sizeof(junk), MSG_NOSIGNAL) > 0);
	process(f);
	assert_true(recv(fd, junk, 1, MSG_DONTWAIT) <= 0);
	assert_int_not_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(send(other, "{\"command\":\"quit\"}\n", 19, 0), 19);
	process(f);
	assert_int_equal(answers(other), 1);
	assert_true(f->quit);
	close(fd);
	close(other);
}

static void only_so_many_clients_are_served(void **state)
{
	struct fixture *f = *state;
	int fds[12];

	for (size_t i = 0; i < HF_ARRAY_LEN(fds); i++) {
		fds[i] = connect_to(f);
	}
	process(f);
	assert_int_equal(answers(fds[0]), 0);
	assert_int_equal(answers(fds[11]), 1);
	for (size_t i = 0; i < HF_ARRAY_LEN(fds); i++) {
		close(fds[i]);
	}
	process(f);
	int fd = connect_to(f);
	assert_int_equal(send(fd, "{}\n", 3, 0), 3);
	process(f);
	assert_int_equal(answers(fd), 1);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(namespaces_come_change_and_go),
		TEST(faults_come_and_go),
		TEST(what_happens_to_a_controller_happens),
		TEST(status_tells_all),
		TEST(quit_is_passed_on),
		TEST(what_is_not_a_command_is_refused),
		TEST(lines_may_come_in_pieces_or_together),
		TEST(a_line_without_end_ends_its_client),
		TEST(only_so_many_clients_are_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
