/* SPDX-License-Identifier: BSD-3-Clause */
/* A set of descriptors as messages of a SOCK_SEQPACKET socket. What comes is
 * not trusted. Blocks nowhere but where it says so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/carry.h"

enum {
	/* The kernel takes 253 in one message. */
	HF_WIRE_FDS = 250,
	/* The longest message: a header, names and text. */
	HF_WIRE_MAX_BYTES =
		64 + HF_FDSET_MAX * HF_FDSET_NAME_BYTES + HF_FDSET_TEXT_BYTES,
};

/* A message as it came. The descriptors are the receiver's to close. */
struct hf_wire_message {
	uint32_t len_bytes;
	uint32_t fd_count;
	int fds[HF_WIRE_FDS];
	uint8_t bytes[HF_WIRE_MAX_BYTES] __attribute__((aligned(8)));
};

/* Takes the next message, if there is one: 0, -EAGAIN, -ECONNRESET at the end
 * of the connection, -EPROTO for one that is too long. */
HF_MUST_CHECK int hf_wire_read(int socket, struct hf_wire_message *message);
void hf_wire_close_fds(struct hf_wire_message *message);

/* The same, waiting for it until @deadline_ns: also -ETIMEDOUT. */
HF_MUST_CHECK int hf_wire_read_wait(int socket, struct hf_wire_message *message,
				    uint64_t deadline_ns);

/* The same for one that is due: this thread does not sleep for the first
 * @spin_ns, which would take it longer than to look. */
HF_MUST_CHECK int hf_wire_read_soon(int socket, struct hf_wire_message *message,
				    uint64_t spin_ns, uint64_t deadline_ns);

/* Sends one message, waiting for room until @deadline_ns. */
HF_MUST_CHECK int hf_wire_write_wait(int socket, const void *bytes,
				     size_t len_bytes, const int *fds,
				     uint32_t fd_count, uint64_t deadline_ns);

/* A set that is being received, message by message. */
struct hf_wire_in {
	struct hf_carry *carry;
	struct hf_carry *early; /* some may be out of this one, or NULL */
	uint32_t same;          /* as many as that are */
	uint32_t expected; /* descriptors, once the first message has come */
	bool begun;
};

/* Is it the first message of a set, or made to look like one? */
bool hf_wire_begins_set(const struct hf_wire_message *message);

/* Judges one message and takes its descriptors: 1 when the set is whole, 0 for
 * more to come, -EPROTO, -ENOMEM. */
HF_MUST_CHECK int hf_wire_in_step(struct hf_wire_in *in,
				  struct hf_wire_message *message,
				  struct hf_error *err);
/* The whole set, or NULL; @in is empty afterwards. */
struct hf_carry *hf_wire_in_take(struct hf_wire_in *in);
void hf_wire_in_drop(struct hf_wire_in *in);

/* Sends a set without its first @same descriptors, which the other side has,
 * waiting for room until @deadline_ns. */
HF_MUST_CHECK int hf_wire_out(const struct hf_carry *carry, uint32_t same,
			      int socket, uint64_t deadline_ns,
			      struct hf_error *err);

/* Receives a set. @early: one that came over this socket before, or NULL;
 * descriptors move from it to the new one. @message: the first that came, or
 * one of no length; others are put there. */
HF_MUST_CHECK int hf_wire_receive(struct hf_carry **carry,
				  struct hf_carry *early, int socket,
				  struct hf_wire_message *message,
				  uint64_t deadline_ns, struct hf_error *err);
