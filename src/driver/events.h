/* SPDX-License-Identifier: BSD-3-Clause */
/* Events for the user: a bounded ring. Knows no controller. */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "holdfast/driver.h"

enum { HF_EVENT_RING = 64 };

struct hf_event_ring {
	pthread_mutex_t lock;
	struct hf_event each[HF_EVENT_RING];
	uint32_t first;
	uint32_t count;
	uint32_t lost; /* since the newest that was kept */
	int fd;        /* eventfd, readable while there are some */
};

HF_MUST_CHECK int hf_event_ring_init(struct hf_event_ring *ring);
void hf_event_ring_fini(struct hf_event_ring *ring);
/* @event is copied; dropped, and counted, when the ring is full. */
void hf_event_ring_put(struct hf_event_ring *ring,
		       const struct hf_event *event);
/* 1, or 0 when there is none. */
int hf_event_ring_take(struct hf_event_ring *ring, struct hf_event *event);
