/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever is handed to a successor in place of a set of descriptors (by
 * a keeper, by a predecessor's socket, through an exec, or by systemd) is
 * refused or is a set; nothing waits for ever, and no descriptor is left open.
 * Method: the first byte chooses the call, the rest is all that the other side
 * says: messages (wire_messages.h) that stand in the socket already, or the
 * environment. What calls itself a set is used like one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "holdfast/servicing.h"
#include "runtime/carry_wire.h"
#include "runtime/keeper_wire.h"
#include "wire_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

/* The names that the linker gives to what it wraps. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);
/* NOLINTEND(bugprone-reserved-identifier) */

enum {
	MESSAGES_MAX = 24,
	LISTED = 8,        /* descriptors of every kind, */
	LISTED_FROM = 500, /* under these numbers */
	SYSTEMD_FROM = 3,
	SAVED_FROM = 600,
	TEXT_MAX = 64,
	ENVIRONMENT_MAX = 40000,
};

/* What systemd's store holds beside the files of a set: of none here. */
#define STORE_TEXT "holdfast-store-1 1\n\nkind=vfio\n"

static int memory = -1;
static int peer; /* where a client of this process ends up */

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

/* Whoever is connected to is the one that has said everything already. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)address;
	(void)len;
	return dup3(peer, fd, O_CLOEXEC) == fd ? 0 : -1;
}

/* What a program does with a set. The device behind it is another fuzzer's. */
static void use(struct hf_carry *carry)
{
	struct hf_carry *copy;
	struct hf_carry *early;
	struct hf_device *dev;
	struct hf_error err;
	uint8_t *state;
	size_t len_bytes;

	if (hf_carry_state(carry, &state, &len_bytes, &err) == 0) {
		free(state);
	}
	(void)hf_carry_owner(carry);
	if (hf_carry_copy(&early, carry, &err) == 0) {
		hf_carry_prepare(early);
		hf_carry_use_prepared(carry, early);
	}
	if (hf_carry_copy(&copy, carry, &err) != 0) {
		fail(err.message);
	}
	if (hf_device_adopt(&dev, copy, NULL, &err) == 0) {
		fail("a device came out of nothing");
	}
	hf_carry_free(copy);
	hf_carry_free(carry);
}

/* ------------------------------------------------------------- by a socket */

static void say_all(int fd, struct stream *bytes)
{
	struct wire_sender sender = {.fd = fd};

	for (uint32_t i = 0; i < MESSAGES_MAX && bytes->at < bytes->len_bytes;
	     i++) {
		wire_send(&sender,
			  (enum wire_kind)(stream_u8(bytes) % WIRE_KINDS),
			  bytes, memory);
	}
	shutdown(fd, SHUT_WR);
}

/* First what there is, and then what is new, or the other way round. */
static void hear_twice(struct hf_carry **carry)
{
	struct hf_carry *early;
	struct hf_error err;

	if (hf_keeper_preview_on(peer, "disk0", &early, &err) != 0) {
		return;
	}
	hf_carry_prepare(early);
	if (hf_keeper_get_rest_on(peer, "disk0", early, carry, &err) != 0) {
		*carry = NULL;
	}
}

static void hear(uint8_t choice, struct stream *bytes)
{
	struct hf_keeper_entry entries[4];
	struct hf_carry *carry = NULL;
	struct hf_error err;
	uint32_t count;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
		fail("no sockets");
	}
	peer = ends[0];
	say_all(ends[1], bytes);
	switch (choice) {
	case 0:
		(void)!hf_carry_receive(&carry, peer, 0, &err);
		break;
	case 1:
		(void)!hf_keeper_get_on(peer, "disk0", &carry, &err);
		break;
	case 2:
		hear_twice(&carry);
		break;
	case 3:
		(void)!hf_keeper_list("keeper", entries, 4, &count, &err);
		break;
	case 4:
		carry = hf_carry_new(true);
		(void)!hf_keeper_put("keeper", "disk0", carry, &err);
		break;
	default:
		(void)!hf_keeper_drop("keeper", "disk0", &err);
		break;
	}
	if (carry != NULL) {
		use(carry);
	}
	close(ends[0]);
	close(ends[1]);
}

/* ------------------------------------------------------ by the environment */

static void put_at(int fd, int number)
{
	if (fd < 0 || dup2(fd, number) != number) {
		fail("no descriptors");
	}
	close(fd);
}

static int text_file(const void *text, size_t len_bytes)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || pwrite(fd, text, len_bytes, 0) != (ssize_t)len_bytes) {
		fail("no memfd");
	}
	return fd;
}

/* One of each kind; the first is the text that the input says. */
static void make_listed(struct stream *bytes)
{
	static uint8_t text[HF_FDSET_TEXT_BYTES];
	uint8_t len = stream_u8(bytes) % TEXT_MAX;

	for (uint32_t i = 0; i < len; i++) {
		text[i] = stream_u8(bytes);
	}
	put_at(text_file(text, len), LISTED_FROM);
	put_at(text_file("kind=vfio\n", 10), LISTED_FROM + 1);
	put_at(text_file(STORE_TEXT, strlen(STORE_TEXT)), LISTED_FROM + 2);
	put_at(text_file(text, sizeof(text)), LISTED_FROM + 3);
	put_at(eventfd(0, EFD_CLOEXEC), LISTED_FROM + 4);
	put_at(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), LISTED_FROM + 5);
	put_at(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), LISTED_FROM + 6);
	put_at(open("/dev/null", O_RDWR | O_CLOEXEC), LISTED_FROM + 7);
}

static void close_from(int first, int count)
{
	for (int i = 0; i < count; i++) {
		close(first + i);
	}
}

static char *rest_as_text(struct stream *bytes)
{
	size_t left =
		HF_MIN(bytes->len_bytes - bytes->at, (size_t)ENVIRONMENT_MAX);
	char *text = strndup((const char *)bytes->data + bytes->at, left);

	if (text == NULL) {
		abort();
	}
	return text;
}

/* The call takes the descriptors that it is told of, and closes them: they may
 * not be the fuzzer's own. */
static bool names_a_stranger(const char *list)
{
	const char *word = strncmp(list, "1:", 2) == 0 ? list + 2 : list;

	while (word != NULL) {
		long fd = strtol(word, NULL, 10);

		if (fd >= 3 && fd < LISTED_FROM &&
		    fcntl((int)fd, F_GETFD) >= 0) {
			return true;
		}
		word = strchr(word, ',');
		word = word != NULL ? word + 1 : NULL;
	}
	return false;
}

static void pass_exec(struct stream *bytes)
{
	struct hf_carry *carry;
	struct hf_error err;

	make_listed(bytes);
	char *list = rest_as_text(bytes);
	if (!names_a_stranger(list)) {
		setenv("HOLDFAST_CARRY", list, 1);
		if (hf_carry_from_exec(&carry, &err) == 0) {
			use(carry);
		}
		if (getenv("HOLDFAST_CARRY") != NULL) {
			unsetenv("HOLDFAST_CARRY");
			if (strncmp(list, "1:", 2) == 0) {
				fail("the list would be taken twice");
			}
		}
	}
	free(list);
	close_from(LISTED_FROM, LISTED);
}

/* Whatever has the numbers that systemd gives makes room for the time. */
static void make_room(bool before)
{
	for (int i = 0; i < LISTED; i++) {
		int from = before ? SYSTEMD_FROM + i : SAVED_FROM + i;
		int to = before ? SAVED_FROM + i : SYSTEMD_FROM + i;

		if (dup3(from, to, O_CLOEXEC) == to) {
			close(from);
		}
	}
}

static void out_of_store(struct stream *bytes)
{
	uint8_t count = stream_u8(bytes);
	struct hf_carry *carry;
	struct hf_error err;
	char number[16];

	make_listed(bytes);
	make_room(true);
	for (int i = 0; i < LISTED; i++) {
		put_at(LISTED_FROM + i, SYSTEMD_FROM + i);
	}
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%d",
		 count < 0xf0 ? count % (LISTED + 1) : count - 0xf8);
	setenv("LISTEN_FDS", number, 1);
	char *names = rest_as_text(bytes);
	setenv("LISTEN_FDNAMES", names, 1);
	if (hf_store_get("disk0", &carry, &err) == 0) {
		use(carry);
	}
	free(names);
	close_from(SYSTEMD_FROM, LISTED);
	make_room(false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct stream bytes = {.data = data, .len_bytes = len_bytes};
	uint8_t choice = stream_u8(&bytes) % 8;

	if (memory < 0) {
		memory = text_file("kind=vfio-user\n", 15);
	}
	uint32_t before = wire_open_descriptors();

	if (choice == 6) {
		pass_exec(&bytes);
	} else if (choice == 7) {
		out_of_store(&bytes);
	} else {
		hear(choice, &bytes);
	}
	if (wire_open_descriptors() != before) {
		fail("a descriptor was not closed");
	}
	return 0;
}
