/* SPDX-License-Identifier: BSD-3-Clause */
/* Three processes: a controller on a socket, a driver that leaves with reads
 * under way, and its successor, which is given the results. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <holdfast/holdfast.h>

#include "example.h"

enum {
	READS = 8,
	BLOCKS = 8,
	STATE_BYTES = 128 * 1024,
	WAIT_MS = 5000,
};

static unsigned int ended;

static void done(struct hf_io *io, int result)
{
	check(result, "a read", NULL);
	printf("successor: read %llu has ended\n",
	       (unsigned long long)io->cookie);
	ended++;
}

/* Never called: its I/O ends in another process. */
static void not_here(struct hf_io *io, int result)
{
	(void)io;
	(void)result;
}

static void submit_reads(struct hf_driver *drv, struct hf_namespace *ns)
{
	static struct hf_io ios[READS];
	struct hf_io *list[READS];
	struct hf_namespace_info info;
	struct hf_queue *queue;
	struct hf_error err;

	hf_namespace_get_info(ns, &info);
	size_t len_bytes = (size_t)BLOCKS * info.block_bytes;
	/* Outlives this process, unlike ordinary memory. */
	unsigned char *memory = hf_dma_alloc(drv, READS * len_bytes, &err);

	check(memory == NULL, "hf_dma_alloc", &err);
	check(hf_queue_open(&queue, drv, 0, HF_POLL, &err), "hf_queue_open",
	      &err);
	for (uint64_t i = 0; i < READS; i++) {
		hf_io_prep_read(&ios[i], ns, i * BLOCKS, BLOCKS,
				memory + i * len_bytes);
		ios[i].cookie = 100 + i;
		ios[i].done = not_here;
		list[i] = &ios[i];
	}
	if (hf_submit(queue, list, READS) != READS) {
		fprintf(stderr, "the queue did not take the reads\n");
		exit(1);
	}
}

static void predecessor(const char *address, int socket)
{
	struct hf_namespace *ns;
	struct hf_carry *carry;
	struct hf_driver *drv;
	struct hf_error err;
	size_t len_bytes;
	uint8_t *bytes;

	check(hf_driver_open(&drv, address, NULL, &err), "hf_driver_open",
	      &err);
	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	hf_driver_set_keepalive(drv, true);
	submit_reads(drv, ns);

	/* A successor that does not come, and one that does. */
	check(hf_driver_save(drv, &bytes, &len_bytes, &err), "hf_driver_save",
	      &err);
	free(bytes);
	check(hf_driver_resume(drv, &err), "hf_driver_resume", &err);
	check(hf_driver_save(drv, &bytes, &len_bytes, &err), "hf_driver_save",
	      &err);
	check(hf_driver_carry(drv, &carry, &err), "hf_driver_carry", &err);
	check(hf_carry_send(carry, socket, &err), "hf_carry_send", &err);
	hf_carry_free(carry);
	/* Now the successor may take it, and what this process has to put away
	 * does not keep it waiting. */
	hf_driver_disown(drv);
	if (send(socket, bytes, len_bytes, 0) != (ssize_t)len_bytes) {
		perror("send");
		exit(1);
	}
	free(bytes);
	hf_driver_leave(drv);
	printf("predecessor: left with %d reads under way\n", READS);
}

/* Where the time went. */
static void tell_times(const struct hf_driver *drv)
{
	struct hf_servicing_step steps[32];
	uint32_t count = hf_driver_steps(drv, HF_SERVICING_RESTORE, steps, 32);

	for (uint32_t i = 0; i < count && i < 32; i++) {
		printf("successor: %-28s %6llu us\n", steps[i].name,
		       (unsigned long long)(steps[i].took_ns / 1000));
	}
}

/* Before there is a device: who has to be up first. */
static void tell_cpus(const uint8_t *bytes, size_t len_bytes)
{
	struct hf_saved_cpu cpus[64];
	struct hf_error err;
	int count = hf_saved_cpus(bytes, len_bytes, cpus, 64, &err);

	check(count < 0, "hf_saved_cpus", &err);
	for (int i = 0; i < count && i < 64; i++) {
		printf("successor: CPU %u has a queue%s\n", cpus[i].cpu,
		       cpus[i].pending ? " with commands under way" : "");
	}
}

/* What the predecessor left behind, by cookie and by memory. */
static void look_around(struct hf_driver *drv)
{
	uint64_t memory_bytes;
	uint32_t cursor = 0;
	void *memory;

	while (hf_dma_next(drv, &cursor, &memory, &memory_bytes) == 1) {
		printf("successor: %llu bytes of DMA memory\n",
		       (unsigned long long)memory_bytes);
	}
}

static void attach_reads(struct hf_driver *drv, struct hf_namespace *ns)
{
	static struct hf_io ios[READS];
	struct hf_inflight old;
	struct hf_queue *queue;
	struct hf_error err;
	uint64_t cursor = 0;
	unsigned int count = 0;

	while (count < READS && hf_inflight_next(drv, &cursor, &old) == 1) {
		hf_io_prep_read(&ios[count], ns, 0, 0, NULL);
		ios[count].done = done;
		check(hf_io_attach(&ios[count], &old, &err), "hf_io_attach",
		      &err);
		count++;
	}
	check(hf_queue_open(&queue, drv, 0, HF_POLL, &err), "hf_queue_open",
	      &err);
	while (ended < count) {
		hf_reap(queue, READS);
	}
	hf_queue_close(queue);
}

static void successor(int socket)
{
	static uint8_t bytes[STATE_BYTES];
	struct hf_device *device;
	struct hf_namespace *ns;
	struct hf_carry *carry;
	struct hf_driver *drv;
	struct hf_error err;

	check(hf_carry_receive(&carry, socket, WAIT_MS, &err),
	      "hf_carry_receive", &err);
	ssize_t len_bytes = recv(socket, bytes, sizeof(bytes), 0);

	check(len_bytes <= 0, "recv", NULL);
	tell_cpus(bytes, (size_t)len_bytes);
	check(hf_device_adopt(&device, carry, NULL, &err), "hf_device_adopt",
	      &err);
	hf_carry_free(carry);

	int result = hf_driver_restore(&drv, device, bytes, (size_t)len_bytes,
				       NULL, &err);

	if (result != 0) {
		fprintf(stderr, "hf_driver_restore: %s\n", err.message);
		/* Its state is of no use: a fresh start is all that is left. */
		check(hf_device_clear(device, &err), "hf_device_clear", &err);
		exit(1);
	}
	tell_times(drv);
	look_around(drv);
	check(hf_namespace_open(&ns, drv, 1, &err), "hf_namespace_open", &err);
	attach_reads(drv, ns);
	/* For who cannot attach; here, nothing is left to wait for. */
	check(hf_driver_drain_wait(drv, WAIT_MS, &err), "hf_driver_drain_wait",
	      &err);
	hf_namespace_close(ns);
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
}

/* A process that waits for a byte, since threads are not to be forked. */
static pid_t start(int socket, const char *address, int go)
{
	pid_t pid = fork();
	char byte;

	if (pid != 0) {
		return pid;
	}
	if (address != NULL) {
		check(read(go, &byte, 1) != 1, "read", NULL);
		predecessor(address, socket);
	} else {
		successor(socket);
	}
	fflush(stdout);
	_exit(0);
}

static int serve(const char *path, int go)
{
	struct hf_emu_namespace_options options;
	struct hf_emu_server *server;
	struct hf_error err;
	struct hf_emu *emu;
	int failed = 0;
	int status;

	check(hf_emu_create(&emu, NULL, &err), "hf_emu_create", &err);
	hf_emu_namespace_options_init(&options);
	check(hf_emu_namespace_add(emu, &options, NULL, &err),
	      "hf_emu_namespace_add", &err);
	check(hf_emu_serve_open(&server, emu, path, NULL, &err),
	      "hf_emu_serve_open", &err);
	check(hf_emu_serve_start(server, &err), "hf_emu_serve_start", &err);
	check(write(go, "", 1) != 1, "write", NULL);
	while (wait(&status) > 0) {
		failed |= status;
	}
	hf_emu_serve_close(server);
	hf_emu_destroy(emu);
	return failed == 0 ? 0 : 1;
}

int main(void)
{
	char directory[] = "/tmp/holdfast-example.XXXXXX";
	char address[80];
	char path[64];
	int sockets[2];
	int go[2];

	if (mkdtemp(directory) == NULL || pipe(go) != 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) != 0) {
		perror("a directory, a pipe, or sockets");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/nvme", directory);
	snprintf(address, sizeof(address), "vfio-user:%s", path);
	start(sockets[0], address, go[0]);
	start(sockets[1], NULL, -1);
	/* The ends are the children's. */
	close(sockets[0]);
	close(sockets[1]);

	int result = serve(path, go[1]);

	unlink(path);
	rmdir(directory);
	return result;
}
