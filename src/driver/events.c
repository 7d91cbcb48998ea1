/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver/events.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int hf_event_ring_init(struct hf_event_ring *ring)
{
	ring->first = 0;
	ring->count = 0;
	ring->lost = 0;
	ring->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->fd < 0) {
		return -errno;
	}
	pthread_mutex_init(&ring->lock, NULL);
	return 0;
}

void hf_event_ring_fini(struct hf_event_ring *ring)
{
	close(ring->fd);
	pthread_mutex_destroy(&ring->lock);
}

void hf_event_ring_put(struct hf_event_ring *ring, const struct hf_event *event)
{
	pthread_mutex_lock(&ring->lock);
	if (ring->count == HF_EVENT_RING) {
		ring->lost++;
		pthread_mutex_unlock(&ring->lock);
		return;
	}

	uint32_t at = (ring->first + ring->count) % HF_EVENT_RING;
	ring->each[at] = *event;
	ring->each[at].lost = ring->lost;
	ring->lost = 0;
	ring->count++;
	pthread_mutex_unlock(&ring->lock);
	(void)!eventfd_write(ring->fd, 1);
}

int hf_event_ring_take(struct hf_event_ring *ring, struct hf_event *event)
{
	eventfd_t count;
	int taken = 0;

	pthread_mutex_lock(&ring->lock);
	if (ring->count > 0) {
		*event = ring->each[ring->first];
		ring->first = (ring->first + 1) % HF_EVENT_RING;
		ring->count--;
		taken = 1;
	}
	if (ring->count == 0) {
		(void)!eventfd_read(ring->fd, &count);
	}
	pthread_mutex_unlock(&ring->lock);
	return taken;
}
