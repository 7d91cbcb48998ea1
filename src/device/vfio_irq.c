/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "device/vfio_internal.h"
#include "device/vfio_uapi.h"

static int set_irqs(struct hf_vfio *vfio, uint32_t index, uint32_t start,
		    uint32_t count, const int *fds)
{
	union {
		struct vfio_irq_set head;
		uint8_t bytes[sizeof(struct vfio_irq_set) +
			      HF_VFIO_VECTORS_MAX * sizeof(int32_t)];
	} ask;
	/* The kernel checks the size against the count to the byte. */
	size_t fds_bytes = count * sizeof(fds[0]);

	memset(&ask, 0, sizeof(ask.head));
	ask.head.argsz = (uint32_t)(sizeof(ask.head) + fds_bytes);
	ask.head.flags = VFIO_IRQ_SET_ACTION_TRIGGER;
	ask.head.flags |=
		count == 0 ? VFIO_IRQ_SET_DATA_NONE : VFIO_IRQ_SET_DATA_EVENTFD;
	ask.head.index = index;
	ask.head.start = start;
	ask.head.count = count;
	if (count != 0) {
		memcpy(ask.bytes + sizeof(ask.head), fds, fds_bytes);
	}
	return hf_vfio_ioctl_retry(vfio->device_fd, VFIO_DEVICE_SET_IRQS, &ask);
}

static int irq_info(struct hf_vfio *vfio, uint32_t index,
		    struct vfio_irq_info *info)
{
	*info = (struct vfio_irq_info){.argsz = sizeof(*info), .index = index};
	int rc = hf_vfio_ioctl(vfio->device_fd, VFIO_DEVICE_GET_IRQ_INFO, info);
	if (rc < 0) {
		return rc;
	}
	if (info->count == 0 || (info->flags & VFIO_IRQ_INFO_EVENTFD) == 0) {
		return -ENOENT;
	}
	return 0;
}

/* A single event of the kernel's: an error, or the wish for the device back. */
static void event_arm(struct hf_vfio *vfio, uint32_t index, int *fd)
{
	struct vfio_irq_info info;

	if (irq_info(vfio, index, &info) != 0) {
		return;
	}
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (*fd >= 0 && set_irqs(vfio, index, 0, 1, fd) < 0) {
		close(*fd);
		*fd = -1;
	}
}

static int vectors_fail(struct hf_vfio *vfio, int rc, struct hf_error *err)
{
	return hf_error_set(
		err, rc, "%s: %u MSI-X vectors cannot be enabled: %s",
		vfio->dev.id, vfio->vector_count, strerrordesc_np(-rc));
}

/*
 * All vectors at once. The kernel answers with a smaller number when the
 * machine has no more vectors to give; then that many are tried.
 */
static int vectors_enable(struct hf_vfio *vfio, struct hf_error *err)
{
	int fds[HF_VFIO_VECTORS_MAX];

	for (uint32_t i = 0; i < vfio->vector_count; i++) {
		fds[i] = vfio->vectors[i].eventfd;
	}
	int rc = set_irqs(vfio, VFIO_PCI_MSIX_IRQ_INDEX, 0, vfio->vector_count,
			  fds);
	while (!vfio->adopted && rc > 0 && (uint32_t)rc < vfio->vector_count) {
		hf_log_warning(&vfio->dev.options.log,
			       "%s: the machine has %d interrupt vectors left, "
			       "not %u",
			       vfio->dev.id, rc, vfio->vector_count);
		while (vfio->vector_count > (uint32_t)rc) {
			vfio->vector_count--;
			hf_device_close_fd(
				&vfio->dev,
				vfio->vectors[vfio->vector_count].eventfd);
			vfio->vectors[vfio->vector_count].eventfd = -1;
		}
		rc = set_irqs(vfio, VFIO_PCI_MSIX_IRQ_INDEX, 0,
			      vfio->vector_count, fds);
	}
	if (rc != 0) {
		return vectors_fail(vfio, rc < 0 ? rc : -ENOSPC, err);
	}
	for (uint32_t i = 0; i < vfio->vector_count; i++) {
		vfio->vectors[i].armed = true;
	}
	return 0;
}

static int eventfds_make(struct hf_vfio *vfio, struct hf_error *err)
{
	for (uint32_t i = 0; i < vfio->vector_count; i++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0) {
			int code = -errno;
			return hf_error_set(
				err, code, "%s: no eventfd for vector %u: %s",
				vfio->dev.id, i, strerrordesc_np(-code));
		}
		vfio->vectors[i].eventfd = fd;
	}
	return 0;
}

static uint32_t vectors_wanted(const struct hf_vfio *vfio)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	uint32_t wanted = cpus > 0 ? (uint32_t)cpus : 1;

	if (vfio->vectors_asked != 0) {
		wanted = vfio->vectors_asked;
	}
	wanted = HF_MIN(wanted, vfio->msix_size);
	return HF_MIN(wanted, (uint32_t)HF_VFIO_VECTORS_MAX);
}

/*
 * The eventfds exist from the start, for as many vectors as there are CPUs, so
 * that what a keeper was handed stays complete however many queues come later.
 */
int hf_vfio_irq_init(struct hf_vfio *vfio, bool inherited, struct hf_error *err)
{
	struct vfio_irq_info info;

	int rc = irq_info(vfio, VFIO_PCI_MSIX_IRQ_INDEX, &info);
	if (rc != 0) {
		return hf_error_set(err, -ENODEV,
				    "%s: the function has no MSI-X interrupts",
				    vfio->dev.id);
	}
	vfio->msix_size = info.count;
	vfio->vectors_fixed = (info.flags & VFIO_IRQ_INFO_NORESIZE) != 0;
	event_arm(vfio, VFIO_PCI_REQ_IRQ_INDEX, &vfio->request_fd);
	event_arm(vfio, VFIO_PCI_ERR_IRQ_INDEX, &vfio->error_fd);

	if (inherited) {
		if (vfio->vector_count > vfio->msix_size) {
			return vectors_fail(vfio, -EINVAL, err);
		}
	} else {
		vfio->vector_count = vectors_wanted(vfio);
		rc = eventfds_make(vfio, err);
		if (rc != 0) {
			return rc;
		}
	}
	return vfio->vectors_fixed ? vectors_enable(vfio, err) : 0;
}

void hf_vfio_irq_fini(struct hf_vfio *vfio, bool disable)
{
	if (disable && vfio->device_fd >= 0) {
		hf_vfio_irq_unmap_all(&vfio->dev);
	}
	for (uint32_t i = 0; i < HF_VFIO_VECTORS_MAX; i++) {
		if (vfio->vectors[i].eventfd >= 0) {
			close(vfio->vectors[i].eventfd);
			vfio->vectors[i].eventfd = -1;
		}
	}
	if (vfio->request_fd >= 0) {
		close(vfio->request_fd);
	}
	if (vfio->error_fd >= 0) {
		close(vfio->error_fd);
	}
	vfio->request_fd = -1;
	vfio->error_fd = -1;
}

uint32_t hf_vfio_irq_count(struct hf_device *dev)
{
	return hf_vfio_of(dev)->vector_count;
}

/* The kernel names each of its interrupts "vfio-msix[3](0000:01:00.0)". */
static uint32_t linux_irq_find(const struct hf_vfio *vfio, uint32_t vector)
{
	char wanted[64];
	HF_AUTO_FREE char *line = NULL;
	size_t room = 0;
	uint32_t irq = 0;

	FILE *file = fopen("/proc/interrupts", "re");
	if (file == NULL) {
		return 0;
	}
	snprintf(wanted, sizeof(wanted), "vfio-msix[%u](%s)", vector,
		 vfio->bdf);
	while (irq == 0 && getline(&line, &room, file) > 0) {
		if (strstr(line, wanted) != NULL) {
			irq = (uint32_t)strtoul(line, NULL, 10);
		}
	}
	fclose(file);
	return irq;
}

static int affinity_write(uint32_t irq, uint32_t cpu)
{
	char path[64];
	char text[16];

	snprintf(path, sizeof(path), "/proc/irq/%u/smp_affinity_list", irq);
	HF_AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		return -errno;
	}
	int len = snprintf(text, sizeof(text), "%u\n", cpu);
	return write(fd, text, (size_t)len) == len ? 0 : -errno;
}

/* Where the interrupt lands is a matter of speed alone: who may not choose
 * finds that in inspect. */
static void affinity_try(struct hf_vfio *vfio, uint32_t vector, uint32_t cpu)
{
	struct hf_vfio_vector *entry = &vfio->vectors[vector];

	entry->affinity_tried = true;
	entry->cpu = cpu;
	entry->linux_irq = linux_irq_find(vfio, vector);
	entry->affinity_error = entry->linux_irq == 0
					? -ENOENT
					: affinity_write(entry->linux_irq, cpu);
	hf_log_debug(&vfio->dev.options.log,
		     "%s: vector %u is interrupt %u, for CPU %u: %s",
		     vfio->dev.id, vector, entry->linux_irq, cpu,
		     entry->affinity_error == 0
			     ? "set"
			     : strerrordesc_np(-entry->affinity_error));
}

int hf_vfio_irq_map(struct hf_device *dev, uint32_t vector, uint32_t cpu,
		    int *eventfd_out, struct hf_error *err)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);

	if (vector >= vfio->vector_count) {
		return hf_error_set(err, -EINVAL,
				    "%s: no vector %u; there are %u", dev->id,
				    vector, vfio->vector_count);
	}
	struct hf_vfio_vector *entry = &vfio->vectors[vector];
	if (!entry->armed) {
		/* A kernel that cannot add vectors is told of all at once. */
		int rc = vfio->vectors_fixed
				 ? vectors_enable(vfio, err)
				 : set_irqs(vfio, VFIO_PCI_MSIX_IRQ_INDEX,
					    vector, 1, &entry->eventfd);
		if (vfio->vectors_fixed && rc != 0) {
			return rc;
		}
		if (rc != 0) {
			rc = rc < 0 ? rc : -ENOSPC;
			return hf_error_set(err, rc,
					    "%s: vector %u cannot be enabled: "
					    "%s",
					    dev->id, vector,
					    strerrordesc_np(-rc));
		}
		entry->armed = true;
	}
	if (!entry->affinity_tried || entry->cpu != cpu) {
		affinity_try(vfio, vector, cpu);
	}
	*eventfd_out = entry->eventfd;
	return 0;
}

void hf_vfio_irq_unmap_all(struct hf_device *dev)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);
	bool any = false;

	for (uint32_t i = 0; i < vfio->vector_count; i++) {
		any |= vfio->vectors[i].armed;
		vfio->vectors[i].armed = false;
		vfio->vectors[i].affinity_tried = false;
	}
	if (any) {
		/* No vector from 0 on: MSI-X as a whole goes off. */
		(void)!set_irqs(vfio, VFIO_PCI_MSIX_IRQ_INDEX, 0, 0, NULL);
	}
}

int hf_vfio_request_fd(struct hf_device *dev)
{
	return hf_vfio_of(dev)->request_fd;
}

void hf_vfio_irq_inspect(struct hf_vfio *vfio, struct json_object *into)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < vfio->vector_count; i++) {
		const struct hf_vfio_vector *entry = &vfio->vectors[i];

		if (!entry->affinity_tried) {
			continue;
		}
		struct json_object *one = json_object_new_object();
		json_object_object_add(one, "vector",
				       json_object_new_uint64(i));
		json_object_object_add(
			one, "irq", json_object_new_uint64(entry->linux_irq));
		json_object_object_add(one, "cpu",
				       json_object_new_uint64(entry->cpu));
		json_object_object_add(
			one, "affinity",
			json_object_new_string(
				entry->affinity_error == 0
					? "set"
					: strerrordesc_np(
						  -entry->affinity_error)));
		json_object_array_add(list, one);
	}
	/* Nobody waits for these: they are counted when somebody looks. */
	uint64_t errors = 0;
	if (vfio->error_fd >= 0 &&
	    read(vfio->error_fd, &errors, sizeof(errors)) == sizeof(errors)) {
		vfio->pcie_errors += errors;
	}
	json_object_object_add(into, "pcie_errors",
			       json_object_new_uint64(vfio->pcie_errors));
	json_object_object_add(into, "msix_vectors",
			       json_object_new_uint64(vfio->msix_size));
	json_object_object_add(into, "vectors_in_use",
			       json_object_new_uint64(vfio->vector_count));
	json_object_object_add(into, "vectors_fixed",
			       json_object_new_boolean(vfio->vectors_fixed));
	json_object_object_add(into, "interrupts", list);
}
