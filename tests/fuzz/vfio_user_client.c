/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: no byte that a vfio-user server may send does more to its client than
 * cost it the connection.
 * Method: the input is all that the server ever says, cut into messages by
 * their own sizes; the client opens the device, uses it a little, lets go. Bit
 * N % 8 of the first byte attaches a descriptor to message N.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/checked.h"
#include "device/vfio_user.h"
#include "spec/vfio_user.h"

enum {
	TIMEOUT_MS = 50,
	MESSAGES_MAX = 64,
	BAR0_BYTES = 0x4000,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

static void send_piece(int fd, const uint8_t *data, size_t len_bytes,
		       int attached)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {(void *)data, len_bytes};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

	if (attached >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &attached, sizeof(int));
	}
	/* What the socket has no room for is left out. */
	(void)!sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void say_all(int fd, const uint8_t *data, size_t len_bytes, int memory)
{
	uint8_t attach = data[0];
	size_t at = 1;

	for (uint32_t nth = 0; at < len_bytes && nth < MESSAGES_MAX; nth++) {
		struct vfu_header header;
		size_t piece = len_bytes - at;

		if (piece >= sizeof(header)) {
			memcpy(&header, data + at, sizeof(header));
			piece = HF_MIN(piece, HF_MAX(header.size, 1u));
		}
		send_piece(fd, data + at, piece,
			   (attach >> (nth % 8) & 1) != 0 ? memory : -1);
		at += piece;
	}
	shutdown(fd, SHUT_WR);
}

/* What a driver does with a device, more or less. */
static void use(struct hf_device *dev)
{
	struct hf_dma_block block;
	struct hf_doorbell doorbell;
	struct hf_error err;
	uint64_t value;
	int fd;

	(void)!hf_reg_read64(dev, 0, &value);
	(void)!hf_reg_write32(dev, 0x14, 0x460001);
	if (hf_doorbell_init(&doorbell, dev, 0x1000, &err) == 0) {
		hf_doorbell_ring(&doorbell, 1);
	}
	if (hf_dma_block_alloc(&dev->dma, 4096, HF_DMA_OWNER_CALLER, 0, &block,
			       &err) == 0) {
		hf_dma_block_free(&dev->dma, &block);
	}
	(void)!dev->ops->irq_map(dev, 0, 0, &fd, &err);
	(void)!dev->ops->reset(dev, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct hf_device_options options;
	struct hf_device *dev;
	struct hf_error err;
	int ends[2];

	if (len_bytes < 1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
		return 0;
	}
	int memory = memfd_create("fuzz", MFD_CLOEXEC);
	if (memory < 0 || ftruncate(memory, BAR0_BYTES) != 0) {
		abort();
	}
	say_all(ends[1], data, len_bytes, memory);

	hf_device_options_init(&options);
	options.timeout_ms = TIMEOUT_MS;
	options.huge_pages = HF_HUGE_PAGES_OFF;
	if (hf_vfio_user_open_fd(&dev, ends[0], "fuzz", &options, &err) == 0) {
		use(dev);
		hf_device_release(dev, HF_RELEASE_RESET);
	}
	close(memory);
	close(ends[1]);
	return 0;
}
