/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_irq.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "device/vfio_user_setup.h"

int hf_vfu_irq_init(struct hf_vfio_user *vu, struct hf_error *err)
{
	vu->eventfds = malloc(vu->facts.vectors * sizeof(*vu->eventfds));
	if (vu->eventfds == NULL) {
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory for %u vectors", vu->dev.id,
				    vu->facts.vectors);
	}
	for (uint32_t i = 0; i < vu->facts.vectors; i++) {
		vu->eventfds[i] = -1;
	}
	return 0;
}

static void close_from(struct hf_vfio_user *vu, uint32_t first)
{
	for (uint32_t i = first; i < vu->facts.vectors; i++) {
		if (vu->eventfds[i] >= 0) {
			hf_device_close_fd(&vu->dev, vu->eventfds[i]);
			vu->eventfds[i] = -1;
		}
	}
}

void hf_vfu_irq_fini(struct hf_vfio_user *vu)
{
	if (vu->eventfds != NULL) {
		close_from(vu, 0);
		free(vu->eventfds);
		vu->eventfds = NULL;
	}
	if (vu->request_fd >= 0) {
		close(vu->request_fd);
		vu->request_fd = -1;
	}
}

static int set_irqs(struct hf_vfio_user *vu, uint32_t flags, uint32_t start,
		    uint32_t count, bool with_fds, struct hf_error *err)
{
	const struct vfu_irq_set set = {
		.argsz = sizeof(set),
		.flags = flags | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.start = start,
		.count = count,
	};
	struct hf_vfu_call call = {
		.command = VFU_DEVICE_SET_IRQS,
		.request = &set,
		.request_bytes = sizeof(set),
		.fds = with_fds ? &vu->eventfds[start] : NULL,
		.fd_count = with_fds ? count : 0,
	};

	return hf_vfu_call(&vu->conn, &call, err);
}

static int write_msix_control(struct hf_vfio_user *vu, bool enable,
			      struct hf_error *err)
{
	uint16_t control = vu->facts.msix_control;
	uint8_t bytes[2];

	control &= (uint16_t) ~(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	if (enable) {
		control |= PCI_MSIX_FLAGS_ENABLE;
	}
	hf_put_le16(bytes, control);
	int rc = hf_vfu_region_write(vu, VFIO_PCI_CONFIG_REGION_INDEX,
				     vu->facts.msix_offset + PCI_MSIX_FLAGS,
				     bytes, sizeof(bytes), err);
	if (rc == 0) {
		vu->msix_enabled = enable;
	}
	return rc;
}

/* Makes and hands over the next vectors, as many as one message carries. */
static int wire_next(struct hf_vfio_user *vu, struct hf_error *err)
{
	uint32_t first = vu->conn.journal->irq_wired;
	uint32_t count = HF_MIN(vu->facts.vectors - first, vu->facts.max_fds);

	/* One message serves several queues to come, without a wealth of
	 * descriptors for those that will not. */
	count = HF_MIN(count, HF_VFU_OUR_MAX_FDS);
	for (uint32_t i = first; i < first + count; i++) {
		vu->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (vu->eventfds[i] < 0) {
			int rc = -errno;

			close_from(vu, first);
			return hf_error_set(err, rc,
					    "%s: no descriptor for interrupt "
					    "%u: %s",
					    vu->dev.id, i, strerror(-rc));
		}
	}
	int rc = set_irqs(vu, VFIO_IRQ_SET_DATA_EVENTFD, first, count, true,
			  err);
	if (rc != 0) {
		close_from(vu, first);
		return rc;
	}
	__atomic_store_n(&vu->conn.journal->irq_wired, first + count,
			 __ATOMIC_RELEASE);
	hf_device_fd_added(&vu->dev);
	return 0;
}

int hf_vfu_irq_map(struct hf_vfio_user *vu, uint32_t vector, int *eventfd,
		   struct hf_error *err)
{
	if (vector >= vu->facts.vectors) {
		return hf_error_set(err, -EINVAL,
				    "%s: there is no interrupt %u; the "
				    "controller has %u",
				    vu->dev.id, vector, vu->facts.vectors);
	}
	while (vu->conn.journal->irq_wired <= vector) {
		int rc = wire_next(vu, err);
		if (rc != 0) {
			return rc;
		}
	}
	/* Without this bit a server holds the descriptors and never fires. */
	if (!vu->msix_enabled) {
		int rc = write_msix_control(vu, true, err);
		if (rc != 0) {
			return rc;
		}
	}
	*eventfd = vu->eventfds[vector];
	return 0;
}

void hf_vfu_irq_unmap_all(struct hf_vfio_user *vu)
{
	struct hf_error err;

	if (vu->conn.journal->irq_wired > 0 && !hf_vfu_conn_lost(&vu->conn)) {
		int rc =
			set_irqs(vu, VFIO_IRQ_SET_DATA_NONE, 0, 0, false, &err);
		if (rc == 0 && vu->msix_enabled) {
			rc = write_msix_control(vu, false, &err);
		}
		if (rc != 0) {
			hf_log_warning(&vu->dev.options.log, "%s", err.message);
		}
	}
	vu->conn.journal->irq_wired = 0;
	vu->msix_enabled = false;
	close_from(vu, 0);
}

int hf_vfu_irq_repeat(struct hf_vfio_user *vu, struct hf_error *err)
{
	uint32_t wired = vu->conn.journal->irq_wired;

	for (uint32_t first = 0; first < wired;) {
		uint32_t count = HF_MIN(wired - first, vu->facts.max_fds);
		int rc = set_irqs(vu, VFIO_IRQ_SET_DATA_EVENTFD, first, count,
				  true, err);

		if (rc != 0) {
			return rc;
		}
		first += count;
	}
	return wired > 0 ? write_msix_control(vu, true, err) : 0;
}

int hf_vfu_irq_request(struct hf_vfio_user *vu, struct hf_error *err)
{
	const struct vfu_irq_set set = {
		.argsz = sizeof(set),
		.flags =
			VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_REQ_IRQ_INDEX,
		.count = 1,
	};
	struct hf_vfu_call call = {
		.command = VFU_DEVICE_SET_IRQS,
		.request = &set,
		.request_bytes = sizeof(set),
		.fds = &vu->request_fd,
		.fd_count = 1,
	};

	if (!vu->facts.has_request) {
		return 0;
	}
	vu->request_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = vu->request_fd < 0 ? -errno
				    : hf_vfu_call(&vu->conn, &call, err);
	if (rc == 0) {
		rc = hf_vfu_conn_watch(&vu->conn, vu->request_fd, err);
	} else if (vu->request_fd >= 0 && !hf_vfu_conn_lost(&vu->conn)) {
		/* It has the index, but nothing behind it. */
		close(vu->request_fd);
		vu->request_fd = -1;
		rc = 0;
	} else if (vu->request_fd < 0) {
		return hf_error_set(err, rc, "%s: no descriptor: %s",
				    vu->dev.id, strerror(-rc));
	}
	return rc;
}
