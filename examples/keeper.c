/* SPDX-License-Identifier: BSD-3-Clause */
/* A keeper holds what a driver leaves; whoever comes next takes it from there.
 * All ends are threads of one process here; they would be processes. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <holdfast/holdfast.h>
#include <holdfast/keeper.h>

#include "example.h"

static atomic_bool stop;

static void *keep(void *user)
{
	struct hf_keeper *keeper = user;
	struct pollfd wait = {.fd = hf_keeper_fd(keeper), .events = POLLIN};

	while (!atomic_load(&stop)) {
		if (poll(&wait, 1, 20) > 0) {
			hf_keeper_process(keeper);
		}
	}
	return NULL;
}

/* Whatever there is by then: a death of this process loses nothing. */
static int keep_all(struct hf_driver *drv, struct hf_carry *carry, void *user,
		    struct hf_error *err)
{
	(void)drv;
	printf("given to the keeper: %u descriptors\n", hf_carry_count(carry));
	return hf_keeper_put(user, "disk0", carry, err);
}

static void hear(int socket, bool *preview, bool *rest)
{
	char question[128];
	ssize_t len = recv(socket, question, sizeof(question), MSG_DONTWAIT);

	*preview = len > 0 && hf_handover_preview_asked(question, (size_t)len);
	*rest = len > 0 && hf_handover_asked(question, (size_t)len) &&
		hf_handover_rest_asked(question, (size_t)len);
}

/* Both ends of a hand-over. The answers are there before the questions here,
 * since one thread does it all: the owner would hear, and then answer. */
static void hand_over(const struct hf_carry *shown, const struct hf_carry *now,
		      const uint8_t *bytes, size_t len_bytes)
{
	struct hf_carry *early;
	struct hf_carry *carry;
	struct hf_error err;
	bool preview;
	bool rest;
	int state_fd;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) {
		perror("socketpair");
		exit(1);
	}
	/* Before the owner stops... */
	check(hf_handover_give(ends[0], shown, 0, &err), "hf_handover_give",
	      &err);
	check(hf_keeper_preview_on(ends[1], "disk0", &early, &err),
	      "hf_keeper_preview_on", &err);
	hear(ends[0], &preview, &rest);
	hf_carry_prepare(early);
	printf("a preview was asked for: %d, %d\n", preview, rest);
	/* ...and after. In between comes hf_driver_save(), announced: the
	 * successor waits for the set without sleeping then. */
	check(hf_handover_announce(ends[0], &err), "hf_handover_announce",
	      &err);
	check(hf_handover_give_rest(ends[0], now, shown, &err),
	      "hf_handover_give_rest", &err);
	check(hf_keeper_get_rest_on(ends[1], "disk0", early, &carry, &err),
	      "hf_keeper_get_rest_on", &err);
	hear(ends[0], &preview, &rest);
	printf("the rest was asked for: %d, %d\n", preview, rest);
	/* The message came by itself, say. It becomes the set's. */
	check(hf_carry_add_state(carry, bytes, len_bytes, &state_fd, &err),
	      "hf_carry_add_state", &err);
	printf("handed over: %u descriptors\n", hf_carry_count(carry));
	hf_carry_free(carry);
	close(ends[0]);
	close(ends[1]);
}

/* Leaves a saved state and all descriptors with the keeper. */
static void leave(const char *address, char *keeper)
{
	struct hf_carry *carry;
	struct hf_driver *drv;
	struct hf_error err;
	size_t len_bytes;
	uint8_t *bytes;

	check(hf_driver_open(&drv, address, NULL, &err), "hf_driver_open",
	      &err);
	check(hf_driver_keep_with(drv, keep_all, keeper, &err),
	      "hf_driver_keep_with", &err);
	check(hf_driver_keep_now(drv, &err), "hf_driver_keep_now", &err);
	/* From here on, the keeper has new memory before it is used. */
	if (hf_dma_alloc(drv, 16 << 20, &err) == NULL) {
		printf("no memory: %s\n", err.message);
	}
	/* The same by hand, once. */
	check(hf_driver_carry(drv, &carry, &err), "hf_driver_carry", &err);
	if (hf_store_put(carry, "disk0", &err) != 0) {
		printf("not in systemd's store: %s\n", err.message);
	} else if (hf_store_drop(carry, "disk0", &err) != 0) {
		printf("still in systemd's store: %s\n", err.message);
	}

	/* What takes time, while I/O still goes on. */
	struct hf_state_room *room;

	check(hf_state_room_open(&room, 1 << 16, &err), "hf_state_room_open",
	      &err);
	check(hf_carry_add_room(carry, room, &err), "hf_carry_add_room", &err);
	hf_driver_prepare_save(drv);
	check(hf_driver_save(drv, &bytes, &len_bytes, &err), "hf_driver_save",
	      &err);
	if (!hf_driver_carry_holds(drv, carry)) {
		hf_carry_free(carry);
		check(hf_driver_carry(drv, &carry, &err), "hf_driver_carry",
		      &err);
		check(hf_carry_add_room(carry, room, &err), "hf_carry_add_room",
		      &err);
	}
	hand_over(carry, carry, bytes, len_bytes);
	check(hf_carry_fill_room(carry, room, bytes, len_bytes, &err),
	      "hf_carry_fill_room", &err);
	check(hf_keeper_put(keeper, "disk0", carry, &err), "hf_keeper_put",
	      &err);
	printf("left %u descriptors\n", hf_carry_count(carry));
	hf_state_room_close(room);
	hf_carry_free(carry);
	free(bytes);
	hf_driver_leave(drv);
}

static void take(const char *keeper)
{
	struct hf_device *device;
	struct hf_driver *drv;
	struct hf_carry *rest;
	struct hf_error err;
	size_t len_bytes = 0;
	uint8_t *bytes = NULL;
	char where[128];

	snprintf(where, sizeof(where), "unix:%s#disk0", keeper);
	check(hf_device_take(&device, where, NULL, &rest, &err),
	      "hf_device_take", &err);
	/* None after a crash: the ledger tells the same then. */
	if (hf_carry_state(rest, &bytes, &len_bytes, &err) != 0) {
		printf("no message: %s\n", err.message);
	}
	hf_carry_free(rest);
	check(hf_driver_restore(&drv, device, bytes, len_bytes, NULL, &err),
	      "hf_driver_restore", &err);
	free(bytes);
	printf("%s goes on\n", hf_device_id(hf_driver_device(drv)));
	check(hf_driver_close(drv, &err), "hf_driver_close", &err);
}

/* What a keeper holds, and a set by itself: here, of one eventfd. */
static void look(const char *keeper)
{
	struct hf_keeper_entry entries[4];
	struct hf_carry *carry;
	static struct hf_carry *again; /* an exec drops it */
	struct hf_error err;
	uint32_t count;

	check(hf_keeper_list(keeper, entries, 4, &count, &err),
	      "hf_keeper_list", &err);
	printf("%u set: %s of %u descriptors\n", count, entries[0].name,
	       entries[0].descriptors);

	int socket = hf_keeper_connect(keeper, &err);

	check(socket < 0 ? socket : 0, "hf_keeper_connect", &err);
	/* While its owner goes on, what will be needed is made ready... */
	struct hf_carry *early;

	check(hf_keeper_preview_on(socket, "disk0", &early, &err),
	      "hf_keeper_preview_on", &err);
	hf_carry_prepare(early);
	printf("driven by process %d\n", hf_carry_owner(early));
	/* ...and used once it has left. */
	check(hf_keeper_get_on(socket, "disk0", &carry, &err),
	      "hf_keeper_get_on", &err);
	hf_carry_use_prepared(carry, early);
	printf("memory of the program's own: %p\n",
	       hf_carry_take_memory(carry, "table", 4096));
	close(socket);

	/* It becomes the set's, which was received. */
	int fd = eventfd(0, EFD_CLOEXEC);

	check(hf_carry_add(carry, "mine", fd, &err), "hf_carry_add", &err);
	check(hf_carry_copy(&again, carry, &err), "hf_carry_copy", &err);
	hf_carry_free(carry);

	/* A program that is not there, say. */
	check(hf_carry_to_exec(again, &err), "hf_carry_to_exec", &err);
	hf_carry_undo_exec(again);

	/* An exec would come in between. */
	check(hf_carry_to_exec(again, &err), "hf_carry_to_exec", &err);
	check(hf_carry_from_exec(&carry, &err), "hf_carry_from_exec", &err);
	printf("mine is %s\n",
	       hf_carry_find(carry, "mine") >= 0 ? "there" : "not there");
	fd = hf_carry_take(carry, "mine");
	close(fd);
	hf_carry_free(carry);

	if (hf_store_get("disk0", &carry, &err) != 0) {
		printf("not from systemd's store: %s\n", err.message);
	}
}

/* A live owner is asked on its own socket, and may refuse. */
static void refuse(void)
{
	struct hf_error err;
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) != 0) {
		perror("socketpair");
		exit(1);
	}
	printf("asked: %d, %d\n", hf_handover_asked("hello", 5),
	       hf_handover_preview_asked("hello", 5));
	check(hf_handover_give(sockets[0], NULL, -EBUSY, &err),
	      "hf_handover_give", &err);
	close(sockets[0]);
	close(sockets[1]);
}

static void serve_and_run(const char *address, const char *path,
			  char *keeper_path)
{
	struct hf_emu_namespace_options ns_options;
	struct hf_emu_serve_options options;
	struct hf_emu_server *server;
	struct hf_carry *carry;
	struct hf_error err;
	struct hf_emu *emu;

	check(hf_emu_create(&emu, NULL, &err), "hf_emu_create", &err);
	hf_emu_namespace_options_init(&ns_options);
	check(hf_emu_namespace_add(emu, &ns_options, NULL, &err),
	      "hf_emu_namespace_add", &err);
	hf_emu_serve_options_init(&options);
	options.on_disconnect = HF_EMU_DISCONNECT_KEEP;
	check(hf_emu_serve_open(&server, emu, path, &options, &err),
	      "hf_emu_serve_open", &err);
	check(hf_emu_serve_start(server, &err), "hf_emu_serve_start", &err);

	leave(address, keeper_path);
	look(keeper_path);
	take(keeper_path);
	refuse();

	/* The controller was shut down: what is held is of no use any more. */
	check(hf_keeper_get(keeper_path, "disk0", &carry, &err),
	      "hf_keeper_get", &err);
	hf_carry_free(carry);
	check(hf_keeper_drop(keeper_path, "disk0", &err), "hf_keeper_drop",
	      &err);
	hf_emu_serve_close(server);
	hf_emu_destroy(emu);
}

int main(void)
{
	char directory[] = "/tmp/holdfast-example.XXXXXX";
	struct hf_keeper *keeper;
	struct hf_error err;
	char address[80];
	char keeper_path[64];
	char path[64];
	pthread_t thread;

	if (mkdtemp(directory) == NULL) {
		perror("mkdtemp");
		return 1;
	}
	snprintf(path, sizeof(path), "%s/nvme", directory);
	snprintf(address, sizeof(address), "vfio-user:%s", path);
	snprintf(keeper_path, sizeof(keeper_path), "%s/keeper", directory);
	check(hf_keeper_open(&keeper, keeper_path, NULL, &err),
	      "hf_keeper_open", &err);
	check(pthread_create(&thread, NULL, keep, keeper), "a thread", NULL);

	serve_and_run(address, path, keeper_path);

	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	hf_keeper_close(keeper);
	unlink(path);
	unlink(keeper_path);
	rmdir(directory);
	return 0;
}
