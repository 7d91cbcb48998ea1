/* SPDX-License-Identifier: BSD-3-Clause */
/* The interrupts of a vfio-user device: which descriptors the client gave, and
 * how a pin's level becomes events. Knows no message. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "holdfast/emu.h"

struct hf_vfus_irq {
	struct hf_emu *emu;
	uint32_t vectors;
	uint8_t *table;  /* MSI-X table as written: 16 bytes a vector */
	bool *masked;    /* by the client, per vector */
	bool all_masked; /* by the Function Mask bit */
	int error_fd;    /* "an error": stored, never raised */
	int request_fd;  /* "let go of the device" */
	bool strict_intx;
	int wake_fd; /* of the server: look at unheard */

	/* The pin; changed by any thread of the controller. */
	pthread_mutex_t lock;
	bool intx_allowed; /* the mode is INTx */
	bool intx_high;
	bool intx_masked;
	int intx_fd;
	int unmask_fd; /* an event on it unmasks the pin; the server's thread */
	int watch_fd;  /* epoll: readable when unmask_fd is */
	bool unheard;  /* raised with nobody listening, where that matters */
};

int hf_vfus_irq_init(struct hf_vfus_irq *irq, struct hf_emu *emu,
		     uint32_t vectors, bool strict_intx, int wake_fd);
void hf_vfus_irq_fini(struct hf_vfus_irq *irq);

/* Every descriptor is let go of, every mask too. */
void hf_vfus_irq_reset(struct hf_vfus_irq *irq);

/* What configuration space says now. */
void hf_vfus_irq_mode(struct hf_vfus_irq *irq, bool msix, bool msix_masked,
		      bool intx);

/* How many there are of an index of VFIO's, and the VFIO_IRQ_INFO_ flags. */
uint32_t hf_vfus_irq_count(const struct hf_vfus_irq *irq, uint32_t index,
			   uint32_t *flags);

/**
 * hf_vfus_irq_set() - VFIO's SET_IRQS
 * @irq: interrupts
 * @flags: VFIO_IRQ_SET_
 * @index: which kind
 * @start: first of the range
 * @count: length of the range
 * @bools: @count bytes with VFIO_IRQ_SET_DATA_BOOL
 * @bools_bytes: how many there really are
 * @fds: descriptors with VFIO_IRQ_SET_DATA_EVENTFD; one that is kept is set
 *       to -1
 * @fd_count: how many there really are: @count, or 0 to let go
 *
 * Nothing has been checked.
 *
 * Context: the server's thread.
 * Return: 0; -EINVAL; what connecting a vector returned.
 */
int hf_vfus_irq_set(struct hf_vfus_irq *irq, uint32_t flags, uint32_t index,
		    uint32_t start, uint32_t count, const uint8_t *bools,
		    uint32_t bools_bytes, int *fds, uint32_t fd_count);

/* Writes to @irq's request descriptor; -ENOTCONN without one. */
int hf_vfus_irq_request(struct hf_vfus_irq *irq);

/* @irq's watch_fd is readable: the client has unmasked the pin by an event. */
void hf_vfus_irq_unmasked(struct hf_vfus_irq *irq);

/* Takes the note that the pin was raised and nobody heard. */
bool hf_vfus_irq_take_unheard(struct hf_vfus_irq *irq);

/* The MSI-X table as memory; a write to a vector's control word masks and
 * unmasks. The range lies within the table. */
void hf_vfus_irq_table_read(const struct hf_vfus_irq *irq, uint32_t offset,
			    uint32_t len_bytes, void *out);
void hf_vfus_irq_table_write(struct hf_vfus_irq *irq, uint32_t offset,
			     uint32_t len_bytes, const void *in);
/* One byte of the pending bits. */
uint8_t hf_vfus_irq_pending(const struct hf_vfus_irq *irq, uint32_t byte);
