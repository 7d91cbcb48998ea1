/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "device/pci.h"
#include "device/vfio_internal.h"
#include "device/vfio_uapi.h"

const char *hf_vfio_mode_name(enum hf_vfio_mode mode)
{
	switch (mode) {
	case HF_VFIO_AUTO:
		return "auto";
	case HF_VFIO_CDEV:
		return "cdev";
	case HF_VFIO_GROUP:
		return "group";
	case HF_VFIO_NOIOMMU:
		return "noiommu";
	}
	return "?";
}

int hf_vfio_ioctl(int fd, unsigned long request, void *arg)
{
	int rc;

	do {
		rc = ioctl(fd, request, arg);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc;
}

int hf_vfio_ioctl_number(int fd, unsigned long request, unsigned long number)
{
	int rc = ioctl(fd, request, number);

	return rc < 0 ? -errno : rc;
}

/*
 * A function whose last user has just gone is still being reset, and says
 * EBUSY or ENODEV until that is done.
 */
static bool passes_soon(int rc, uint32_t turn)
{
	static const long pauses_ms[] = {10, 40, 100, 250};

	if ((rc != -EBUSY && rc != -ENODEV && rc != -EAGAIN) ||
	    turn >= HF_ARRAY_LEN(pauses_ms)) {
		return false;
	}
	struct timespec pause = {.tv_nsec = pauses_ms[turn] * 1000 * 1000};
	nanosleep(&pause, NULL);
	return true;
}

int hf_vfio_ioctl_retry(int fd, unsigned long request, void *arg)
{
	int rc = hf_vfio_ioctl(fd, request, arg);

	for (uint32_t turn = 0; passes_soon(rc, turn); turn++) {
		rc = hf_vfio_ioctl(fd, request, arg);
	}
	return rc;
}

int hf_vfio_open_retry(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int rc = fd < 0 ? -errno : fd;

	for (uint32_t turn = 0; passes_soon(rc, turn); turn++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		rc = fd < 0 ? -errno : fd;
	}
	return rc;
}

static int vfio_reset(struct hf_device *dev, struct hf_error *err)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);

	if (!vfio->can_reset) {
		return hf_error_set(err, -ENOTSUP,
				    "%s: the kernel knows no way to reset this "
				    "function",
				    dev->id);
	}
	int rc = hf_vfio_ioctl_retry(vfio->device_fd, VFIO_DEVICE_RESET, NULL);
	if (rc < 0) {
		return hf_error_set(err, rc, "%s: function reset failed: %s",
				    dev->id, strerrordesc_np(-rc));
	}
	return 0;
}

static void add_text(struct json_object *into, const char *key,
		     const char *value)
{
	json_object_object_add(into, key, json_object_new_string(value));
}

static void add_number(struct json_object *into, const char *key,
		       uint64_t value)
{
	json_object_object_add(into, key, json_object_new_uint64(value));
}

static void vfio_inspect(struct hf_device *dev, struct json_object *into)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);
	struct json_object *bar0 = json_object_new_object();
	char id[16];

	add_text(into, "pci_address", vfio->bdf);
	snprintf(id, sizeof(id), "%04x:%04x", vfio->vendor_id, vfio->device_id);
	add_text(into, "pci_id", id);
	add_text(into, "path", hf_vfio_mode_name(vfio->mode));
	add_text(into, "node", vfio->node);
	json_object_object_add(into, "taken_over",
			       json_object_new_boolean(vfio->adopted));
	json_object_object_add(into, "can_reset",
			       json_object_new_boolean(vfio->can_reset));

	uint64_t mapped = 0;
	for (uint32_t i = 0; i < vfio->area_count; i++) {
		mapped += vfio->areas[i].len_bytes;
	}
	add_number(bar0, "bytes", dev->bar0_bytes);
	add_number(bar0, "mapped_bytes", mapped);
	json_object_object_add(bar0, "doorbells_mapped",
			       json_object_new_boolean(dev->doorbells != NULL));
	json_object_object_add(into, "bar0", bar0);

	add_number(into, "dma_mappings",
		   __atomic_load_n(&vfio->mapping_count, __ATOMIC_RELAXED));
	add_number(into, "dma_bytes",
		   __atomic_load_n(&vfio->locked_bytes, __ATOMIC_RELAXED));
	add_number(into, "dma_mappings_max", dev->dma.limits.max_mappings);
	hf_vfio_irq_inspect(vfio, into);
}

static void vfio_destroy(struct hf_device *dev, enum hf_release how)
{
	struct hf_vfio *vfio = hf_vfio_of(dev);

	if (how == HF_RELEASE_RESET) {
		/* The device is stopped before what it may still write to
		 * goes. A device that is gone cannot be told, nor write. */
		(void)!hf_vfio_bus_master(vfio, false, NULL);
	} else {
		hf_log_info(&dev->options.log,
			    "%s: let go of as it is; it runs on for as long as "
			    "somebody holds its descriptors, and is reset when "
			    "nobody does",
			    dev->id);
	}
	hf_device_fini(dev, how);
	hf_vfio_free(vfio, how);
}

static const struct hf_device_ops vfio_ops = {
	.kind = "vfio",
	.reg_read = hf_vfio_reg_read,
	.reg_write = hf_vfio_reg_write,
	.irq_count = hf_vfio_irq_count,
	.irq_map = hf_vfio_irq_map,
	.irq_unmap_all = hf_vfio_irq_unmap_all,
	.dma_map = hf_vfio_dma_map,
	.dma_unmap = hf_vfio_dma_unmap,
	.dma_iova = hf_vfio_noiommu_iova,
	.reset = vfio_reset,
	.carry = hf_vfio_carry,
	.remove_request_fd = hf_vfio_request_fd,
	.inspect = vfio_inspect,
	.destroy = vfio_destroy,
};

void hf_vfio_set_mode(struct hf_vfio *vfio, enum hf_vfio_mode mode)
{
	bool noiommu = mode == HF_VFIO_NOIOMMU;

	vfio->mode = mode;
	vfio->dev.dma.limits.private_memory = !noiommu;
	/* The device has to be told where memory really is. */
	vfio->dev.dma.limits.physical = noiommu;
	if (noiommu) {
		vfio->dev.options.huge_pages = HF_HUGE_PAGES_ONLY;
	}
}

struct hf_vfio *hf_vfio_new(const struct hf_device_options *options)
{
	struct hf_vfio *vfio = calloc(1, sizeof(*vfio));

	if (vfio == NULL) {
		return NULL;
	}
	vfio->dev.ops = &vfio_ops;
	vfio->dev.options = *options;
	hf_vfio_set_mode(vfio, HF_VFIO_AUTO);
	vfio->device_fd = -1;
	vfio->group_fd = -1;
	vfio->container_fd = -1;
	vfio->iommufd = -1;
	vfio->request_fd = -1;
	vfio->error_fd = -1;
	for (uint32_t i = 0; i < HF_VFIO_VECTORS_MAX; i++) {
		vfio->vectors[i].eventfd = -1;
	}
	return vfio;
}

static void close_fd(int *fd)
{
	if (*fd >= 0) {
		close(*fd);
	}
	*fd = -1;
}

/*
 * Closing the device's last descriptor makes the kernel reset the function,
 * whichever way we leave: a function that has to go on running needs another
 * process that holds its descriptors.
 */
void hf_vfio_free(struct hf_vfio *vfio, enum hf_release how)
{
	hf_vfio_irq_fini(vfio, how == HF_RELEASE_RESET);
	hf_vfio_regs_fini(vfio);
	close_fd(&vfio->device_fd);
	close_fd(&vfio->group_fd);
	close_fd(&vfio->container_fd);
	close_fd(&vfio->iommufd);
	free(vfio);
}

int hf_vfio_setup(struct hf_vfio *vfio, bool inherited, struct hf_error *err)
{
	struct vfio_device_info info = {.argsz = sizeof(info)};

	int rc = hf_vfio_ioctl_retry(vfio->device_fd, VFIO_DEVICE_GET_INFO,
				     &info);
	if (rc < 0) {
		return hf_error_set(err, rc,
				    "%s: the kernel tells nothing about the "
				    "device (VFIO_DEVICE_GET_INFO: %s)",
				    vfio->dev.id, strerrordesc_np(-rc));
	}
	if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0) {
		return hf_error_set(err, -EINVAL,
				    "%s: the descriptor is of a VFIO device "
				    "that is no PCI function",
				    vfio->dev.id);
	}
	vfio->can_reset = (info.flags & VFIO_DEVICE_FLAGS_RESET) != 0;

	rc = hf_vfio_regs_init(vfio, err);
	if (rc == 0) {
		rc = hf_vfio_irq_init(vfio, inherited, err);
	}
	if (rc != 0) {
		return rc;
	}

	rc = vfio->mode == HF_VFIO_CDEV ? hf_vfio_cdev_limits(vfio, err)
					: hf_vfio_group_limits(vfio, err);
	if (rc != 0) {
		return rc;
	}
	hf_log_info(&vfio->dev.options.log,
		    "%s: %s by way of %s, BAR 0 of %llu bytes, doorbells %s, "
		    "%u of %u vectors%s",
		    vfio->dev.id, inherited ? "taken over" : "opened",
		    vfio->node, (unsigned long long)vfio->dev.bar0_bytes,
		    vfio->dev.doorbells != NULL ? "mapped" : "not mapped",
		    vfio->vector_count, vfio->msix_size,
		    vfio->vectors_fixed ? ", all enabled now" : "");
	return 0;
}

static int parse_option(struct hf_vfio_request *request, const char *option,
			struct hf_error *err)
{
	static const enum hf_vfio_mode modes[] = {
		HF_VFIO_AUTO, HF_VFIO_CDEV, HF_VFIO_GROUP, HF_VFIO_NOIOMMU};
	unsigned int vectors;
	int end = 0;

	if (strncmp(option, "mode=", 5) == 0) {
		for (size_t i = 0; i < HF_ARRAY_LEN(modes); i++) {
			if (strcmp(option + 5, hf_vfio_mode_name(modes[i])) ==
			    0) {
				request->mode = modes[i];
				return 0;
			}
		}
		return hf_error_set(err, -EINVAL,
				    "vfio:%s: no mode '%s'; there are auto, "
				    "cdev, group and noiommu",
				    request->bdf, option + 5);
	}
	if (sscanf(option, "vectors=%3u%n", &vectors, &end) == 1 &&
	    option[end] == '\0' && vectors >= 1 &&
	    vectors <= HF_VFIO_VECTORS_MAX) {
		request->vectors = vectors;
		return 0;
	}
	return hf_error_set(err, -EINVAL,
			    "vfio:%s: option '%s' is not known; there are "
			    "mode=cdev|group|noiommu and vectors=1..%d",
			    request->bdf, option, HF_VFIO_VECTORS_MAX);
}

static int parse_request(struct hf_vfio_request *request, const char *text,
			 struct hf_error *err)
{
	char copy[128];

	if (strlen(text) >= sizeof(copy)) {
		return hf_error_set(err, -EINVAL,
				    "vfio:%.40s...: the address is too long",
				    text);
	}
	strcpy(copy, text);

	char *rest = copy;
	const char *address = strsep(&rest, ",");
	if (hf_pci_parse(address, request->bdf, sizeof(request->bdf)) != 0) {
		return hf_error_set(err, -EINVAL,
				    "vfio:%s: '%s' is no PCI address; write it "
				    "as 0000:01:00.0",
				    text, address);
	}
	while (rest != NULL) {
		int rc = parse_option(request, strsep(&rest, ","), err);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

/* Is the failure one that another path may not have? */
static bool other_path_may_work(int rc)
{
	return rc == -ENOENT || rc == -EACCES || rc == -EPERM ||
	       rc == -ENOTTY || rc == -EOPNOTSUPP || rc == -ENXIO;
}

static int connect_auto(struct hf_vfio *vfio, struct hf_error *err)
{
	struct hf_error cdev_error = {0};
	struct hf_error group_error = {0};

	hf_vfio_set_mode(vfio, HF_VFIO_CDEV);
	int rc = hf_vfio_cdev_open(vfio, &cdev_error);
	if (rc == 0) {
		return 0;
	}
	if (!other_path_may_work(rc)) {
		return hf_error_set(err, rc, "%s", cdev_error.message);
	}
	hf_log_info(&vfio->dev.options.log,
		    "%s: not by its own device file (%s): trying its group",
		    vfio->dev.id, cdev_error.message);
	close_fd(&vfio->device_fd);
	close_fd(&vfio->iommufd);

	hf_vfio_set_mode(vfio, HF_VFIO_GROUP);
	int group_rc = hf_vfio_group_open(vfio, &group_error);
	if (group_rc == 0) {
		return 0;
	}
	/* A kernel without group files is one where the first error counts. */
	if (group_rc == -ENOENT && rc != -ENOENT) {
		return hf_error_set(err, rc, "%s", cdev_error.message);
	}
	return hf_error_set(err, group_rc, "%s", group_error.message);
}

static int vfio_connect(struct hf_vfio *vfio, enum hf_vfio_mode mode,
			struct hf_error *err)
{
	hf_vfio_set_mode(vfio, mode);
	switch (mode) {
	case HF_VFIO_AUTO:
		return connect_auto(vfio, err);
	case HF_VFIO_CDEV:
		return hf_vfio_cdev_open(vfio, err);
	case HF_VFIO_NOIOMMU:
		hf_log_warning(&vfio->dev.options.log,
			       "%s: WITHOUT AN IOMMU: the device can read and "
			       "write all of the machine's memory; a mistake "
			       "of the driver's or the device's can corrupt "
			       "anything",
			       vfio->dev.id);
		return hf_vfio_group_open(vfio, err);
	case HF_VFIO_GROUP:
		return hf_vfio_group_open(vfio, err);
	}
	return -EINVAL;
}

int hf_vfio_finish(struct hf_device **out, struct hf_vfio *vfio,
		   struct hf_error *err)
{
	int rc = hf_vfio_setup(vfio, false, err);
	if (rc == 0) {
		rc = hf_vfio_bus_master(vfio, true, err);
	}
	if (rc == 0) {
		rc = hf_device_init(&vfio->dev, err);
	}
	if (rc != 0) {
		hf_vfio_free(vfio, HF_RELEASE_RESET);
		return rc;
	}
	*out = &vfio->dev;
	return 0;
}

int hf_vfio_open(struct hf_device **out, const char *bdf_and_options,
		 const struct hf_device_options *options, struct hf_error *err)
{
	struct hf_vfio_request request = {0};

	int rc = parse_request(&request, bdf_and_options, err);
	if (rc == 0) {
		rc = hf_vfio_check_function(request.bdf, err);
	}
	if (rc != 0) {
		return rc;
	}

	struct hf_vfio *vfio = hf_vfio_new(options);
	if (vfio == NULL) {
		return hf_error_set(err, -ENOMEM, "vfio:%s: no memory",
				    request.bdf);
	}
	strcpy(vfio->bdf, request.bdf);
	snprintf(vfio->dev.id, sizeof(vfio->dev.id), "vfio:%s", vfio->bdf);
	vfio->vectors_asked = request.vectors;
	rc = vfio_connect(vfio, request.mode, err);
	if (rc != 0) {
		hf_vfio_free(vfio, HF_RELEASE_RESET);
		return rc;
	}
	return hf_vfio_finish(out, vfio, err);
}
