/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/vfio_user_irq.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "emu/irq.h"

/* Never waits: whoever filled the counter has events enough. */
static void signal_fd(int fd)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLOUT};
	uint64_t one = 1;

	if (fd >= 0 && poll(&pollfd, 1, 0) == 1) {
		ssize_t written = write(fd, &one, sizeof(one));
		(void)written;
	}
}

static void replace_fd(int *fd, int with)
{
	if (*fd >= 0) {
		close(*fd);
	}
	*fd = with;
}

/* Raises the event of the pin if it is due; an event masks the pin until the
 * client has dealt with it, as with VFIO. */
static void pin_update(struct hf_vfus_irq *irq)
{
	if (!irq->intx_allowed || !irq->intx_high || irq->intx_masked) {
		return;
	}
	if (irq->intx_fd >= 0) {
		irq->intx_masked = true;
		signal_fd(irq->intx_fd);
	} else if (irq->strict_intx && !irq->unheard) {
		irq->unheard = true;
		signal_fd(irq->wake_fd);
	}
}

/* Called by the controller, from any of its threads. */
static void on_level(void *user, bool high)
{
	struct hf_vfus_irq *irq = user;

	pthread_mutex_lock(&irq->lock);
	irq->intx_high = high;
	pin_update(irq);
	pthread_mutex_unlock(&irq->lock);
}

int hf_vfus_irq_init(struct hf_vfus_irq *irq, struct hf_emu *emu,
		     uint32_t vectors, bool strict_intx, int wake_fd)
{
	memset(irq, 0, sizeof(*irq));
	irq->emu = emu;
	irq->vectors = vectors;
	irq->strict_intx = strict_intx;
	irq->wake_fd = wake_fd;
	irq->error_fd = -1;
	irq->request_fd = -1;
	irq->intx_fd = -1;
	irq->unmask_fd = -1;
	irq->watch_fd = epoll_create1(EPOLL_CLOEXEC);
	pthread_mutex_init(&irq->lock, NULL);
	irq->table = calloc(vectors, PCI_MSIX_ENTRY_SIZE);
	irq->masked = calloc(vectors, sizeof(*irq->masked));
	if (irq->table == NULL || irq->masked == NULL || irq->watch_fd < 0) {
		replace_fd(&irq->watch_fd, -1);
		free(irq->table);
		free(irq->masked);
		pthread_mutex_destroy(&irq->lock);
		return -ENOMEM;
	}
	hf_vfus_irq_reset(irq);
	hf_emu_intx_set(emu, on_level, irq);
	return 0;
}

void hf_vfus_irq_fini(struct hf_vfus_irq *irq)
{
	hf_vfus_irq_reset(irq);
	hf_emu_irq_mode(irq->emu, HF_EMU_IRQ_MSIX);
	hf_emu_intx_set(irq->emu, NULL, NULL);
	replace_fd(&irq->watch_fd, -1);
	free(irq->table);
	free(irq->masked);
	pthread_mutex_destroy(&irq->lock);
}

static void vector_update(struct hf_vfus_irq *irq, uint32_t vector)
{
	hf_emu_irq_mask(irq->emu, vector,
			irq->all_masked || irq->masked[vector]);
}

/* The client has the descriptor too, so that closing it does not end the
 * watch. */
static int set_unmask_fd(struct hf_vfus_irq *irq, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (irq->unmask_fd >= 0) {
		epoll_ctl(irq->watch_fd, EPOLL_CTL_DEL, irq->unmask_fd, NULL);
		replace_fd(&irq->unmask_fd, -1);
	}
	if (fd < 0) {
		return 0;
	}
	if (epoll_ctl(irq->watch_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		return -errno;
	}
	irq->unmask_fd = fd;
	return 0;
}

void hf_vfus_irq_reset(struct hf_vfus_irq *irq)
{
	irq->all_masked = false;
	for (uint32_t i = 0; i < irq->vectors; i++) {
		uint8_t *entry = irq->table + i * PCI_MSIX_ENTRY_SIZE;

		/* Taking a descriptor away cannot fail. */
		int result = hf_emu_irq_set(irq->emu, i, -1, NULL);
		(void)result;
		memset(entry, 0, PCI_MSIX_ENTRY_SIZE);
		hf_put_le32(entry + PCI_MSIX_ENTRY_VECTOR_CTRL,
			    PCI_MSIX_ENTRY_CTRL_MASKBIT);
		irq->masked[i] = false;
		vector_update(irq, i);
	}
	replace_fd(&irq->error_fd, -1);
	replace_fd(&irq->request_fd, -1);
	(void)!set_unmask_fd(irq, -1);
	pthread_mutex_lock(&irq->lock);
	replace_fd(&irq->intx_fd, -1);
	irq->intx_masked = false;
	irq->unheard = false;
	pthread_mutex_unlock(&irq->lock);
}

void hf_vfus_irq_mode(struct hf_vfus_irq *irq, bool msix, bool msix_masked,
		      bool intx)
{
	enum hf_emu_irq_mode mode = msix   ? HF_EMU_IRQ_MSIX
				    : intx ? HF_EMU_IRQ_INTX
					   : HF_EMU_IRQ_NONE;

	irq->all_masked = msix && msix_masked;
	for (uint32_t i = 0; i < irq->vectors; i++) {
		vector_update(irq, i);
	}
	hf_emu_irq_mode(irq->emu, mode);

	pthread_mutex_lock(&irq->lock);
	irq->intx_allowed = mode == HF_EMU_IRQ_INTX;
	if (!irq->intx_allowed) {
		irq->intx_masked = false;
	}
	pin_update(irq);
	pthread_mutex_unlock(&irq->lock);
}

uint32_t hf_vfus_irq_count(const struct hf_vfus_irq *irq, uint32_t index,
			   uint32_t *flags)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		*flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
			 VFIO_IRQ_INFO_AUTOMASKED;
		return 1;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		*flags = VFIO_IRQ_INFO_EVENTFD;
		return irq->vectors;
	case VFIO_PCI_ERR_IRQ_INDEX:
	case VFIO_PCI_REQ_IRQ_INDEX:
		*flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
		return 1;
	default: /* MSI, and numbers from the client */
		*flags = 0;
		return 0;
	}
}

/* A pipe or a socket could make a write wait for the client. */
static bool is_eventfd(int fd)
{
	char path[32];
	char target[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(path, target, sizeof(target) - 1);
	if (len < 0) {
		return false;
	}
	target[len] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0;
}

/* Takes the descriptor in *@fd, or lets go of the one that is there. */
static int connect_fd(struct hf_vfus_irq *irq, uint32_t index, uint32_t vector,
		      int *fd)
{
	int taken = -1;

	if (index == VFIO_PCI_MSIX_IRQ_INDEX) {
		int result = hf_emu_irq_set(irq->emu, vector,
					    fd == NULL ? -1 : *fd, NULL);
		if (result == 0 && fd != NULL) {
			irq->masked[vector] = false;
			vector_update(irq, vector);
		}
		return result;
	}

	if (fd != NULL) {
		taken = *fd;
		*fd = -1;
	}
	if (index == VFIO_PCI_ERR_IRQ_INDEX) {
		replace_fd(&irq->error_fd, taken);
	} else if (index == VFIO_PCI_REQ_IRQ_INDEX) {
		replace_fd(&irq->request_fd, taken);
	} else {
		pthread_mutex_lock(&irq->lock);
		replace_fd(&irq->intx_fd, taken);
		irq->intx_masked = false;
		pin_update(irq);
		pthread_mutex_unlock(&irq->lock);
	}
	return 0;
}

static int set_fds(struct hf_vfus_irq *irq, uint32_t index, uint32_t start,
		   uint32_t count, int *fds, uint32_t fd_count)
{
	if (fd_count != 0 && fd_count != count) {
		return -EINVAL;
	}
	for (uint32_t i = 0; i < fd_count; i++) {
		if (!is_eventfd(fds[i])) {
			return -EINVAL;
		}
	}
	for (uint32_t i = 0; i < count; i++) {
		int result = connect_fd(irq, index, start + i,
					fd_count == 0 ? NULL : &fds[i]);
		if (result != 0) {
			return result;
		}
	}
	return 0;
}

static void trigger(struct hf_vfus_irq *irq, uint32_t index, uint32_t vector)
{
	switch (index) {
	case VFIO_PCI_MSIX_IRQ_INDEX:
		hf_emu_irq_raise(irq->emu, (uint16_t)vector);
		break;
	case VFIO_PCI_ERR_IRQ_INDEX:
		signal_fd(irq->error_fd);
		break;
	case VFIO_PCI_REQ_IRQ_INDEX:
		signal_fd(irq->request_fd);
		break;
	default: /* checked before: INTx */
		pthread_mutex_lock(&irq->lock);
		signal_fd(irq->intx_fd);
		pthread_mutex_unlock(&irq->lock);
		break;
	}
}

static int set_mask(struct hf_vfus_irq *irq, uint32_t index, uint32_t vector,
		    bool masked)
{
	if (index == VFIO_PCI_MSIX_IRQ_INDEX) {
		irq->masked[vector] = masked;
		vector_update(irq, vector);
		return 0;
	}
	if (index != VFIO_PCI_INTX_IRQ_INDEX) {
		return -EINVAL;
	}

	/* Still asserted when it is unmasked: that is another event. */
	pthread_mutex_lock(&irq->lock);
	irq->intx_masked = masked;
	pin_update(irq);
	pthread_mutex_unlock(&irq->lock);
	return 0;
}

/* One event that unmasks the pin, or none any more. */
static int set_unmask(struct hf_vfus_irq *irq, uint32_t index, uint32_t count,
		      int *fds, uint32_t fd_count)
{
	if (index != VFIO_PCI_INTX_IRQ_INDEX || count != 1 || fd_count > 1 ||
	    (fd_count == 1 && !is_eventfd(fds[0]))) {
		return -EINVAL;
	}

	int result = set_unmask_fd(irq, fd_count == 1 ? fds[0] : -1);
	if (result == 0 && fd_count == 1) {
		fds[0] = -1;
	}
	return result;
}

void hf_vfus_irq_unmasked(struct hf_vfus_irq *irq)
{
	uint64_t count;
	struct iovec iov = {.iov_base = &count, .iov_len = sizeof(count)};

	/* The client may have read it meanwhile, and must not make us wait. */
	if (irq->unmask_fd >= 0 &&
	    preadv2(irq->unmask_fd, &iov, 1, -1, RWF_NOWAIT) == sizeof(count)) {
		(void)!set_mask(irq, VFIO_PCI_INTX_IRQ_INDEX, 0, false);
	}
}

static int act(struct hf_vfus_irq *irq, uint32_t action, uint32_t index,
	       uint32_t vector)
{
	if (action == VFIO_IRQ_SET_ACTION_TRIGGER) {
		trigger(irq, index, vector);
		return 0;
	}
	return set_mask(irq, index, vector, action == VFIO_IRQ_SET_ACTION_MASK);
}

int hf_vfus_irq_set(struct hf_vfus_irq *irq, uint32_t flags, uint32_t index,
		    uint32_t start, uint32_t count, const uint8_t *bools,
		    uint32_t bools_bytes, int *fds, uint32_t fd_count)
{
	uint32_t data = flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	uint32_t action = flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
	uint32_t ignored;
	uint32_t have = hf_vfus_irq_count(irq, index, &ignored);

	if ((flags & ~(VFIO_IRQ_SET_DATA_TYPE_MASK |
		       VFIO_IRQ_SET_ACTION_TYPE_MASK)) != 0 ||
	    __builtin_popcount(data) != 1 || __builtin_popcount(action) != 1 ||
	    !hf_range_within(start, count, have) ||
	    (fd_count != 0 && data != VFIO_IRQ_SET_DATA_EVENTFD)) {
		return -EINVAL;
	}

	if (data == VFIO_IRQ_SET_DATA_EVENTFD) {
		if (action == VFIO_IRQ_SET_ACTION_UNMASK) {
			return set_unmask(irq, index, count, fds, fd_count);
		}
		if (action != VFIO_IRQ_SET_ACTION_TRIGGER || count == 0) {
			return -EINVAL;
		}
		return set_fds(irq, index, start, count, fds, fd_count);
	}
	if (count == 0) {
		/* "Disable all of this index" is said so, and only so. */
		if (data != VFIO_IRQ_SET_DATA_NONE ||
		    action != VFIO_IRQ_SET_ACTION_TRIGGER || start != 0) {
			return -EINVAL;
		}
		return set_fds(irq, index, 0, have, NULL, 0);
	}
	if (data == VFIO_IRQ_SET_DATA_BOOL && bools_bytes < count) {
		return -EINVAL;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (data == VFIO_IRQ_SET_DATA_NONE || bools[i] != 0) {
			int result = act(irq, action, index, start + i);
			if (result != 0) {
				return result;
			}
		}
	}
	return 0;
}

int hf_vfus_irq_request(struct hf_vfus_irq *irq)
{
	if (irq->request_fd < 0) {
		return -ENOTCONN;
	}
	signal_fd(irq->request_fd);
	return 0;
}

bool hf_vfus_irq_take_unheard(struct hf_vfus_irq *irq)
{
	pthread_mutex_lock(&irq->lock);
	bool unheard = irq->unheard;
	irq->unheard = false;
	pthread_mutex_unlock(&irq->lock);
	return unheard;
}

void hf_vfus_irq_table_read(const struct hf_vfus_irq *irq, uint32_t offset,
			    uint32_t len_bytes, void *out)
{
	assert(hf_range_within(offset, len_bytes,
			       (uint64_t)irq->vectors * PCI_MSIX_ENTRY_SIZE));

	memcpy(out, irq->table + offset, len_bytes);
}

void hf_vfus_irq_table_write(struct hf_vfus_irq *irq, uint32_t offset,
			     uint32_t len_bytes, const void *in)
{
	assert(hf_range_within(offset, len_bytes,
			       (uint64_t)irq->vectors * PCI_MSIX_ENTRY_SIZE));

	memcpy(irq->table + offset, in, len_bytes);

	/*
	 * Clients that emulate the table themselves never write it, and their
	 * vectors are not masked although the table, as made, says so. Who
	 * writes a control word means it.
	 */
	for (uint32_t i = offset / PCI_MSIX_ENTRY_SIZE; i < irq->vectors; i++) {
		uint32_t control =
			i * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;

		if (control >= offset + len_bytes) {
			break;
		}
		if (hf_ranges_overlap(offset, len_bytes, control, 4)) {
			irq->masked[i] = (hf_get_le32(irq->table + control) &
					  PCI_MSIX_ENTRY_CTRL_MASKBIT) != 0;
			vector_update(irq, i);
		}
	}
}

uint8_t hf_vfus_irq_pending(const struct hf_vfus_irq *irq, uint32_t byte)
{
	uint8_t bits = 0;

	for (uint32_t i = 0; i < 8; i++) {
		uint32_t vector = byte * 8 + i;

		if (vector < irq->vectors &&
		    hf_emu_irq_pending(irq->emu, vector)) {
			bits = (uint8_t)(bits | 1u << i);
		}
	}
	return bits;
}
