/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu_process.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void die(const char *step, const struct hf_error *err)
{
	fprintf(stderr, "emulated controller: %s: %s\n", step, err->message);
	_exit(1);
}

/* What the child is made of. */
struct wish {
	const struct hf_emu_options *options;
	const struct hf_emu_serve_options *serve;
	const char *faults[2];
};

static _Noreturn void serve(const struct emu_process *process, int stop_fd,
			    int ready_fd, int result_fd,
			    const struct wish *wish)
{
	struct emu_process_result result = {
		.serve.size = sizeof(result.serve),
		.emu.size = sizeof(result.emu),
	};
	struct hf_emu_namespace_options ns;
	struct hf_emu_server *server;
	struct hf_error err = {0};
	struct hf_emu *emu;
	char byte = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	hf_emu_namespace_options_init(&ns);
	ns.media = HF_EMU_MEDIA_MEMORY;
	ns.size_bytes = 64u << 20;
	ns.lba_bytes = 4096;
	if (hf_emu_create(&emu, wish->options, &err) != 0 ||
	    hf_emu_namespace_add(emu, &ns, NULL, &err) != 0) {
		die("create", &err);
	}
	for (uint32_t i = 0; i < 2; i++) {
		if (wish->faults[i] != NULL &&
		    hf_emu_fault_add(emu, wish->faults[i], NULL, &err) != 0) {
			die("fault", &err);
		}
	}
	if (hf_emu_serve_open(&server, emu, process->directory, wish->serve,
			      &err) != 0 ||
	    hf_emu_serve_start(server, &err) != 0) {
		die("serve", &err);
	}
	if (write(ready_fd, &byte, 1) != 1) {
		_exit(1);
	}
	/* Ends when the other side has closed it. */
	while (read(stop_fd, &byte, 1) == 1) {
		hf_emu_fault_clear(emu);
	}
	hf_emu_serve_stats(server, &result.serve);
	hf_emu_stats(emu, &result.emu);
	(void)!write(result_fd, &result, sizeof(result));
	hf_emu_serve_close(server);
	hf_emu_destroy(emu);
	_exit(0);
}

void emu_process_start(struct emu_process *process,
		       const struct hf_emu_options *options,
		       const struct hf_emu_serve_options *serve_options)
{
	emu_process_start_with(process, options, serve_options, NULL, NULL);
}

void emu_process_start_with(struct emu_process *process,
			    const struct hf_emu_options *options,
			    const struct hf_emu_serve_options *serve_options,
			    const char *fault, const char *fault_too)
{
	const struct wish wish = {options, serve_options, {fault, fault_too}};
	int stop[2];
	int ready[2];
	int result[2];
	char byte = 0;

	memset(process, 0, sizeof(*process));
	strcpy(process->directory, "/tmp/holdfast-emu-XXXXXX");
	assert_non_null(mkdtemp(process->directory));
	snprintf(process->address, sizeof(process->address), "vfio-user:%s",
		 process->directory);
	assert_int_equal(pipe(stop), 0);
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(result), 0);

	process->pid = fork();
	assert_true(process->pid >= 0);
	if (process->pid == 0) {
		close(stop[1]);
		close(ready[0]);
		close(result[0]);
		serve(process, stop[0], ready[1], result[1], &wish);
	}
	close(stop[0]);
	close(ready[1]);
	close(result[1]);
	process->stop_fd = stop[1];
	process->result_fd = result[0];
	struct pollfd entry = {.fd = ready[0], .events = POLLIN};
	assert_int_equal(poll(&entry, 1, 20000), 1);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static void forget(struct emu_process *process)
{
	char path[128];

	close(process->result_fd);
	snprintf(path, sizeof(path), "%s/cntrl", process->directory);
	unlink(path);
	rmdir(process->directory);
	process->pid = 0;
}

void emu_process_clear_faults(const struct emu_process *process)
{
	assert_int_equal(write(process->stop_fd, "x", 1), 1);
}

void emu_process_end(struct emu_process *process,
		     struct emu_process_result *result)
{
	struct emu_process_result counted = {0};
	int status = 0;

	if (process->pid == 0) {
		return;
	}
	close(process->stop_fd);
	struct pollfd entry = {.fd = process->result_fd, .events = POLLIN};
	assert_int_equal(poll(&entry, 1, 20000), 1);
	assert_int_equal(read(process->result_fd, &counted, sizeof(counted)),
			 sizeof(counted));
	assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	if (result != NULL) {
		*result = counted;
	}
	forget(process);
}

void emu_process_stop(struct emu_process *process,
		      struct hf_emu_serve_stats *stats)
{
	struct emu_process_result result = {0};

	emu_process_end(process, &result);
	if (stats != NULL) {
		*stats = result.serve;
	}
}

void emu_process_kill(struct emu_process *process)
{
	assert_int_equal(kill(process->pid, SIGKILL), 0);
	assert_int_equal(waitpid(process->pid, NULL, 0), process->pid);
	close(process->stop_fd);
	forget(process);
}
