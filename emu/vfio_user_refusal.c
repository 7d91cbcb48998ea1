/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/vfio_user_refusal.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "spec/vfio_user.h"

#define PATIENCE_MS 2000

void hf_vfus_refusals_init(struct hf_vfus_refusals *refusals)
{
	for (uint32_t i = 0; i < HF_VFUS_REFUSALS; i++) {
		refusals->each[i].fd = -1;
	}
}

void hf_vfus_refuse(struct hf_vfus_refusals *refusals, int fd, int epoll_fd,
		    uint32_t source)
{
	for (uint32_t i = 0; i < HF_VFUS_REFUSALS; i++) {
		struct hf_vfus_refusal *refusal = &refusals->each[i];
		struct epoll_event event = {.events = EPOLLIN,
					    .data = {.u32 = source + i}};

		if (refusal->fd < 0) {
			if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) !=
			    0) {
				break;
			}
			refusal->fd = fd;
			refusal->deadline_ns = hf_deadline_ms(PATIENCE_MS);
			return;
		}
	}
	close(fd);
}

static void end(struct hf_vfus_refusal *refusal)
{
	if (refusal->fd >= 0) {
		close(refusal->fd);
		refusal->fd = -1;
	}
}

void hf_vfus_refusal_serve(struct hf_vfus_refusals *refusals, uint32_t number)
{
	struct vfu_header header;
	uint8_t rest[4096];

	if (number >= HF_VFUS_REFUSALS || refusals->each[number].fd < 0) {
		return;
	}

	/* Descriptors are dropped by the kernel: there is no room for them. */
	int fd = refusals->each[number].fd;
	ssize_t got = recv(fd, &header, sizeof(header), MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (got == (ssize_t)sizeof(header)) {
		/* What is unread when a socket is closed makes its peer lose
		 * what it was sent. */
		(void)!recv(fd, rest, sizeof(rest), MSG_DONTWAIT);
		header.size = sizeof(header);
		header.flags = VFU_FLAG_TYPE_REPLY | VFU_FLAG_ERROR;
		header.error = EBUSY;
		(void)!send(fd, &header, sizeof(header),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	end(&refusals->each[number]);
}

void hf_vfus_refusals_end(struct hf_vfus_refusals *refusals, bool all)
{
	for (uint32_t i = 0; i < HF_VFUS_REFUSALS; i++) {
		struct hf_vfus_refusal *refusal = &refusals->each[i];

		if (all || (refusal->fd >= 0 &&
			    hf_deadline_passed(refusal->deadline_ns))) {
			end(refusal);
		}
	}
}

int hf_vfus_refusals_patience_ms(const struct hf_vfus_refusals *refusals)
{
	for (uint32_t i = 0; i < HF_VFUS_REFUSALS; i++) {
		if (refusals->each[i].fd >= 0) {
			return PATIENCE_MS;
		}
	}
	return -1;
}
