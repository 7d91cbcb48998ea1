/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that come while another is served: they are told so, and closed.
 * Knows no device. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HF_VFUS_REFUSALS 4u

struct hf_vfus_refusal {
	int fd; /* -1: none */
	uint64_t deadline_ns;
};

struct hf_vfus_refusals {
	struct hf_vfus_refusal each[HF_VFUS_REFUSALS];
};

void hf_vfus_refusals_init(struct hf_vfus_refusals *refusals);

/* Takes the descriptor; it is watched with @epoll_fd under a number from
 * @source on, by which hf_vfus_refusal_serve() is to be called. */
void hf_vfus_refuse(struct hf_vfus_refusals *refusals, int fd, int epoll_fd,
		    uint32_t source);
void hf_vfus_refusal_serve(struct hf_vfus_refusals *refusals, uint32_t number);

/* Gives up those that have said nothing for too long, or all of them. */
void hf_vfus_refusals_end(struct hf_vfus_refusals *refusals, bool all);
/* When to look for such: -1 for never. */
int hf_vfus_refusals_patience_ms(const struct hf_vfus_refusals *refusals);
