/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/irq.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "emu/ctrl.h"

int hf_emu_irq_init(struct hf_emu_irq *irq, uint32_t vectors)
{
	irq->mode = HF_EMU_IRQ_MSIX;
	pthread_mutex_init(&irq->pin_lock, NULL);
	irq->vectors = calloc(vectors, sizeof(irq->vectors[0]));
	if (irq->vectors == NULL) {
		return -ENOMEM;
	}
	irq->count = vectors;
	for (uint32_t i = 0; i < vectors; i++) {
		pthread_mutex_init(&irq->vectors[i].lock, NULL);
		irq->vectors[i].eventfd = -1;
	}
	return 0;
}

void hf_emu_irq_fini(struct hf_emu_irq *irq)
{
	for (uint32_t i = 0; i < irq->count; i++) {
		if (irq->vectors[i].eventfd >= 0) {
			close(irq->vectors[i].eventfd);
		}
		pthread_mutex_destroy(&irq->vectors[i].lock);
	}
	free(irq->vectors);
	irq->vectors = NULL;
	irq->count = 0;
	pthread_mutex_destroy(&irq->pin_lock);
}

/* The vector's lock is held, so that the descriptor stays what it is. */
static void deliver(struct hf_emu_irq *irq, struct hf_emu_vector *vector)
{
	struct pollfd pollfd = {.fd = vector->eventfd, .events = POLLOUT};
	uint64_t one = 1;

	if (vector->masked || vector->eventfd < 0) {
		vector->pending = true;
		return;
	}
	vector->pending = false;
	/* A full counter is an interrupt that is pending already; whoever
	 * filled it must not make the controller wait. */
	if (poll(&pollfd, 1, 0) == 1) {
		(void)!write(vector->eventfd, &one, sizeof(one));
	}
	__atomic_fetch_add(&irq->raised, 1, __ATOMIC_RELAXED);
}

void hf_emu_irq_raise(struct hf_emu *emu, uint16_t vector)
{
	struct hf_emu_irq *irq = &emu->irq;

	switch ((enum hf_emu_irq_mode)hf_emu_load(&irq->mode)) {
	case HF_EMU_IRQ_NONE:
		break;
	case HF_EMU_IRQ_INTX:
		hf_emu_irq_update_pin(emu);
		break;
	case HF_EMU_IRQ_MSIX:
		if (vector < irq->count) {
			pthread_mutex_lock(&irq->vectors[vector].lock);
			deliver(irq, &irq->vectors[vector]);
			pthread_mutex_unlock(&irq->vectors[vector].lock);
		}
		break;
	}
}

static bool pin_wanted(struct hf_emu *emu)
{
	uint32_t masked = hf_emu_load(&emu->irq.intms);

	if (hf_emu_load(&emu->irq.mode) != HF_EMU_IRQ_INTX) {
		return false;
	}
	for (uint32_t i = 0; i <= emu->options.max_cqs; i++) {
		const struct hf_emu_cq *cq = &emu->cqs[i];

		if (hf_emu_load(&cq->valid) == 0 ||
		    hf_emu_load(&cq->irq_enabled) == 0 || hf_emu_cq_empty(cq)) {
			continue;
		}
		uint32_t vector = hf_emu_load(&cq->vector);
		if (vector >= 32 || (masked & (UINT32_C(1) << vector)) == 0) {
			return true;
		}
	}
	return false;
}

static void update_pin(struct hf_emu *emu)
{
	struct hf_emu_irq *irq = &emu->irq;

	pthread_mutex_lock(&irq->pin_lock);
	bool wanted = pin_wanted(emu);
	if (wanted != irq->pin_high) {
		irq->pin_high = wanted;
		if (wanted) {
			__atomic_fetch_add(&irq->raised, 1, __ATOMIC_RELAXED);
		}
		if (irq->level != NULL) {
			irq->level(irq->user, wanted);
		}
	}
	pthread_mutex_unlock(&irq->pin_lock);
}

void hf_emu_irq_update_pin(struct hf_emu *emu)
{
	if (hf_emu_load(&emu->irq.mode) == HF_EMU_IRQ_INTX) {
		update_pin(emu);
	}
}

void hf_emu_irq_reset(struct hf_emu *emu)
{
	for (uint32_t i = 0; i < emu->irq.count; i++) {
		pthread_mutex_lock(&emu->irq.vectors[i].lock);
		emu->irq.vectors[i].pending = false;
		pthread_mutex_unlock(&emu->irq.vectors[i].lock);
	}
	update_pin(emu);
}

void hf_emu_irq_mode(struct hf_emu *emu, enum hf_emu_irq_mode mode)
{
	hf_emu_store(&emu->irq.mode, mode);
	update_pin(emu);
}

int hf_emu_irq_set(struct hf_emu *emu, uint32_t vector, int eventfd,
		   struct hf_error *err)
{
	if (vector >= emu->irq.count) {
		return hf_error_set(err, -EINVAL,
				    "emulated: vector %u of %u does not exist",
				    vector, emu->irq.count);
	}

	int fd = -1;
	if (eventfd >= 0) {
		fd = fcntl(eventfd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0) {
			return hf_error_set(err, -errno,
					    "emulated: cannot keep the eventfd "
					    "of vector %u",
					    vector);
		}
	}

	struct hf_emu_vector *v = &emu->irq.vectors[vector];
	pthread_mutex_lock(&v->lock);
	int old = v->eventfd;
	v->eventfd = fd;
	if (v->pending && fd >= 0) {
		deliver(&emu->irq, v);
	}
	pthread_mutex_unlock(&v->lock);
	if (old >= 0) {
		close(old);
	}
	return 0;
}

void hf_emu_irq_mask(struct hf_emu *emu, uint32_t vector, bool masked)
{
	if (vector >= emu->irq.count) {
		return;
	}

	struct hf_emu_vector *v = &emu->irq.vectors[vector];
	pthread_mutex_lock(&v->lock);
	v->masked = masked;
	if (!masked && v->pending) {
		deliver(&emu->irq, v);
	}
	pthread_mutex_unlock(&v->lock);
}

bool hf_emu_irq_pending(struct hf_emu *emu, uint32_t vector)
{
	if (vector >= emu->irq.count) {
		return false;
	}

	struct hf_emu_vector *v = &emu->irq.vectors[vector];
	pthread_mutex_lock(&v->lock);
	bool pending = v->pending;
	pthread_mutex_unlock(&v->lock);
	return pending;
}

void hf_emu_intx_set(struct hf_emu *emu, void (*level)(void *user, bool high),
		     void *user)
{
	pthread_mutex_lock(&emu->irq.pin_lock);
	emu->irq.level = level;
	emu->irq.user = user;
	pthread_mutex_unlock(&emu->irq.pin_lock);
}

bool hf_emu_intx_level(struct hf_emu *emu)
{
	pthread_mutex_lock(&emu->irq.pin_lock);
	bool high = emu->irq.pin_high;
	pthread_mutex_unlock(&emu->irq.pin_lock);
	return high;
}
