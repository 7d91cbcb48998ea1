/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire_messages.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/checked.h"
#include "device/fdset.h"
#include "runtime/keeper_wire.h"

enum {
	MESSAGE_BYTES = 65536,
	FDS_MAX = 253, /* the kernel takes no more in one message */
};

/* What hf_wire_out() sends; kept apart from it, so that a change shows. */
struct set_header {
	uint64_t magic;
	uint32_t version;
	uint32_t count;
	uint32_t text_bytes;
	uint32_t same;
};

struct part_header {
	uint64_t magic;
	uint32_t first;
	uint32_t count;
};

#define SET_MAGIC  UINT64_C(0x3154455346484446)
#define PART_MAGIC UINT64_C(0x3154525046484446)

static uint8_t message[MESSAGE_BYTES];

static size_t make_raw(struct stream *bytes)
{
	uint8_t len = stream_u8(bytes);

	/* The longest are of one byte: an input need not be as long. */
	if (len >= 0xf0) {
		size_t long_len = stream_u16(bytes);

		memset(message, stream_u8(bytes), long_len);
		return long_len;
	}
	for (uint32_t i = 0; i < len; i++) {
		message[i] = stream_u8(bytes);
	}
	return len;
}

static void make_name(char *name, size_t room, uint8_t choice)
{
	static const char *const odd[] = {"",   ".",     "a b",  "..",    "\n",
					  "%s", "disk0", "text", "ledger"};

	if (choice < 0xe0) {
		snprintf(name, room, "disk%u", choice % 4);
	} else if (choice < 0xf8) {
		snprintf(name, room, "%s", odd[choice % HF_ARRAY_LEN(odd)]);
	} else {
		memset(name, 'x', room);
	}
}

static size_t make_request(struct stream *bytes)
{
	struct hf_keeper_request request = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.op = stream_u8(bytes) % 8,
	};

	make_name(request.name, sizeof(request.name), stream_u8(bytes));
	memcpy(message, &request, sizeof(request));
	return sizeof(request);
}

static size_t make_answer(struct stream *bytes)
{
	struct hf_keeper_answer answer = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
	};
	uint8_t choice = stream_u8(bytes);

	answer.count = choice < 0x80 ? choice : stream_u32(bytes);
	if (choice % 8 == 7) {
		answer.result = (int32_t)stream_u32(bytes);
	}
	memcpy(message, &answer, sizeof(answer));
	return sizeof(answer);
}

static size_t make_list(struct stream *bytes)
{
	uint32_t count = stream_u8(bytes);
	size_t len = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct hf_keeper_entry entry = {.descriptors = i};

		make_name(entry.name, sizeof(entry.name), stream_u8(bytes));
		memcpy(message + len, &entry, sizeof(entry));
		len += sizeof(entry);
	}
	return len;
}

/* One in sixteen is the rest of a set, with its descriptors beside it. */
static size_t make_set(struct wire_sender *sender, struct stream *bytes,
		       uint32_t *fds)
{
	uint8_t choice = stream_u8(bytes);
	uint32_t named = choice < 0xf0 ? choice % 8 : stream_u16(bytes) % 600;
	uint32_t same = choice >= 0xe0 && choice < 0xf0 ? named / 2 : 0;
	struct set_header header = {
		.magic = SET_MAGIC,
		.version = 1,
		.count = choice % 16 == 15 ? stream_u32(bytes) : named,
		.text_bytes = stream_u8(bytes),
		.same = same,
	};
	size_t len = sizeof(header);

	for (uint32_t i = same; i < named; i++) {
		char name[HF_FDSET_NAME_BYTES] = "";

		snprintf(name, sizeof(name), "dma-%u", i);
		memcpy(message + len, name, sizeof(name));
		len += sizeof(name);
	}
	for (uint32_t i = 0; i < header.text_bytes; i++) {
		message[len++] = stream_u8(bytes) | ' ';
	}
	if (header.text_bytes > 0) {
		message[len - 1] = '\n';
	}
	memcpy(message, &header, sizeof(header));
	*fds = same > 0 ? named - same : 0;
	sender->first = same > 0 ? named : 0;
	sender->left = named - sender->first;
	return len;
}

static size_t make_part(struct wire_sender *sender, struct stream *bytes,
			uint32_t *fds)
{
	uint8_t choice = stream_u8(bytes);
	uint32_t count = HF_MIN(sender->left, 250u);
	struct part_header header = {.magic = PART_MAGIC,
				     .first = sender->first};

	if (choice >= 0x80) {
		count = HF_MIN(count, choice % 8u);
	}
	header.count = count;
	sender->first += count;
	sender->left -= count;
	memcpy(message, &header, sizeof(header));
	*fds = count;
	return sizeof(header);
}

static size_t make(struct wire_sender *sender, enum wire_kind kind,
		   struct stream *bytes, uint32_t *fds)
{
	switch (kind) {
	case WIRE_REQUEST:
		return make_request(bytes);
	case WIRE_ANSWER:
		return make_answer(bytes);
	case WIRE_SET:
		return make_set(sender, bytes, fds);
	case WIRE_PART:
		return make_part(sender, bytes, fds);
	case WIRE_LIST:
		return make_list(bytes);
	case WIRE_RAW:
	case WIRE_KINDS:
		break;
	}
	return make_raw(bytes);
}

/* In one message of four; the next byte says how. */
static size_t lie(size_t len, struct stream *bytes, uint32_t *fds)
{
	uint8_t choice = stream_u8(bytes);

	if (choice < 0xc0) {
		return len;
	}
	if (choice < 0xd0) {
		*fds = stream_u8(bytes);
	} else if (choice < 0xe0 && len > 0) {
		len -= stream_u8(bytes) % len;
	} else if (choice < 0xf0) {
		len += stream_u8(bytes);
		len = HF_MIN(len, sizeof(message));
	} else if (len > 0) {
		message[stream_u16(bytes) % len] = stream_u8(bytes);
	}
	return len;
}

void wire_send(struct wire_sender *sender, enum wire_kind kind,
	       struct stream *bytes, int attached)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control = {0};
	struct iovec iov = {.iov_base = message};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	uint32_t fds = 0;

	iov.iov_len = make(sender, kind, bytes, &fds);
	iov.iov_len = lie(iov.iov_len, bytes, &fds);
	fds = HF_MIN(fds, (uint32_t)FDS_MAX);
	if (fds > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds);
		struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * fds);
		for (uint32_t i = 0; i < fds; i++) {
			memcpy(CMSG_DATA(header) + i * sizeof(int), &attached,
			       sizeof(attached));
		}
	}
	(void)!sendmsg(sender->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

uint32_t wire_open_descriptors(void)
{
	DIR *all = opendir("/proc/self/fd");
	uint32_t count = 0;

	if (all == NULL) {
		return 0; /* not to be had here: nothing is compared */
	}
	while (readdir(all) != NULL) {
		count++;
	}
	closedir(all);
	return count;
}
