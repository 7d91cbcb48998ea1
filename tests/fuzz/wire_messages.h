/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages of a keeper's socket, both ways, made of a fuzzer's bytes: whole and
 * well-formed where the bytes have it so, with lies in them where not. */
#pragma once

#include <stdint.h>

#include "stream.h"

enum wire_kind {
	WIRE_RAW,
	WIRE_REQUEST,
	WIRE_ANSWER,
	WIRE_SET,  /* the first message of a set */
	WIRE_PART, /* the next one: as many descriptors as it still takes */
	WIRE_LIST,
	WIRE_KINDS,
};

/* One end of a connection, and what its set still lacks. */
struct wire_sender {
	int fd;
	uint32_t first;
	uint32_t left;
};

/* Sends one message, or nothing where the socket has no room for it. The
 * descriptors that go along are all @attached. */
void wire_send(struct wire_sender *sender, enum wire_kind kind,
	       struct stream *bytes, int attached);

/* So many of this process' descriptors are open. */
uint32_t wire_open_descriptors(void);
