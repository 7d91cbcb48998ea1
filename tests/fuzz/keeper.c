/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: nothing that clients say to a keeper harms it or other clients: it
 * goes on to answer, and what it holds it gives back whole.
 * Method: a keeper and three clients, each of which sends what the input says
 * (wire_messages.h). In the end an honest client asks for the list and for each
 * set in it; then the keeper is closed, and no descriptor may be left.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "runtime/carry_wire.h"
#include "runtime/keeper_wire.h"
#include "wire_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

enum {
	CLIENTS = 3,
	STEPS_MAX = 100,
	TURNS = 4,
};

static char directory[] = "/tmp/holdfast-fuzz.XXXXXX";
static char path[64];
static int memory = -1;
static struct hf_keeper *keeper;
static struct wire_sender clients[CLIENTS];
static struct hf_wire_message message;

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void clean_up(void)
{
	rmdir(directory);
}

static void prepare(void)
{
	memory = memfd_create("fuzz", MFD_CLOEXEC);
	if (memory < 0 || mkdtemp(directory) == NULL) {
		fail("no memfd, or no directory");
	}
	atexit(clean_up);
	snprintf(path, sizeof(path), "%s/socket", directory);
}

/* Whatever there is to do: a client's 16 messages take one turn. */
static void process(void)
{
	for (int i = 0; i < TURNS; i++) {
		hf_keeper_process(keeper);
	}
}

static void say(struct wire_sender *client, struct stream *bytes, uint8_t step)
{
	if (client->fd < 0) {
		client->fd = hf_keeper_connect(path, NULL);
	}
	wire_send(client, (enum wire_kind)(step / 8 % WIRE_KINDS), bytes,
		  memory);
}

/* Answers that nobody takes fill the socket: then it is hung up on. */
static void listen_to(struct wire_sender *client)
{
	while (client->fd >= 0 && hf_wire_read(client->fd, &message) == 0) {
		hf_wire_close_fds(&message);
	}
}

static void hang_up(struct wire_sender *client)
{
	if (client->fd >= 0) {
		close(client->fd);
	}
	*client = (struct wire_sender){.fd = -1};
}

static void take_steps(struct stream *bytes)
{
	for (uint32_t i = 0; i < STEPS_MAX && bytes->at < bytes->len_bytes;
	     i++) {
		uint8_t step = stream_u8(bytes);
		struct wire_sender *client = &clients[step >> 6 & 1];

		switch (step % 8) {
		case 0:
			hang_up(client);
			break;
		case 1:
			listen_to(client);
			break;
		case 2:
			/* Several messages before the keeper looks. */
			say(client, bytes, step);
			continue;
		case 3:
			client = &clients[2];
			say(client, bytes, step);
			break;
		default:
			say(client, bytes, step);
			break;
		}
		process();
	}
}

static void ask(int fd, enum hf_keeper_op op, const char *name,
		struct hf_keeper_answer *answer)
{
	struct hf_keeper_request request = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.op = op,
	};

	snprintf(request.name, sizeof(request.name), "%s", name);
	if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) !=
	    (ssize_t)sizeof(request)) {
		fail("an honest client cannot ask");
	}
	process();
	if (hf_wire_read(fd, &message) != 0 ||
	    message.len_bytes != sizeof(*answer)) {
		fail("an honest client gets no answer");
	}
	memcpy(answer, message.bytes, sizeof(*answer));
	if (answer->result != 0) {
		fail("an honest client is refused");
	}
}

static void expect_set(int fd, const struct hf_keeper_entry *entry)
{
	struct hf_keeper_answer answer;
	struct hf_carry *carry;

	ask(fd, HF_KEEPER_GET, entry->name, &answer);
	if (hf_carry_receive(&carry, fd, 0, NULL) != 0 ||
	    hf_carry_count(carry) != entry->descriptors) {
		fail("a set is not given back as it is listed");
	}
	hf_carry_free(carry);
}

static void expect_honesty(void)
{
	struct hf_keeper_entry entries[HF_KEEPER_SETS_MAX];
	struct hf_keeper_answer answer;
	int fd = hf_keeper_connect(path, NULL);

	if (fd < 0) {
		fail("nobody can connect any more");
	}
	ask(fd, HF_KEEPER_LIST, "", &answer);
	if (answer.count > HF_KEEPER_SETS_MAX) {
		fail("the list is too long");
	}
	if (answer.count > 0) {
		if (hf_wire_read(fd, &message) != 0 ||
		    message.len_bytes != answer.count * sizeof(entries[0])) {
			fail("the list did not come");
		}
		memcpy(entries, message.bytes, message.len_bytes);
	}
	for (uint32_t i = 0; i < answer.count; i++) {
		expect_set(fd, &entries[i]);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct stream bytes = {.data = data, .len_bytes = len_bytes};

	if (memory < 0) {
		prepare();
	}
	uint32_t before = wire_open_descriptors();

	if (hf_keeper_open(&keeper, path, NULL, NULL) != 0) {
		fail("no keeper");
	}
	for (uint32_t i = 0; i < CLIENTS; i++) {
		clients[i] = (struct wire_sender){.fd = -1};
	}
	take_steps(&bytes);
	process();
	expect_honesty();
	for (uint32_t i = 0; i < CLIENTS; i++) {
		hang_up(&clients[i]);
	}
	hf_keeper_close(keeper);
	if (wire_open_descriptors() != before) {
		fail("a descriptor was not closed");
	}
	return 0;
}
