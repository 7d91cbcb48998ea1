/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "device/vfio_user_carry.h"
#include "device/vfio_user_dma.h"
#include "device/vfio_user_irq.h"
#include "device/vfio_user_registers.h"
#include "device/vfio_user_setup.h"

#define DOORBELLS_OFFSET   0x1000u
#define DEFAULT_TIMEOUT_MS 5000u

static int vu_reg_read(struct hf_device *dev, uint32_t offset,
		       uint32_t size_bytes, uint64_t *value)
{
	uint8_t bytes[8] = {0};

	int rc = hf_vfu_region_read(hf_vfio_user_of(dev),
				    VFIO_PCI_BAR0_REGION_INDEX, offset, bytes,
				    size_bytes, NULL);
	*value = hf_get_le64(bytes);
	return rc;
}

static int vu_reg_read_many(struct hf_device *dev, struct hf_reg_read *reads,
			    uint32_t count)
{
	return hf_vfu_registers_read(hf_vfio_user_of(dev), reads, count);
}

static void vu_reg_read_ahead(struct hf_device *dev,
			      const struct hf_reg_read *reads, uint32_t count)
{
	hf_vfu_registers_leave(hf_vfio_user_of(dev), reads, count);
}

static int vu_reg_write(struct hf_device *dev, uint32_t offset,
			uint32_t size_bytes, uint64_t value)
{
	struct hf_vfio_user *vu = hf_vfio_user_of(dev);
	uint8_t bytes[8];

	hf_put_le64(bytes, value);
	if (offset < DOORBELLS_OFFSET) {
		return hf_vfu_region_write(vu, VFIO_PCI_BAR0_REGION_INDEX,
					   offset, bytes, size_bytes, NULL);
	}

	/*
	 * A doorbell asks for no reply: the server takes messages in order, so
	 * that whatever follows finds it rung, and some servers look at their
	 * socket once in a millisecond only.
	 */
	const struct vfu_region_access ask = {
		.offset = offset,
		.region = VFIO_PCI_BAR0_REGION_INDEX,
		.count = size_bytes,
	};
	const struct hf_vfu_call call = {
		.command = VFU_REGION_WRITE,
		.request = &ask,
		.request_bytes = sizeof(ask),
		.data = bytes,
		.data_bytes = size_bytes,
	};
	return hf_vfu_post(&vu->conn, &call);
}

static uint32_t vu_irq_count(struct hf_device *dev)
{
	return hf_vfio_user_of(dev)->facts.vectors;
}

static int vu_irq_map(struct hf_device *dev, uint32_t vector, uint32_t cpu,
		      int *eventfd, struct hf_error *err)
{
	/* Which CPU the server signals from is not ours to choose. */
	(void)cpu;
	return hf_vfu_irq_map(hf_vfio_user_of(dev), vector, eventfd, err);
}

static void vu_irq_unmap_all(struct hf_device *dev)
{
	hf_vfu_irq_unmap_all(hf_vfio_user_of(dev));
}

static int vu_dma_map(struct hf_device *dev, const struct hf_dma_mapping *map,
		      struct hf_error *err)
{
	return hf_vfu_dma_map(hf_vfio_user_of(dev), map, err);
}

static int vu_dma_unmap(struct hf_device *dev, const struct hf_dma_mapping *map,
			struct hf_error *err)
{
	return hf_vfu_dma_unmap(hf_vfio_user_of(dev), map, err);
}

static int vu_reset(struct hf_device *dev, struct hf_error *err)
{
	struct hf_vfio_user *vu = hf_vfio_user_of(dev);
	struct hf_vfu_call call = {.command = VFU_DEVICE_RESET};

	if (!vu->facts.can_reset) {
		return hf_error_set(err, -ENOTSUP,
				    "%s: the server offers no reset", dev->id);
	}
	return hf_vfu_call(&vu->conn, &call, err);
}

static int vu_carry(struct hf_device *dev, struct hf_fdset *set,
		    struct hf_error *err)
{
	int rc = hf_vfu_carry_out(hf_vfio_user_of(dev), set, err);

	return rc != 0 ? rc : hf_dma_carry(&dev->dma, set, err);
}

static int vu_remove_request_fd(struct hf_device *dev)
{
	return hf_vfio_user_of(dev)->conn.hangup_fd;
}

static void add_number(struct json_object *into, const char *key,
		       uint64_t number)
{
	json_object_object_add(into, key,
			       json_object_new_int64((int64_t)number));
}

static void add_count(struct json_object *into, const char *key,
		      const uint64_t *counter)
{
	add_number(into, key, __atomic_load_n(counter, __ATOMIC_RELAXED));
}

/* Takes no lock: a request under way may hold it for long. */
static void vu_inspect(struct hf_device *dev, struct json_object *into)
{
	struct hf_vfio_user *vu = hf_vfio_user_of(dev);
	struct hf_vfu_conn *conn = &vu->conn;

	json_object_object_add(into, "socket",
			       json_object_new_string(vu->path));
	json_object_object_add(into, "doorbells",
			       json_object_new_string(dev->doorbells != NULL
							      ? "mapped"
							      : "message"));
	bool lost = hf_vfu_conn_lost(conn);
	json_object_object_add(into, "connected",
			       json_object_new_boolean(!lost));
	if (lost) {
		json_object_object_add(
			into, "lost_reason",
			json_object_new_string(conn->lost_reason));
	}
	add_count(into, "round_trips", &conn->journal->round_trips);
	add_number(into, "round_trips_to_open", vu->open_round_trips);
	add_count(into, "messages_without_reply", &conn->journal->posted);
	add_count(into, "requests_served", &conn->served);
	add_count(into, "stale_replies_dropped", &conn->stale_replies);
	add_count(into, "unexpected_descriptors_closed", &conn->unexpected_fds);
	add_number(
		into, "vectors_wired",
		__atomic_load_n(&conn->journal->irq_wired, __ATOMIC_RELAXED));
	add_number(into, "vectors", vu->facts.vectors);
	add_number(into, "dma_mappings",
		   __atomic_load_n(&vu->dma_maps, __ATOMIC_RELAXED));
	add_number(into, "dma_mappings_max", dev->dma.limits.max_mappings);
	add_number(into, "descriptors_per_message", vu->facts.max_fds);
}

void hf_vfu_free(struct hf_vfio_user *vu)
{
	hf_vfu_irq_fini(vu);
	if (vu->doorbells_page != NULL) {
		munmap(vu->doorbells_page, vu->facts.doorbells_bytes);
	}
	if (vu->bar0_fd >= 0) {
		close(vu->bar0_fd);
	}
	if (vu->conn_ready) {
		hf_vfu_conn_fini(&vu->conn);
	}
	free(vu->asked);
	free(vu);
}

static void vu_destroy(struct hf_device *dev, enum hf_release how)
{
	struct hf_vfio_user *vu = hf_vfio_user_of(dev);
	struct hf_error err;

	/* The device stands still before its memory goes. */
	if (how == HF_RELEASE_RESET && vu->facts.can_reset &&
	    !hf_vfu_conn_lost(&vu->conn) && vu_reset(dev, &err) != 0) {
		hf_log_warning(&dev->options.log, "%s", err.message);
	}
	hf_device_fini(dev, how);
	hf_vfu_free(vu);
}

static const struct hf_device_ops vfio_user_ops = {
	.kind = "vfio-user",
	.reg_read = vu_reg_read,
	.reg_read_many = vu_reg_read_many,
	.reg_read_ahead = vu_reg_read_ahead,
	.reg_write = vu_reg_write,
	.irq_count = vu_irq_count,
	.irq_map = vu_irq_map,
	.irq_unmap_all = vu_irq_unmap_all,
	.dma_map = vu_dma_map,
	.dma_unmap = vu_dma_unmap,
	.reset = vu_reset,
	.carry = vu_carry,
	.remove_request_fd = vu_remove_request_fd,
	.inspect = vu_inspect,
	.destroy = vu_destroy,
};

struct hf_vfio_user *hf_vfu_new(const char *path,
				const struct hf_device_options *options,
				struct hf_error *err)
{
	struct hf_vfio_user *vu = calloc(1, sizeof(*vu));

	if (vu == NULL) {
		hf_error_set(err, -ENOMEM, "vfio-user:%s: no memory", path);
		return NULL;
	}
	vu->bar0_fd = -1;
	vu->request_fd = -1;
	vu->dev.ops = &vfio_user_ops;
	if (options != NULL) {
		vu->dev.options = *options;
	} else {
		hf_device_options_init(&vu->dev.options);
	}
	snprintf(vu->path, sizeof(vu->path), "%s", path);
	snprintf(vu->dev.id, sizeof(vu->dev.id), "vfio-user:%s", path);

	uint32_t timeout_ms = vu->dev.options.timeout_ms;
	int rc = hf_vfu_conn_init(
		&vu->conn, vu->dev.id, &vu->dev.options.log,
		timeout_ms != 0 ? timeout_ms : DEFAULT_TIMEOUT_MS, err);
	vu->conn_ready = rc == 0;
	if (rc != 0) {
		hf_vfu_free(vu);
		return NULL;
	}
	return vu;
}

/* A server that names no limit may have one all the same: it is learnt when a
 * mapping is refused. */
void hf_vfu_set_limits(struct hf_vfio_user *vu)
{
	vu->dev.bar0_bytes = vu->facts.bar0_bytes;
	vu->dev.dma.limits = (struct hf_dma_limits){
		.max_mappings = vu->facts.max_dma_maps,
		.private_memory = false,
	};
}

static int vu_converse(struct hf_vfio_user *vu, struct hf_error *err)
{
	int rc = hf_vfu_negotiate(vu, err);

	if (rc == 0) {
		rc = hf_vfu_discover(vu, err);
	}
	if (rc == 0) {
		rc = hf_vfu_configure(vu, err);
	}
	if (rc == 0) {
		rc = hf_vfu_irq_init(vu, err);
	}
	if (rc == 0) {
		rc = hf_vfu_irq_request(vu, err);
	}
	if (rc != 0) {
		return rc;
	}
	hf_vfu_map_doorbells(vu);
	hf_vfu_set_limits(vu);
	vu->open_round_trips = vu->conn.fresh_round_trips;
	return hf_device_init(&vu->dev, err);
}

static int vu_open_socket(struct hf_vfio_user *vu, int fd,
			  struct hf_device **out, struct hf_error *err)
{
	int rc = hf_vfu_conn_start(&vu->conn, fd, err);

	if (rc != 0) {
		close(fd);
	} else {
		rc = vu_converse(vu, err);
	}
	if (rc != 0) {
		hf_vfu_free(vu);
		return rc;
	}
	vu->conn.established = true;
	*out = &vu->dev;
	return 0;
}

int hf_vfio_user_open_fd(struct hf_device **out, int fd, const char *path,
			 const struct hf_device_options *options,
			 struct hf_error *err)
{
	struct hf_vfio_user *vu = hf_vfu_new(path, options, err);

	if (vu == NULL) {
		close(fd);
		return -ENOMEM;
	}
	return vu_open_socket(vu, fd, out, err);
}

int hf_vfio_user_open(struct hf_device **out, const char *path,
		      const struct hf_device_options *options,
		      struct hf_error *err)
{
	struct hf_vfio_user *vu = hf_vfu_new(path, options, err);
	int fd = -1;

	if (vu == NULL) {
		return -ENOMEM;
	}
	int rc = hf_vfu_socket_connect(vu->dev.id, path,
				       hf_deadline_ms(vu->conn.timeout_ms), &fd,
				       err);
	if (rc != 0) {
		hf_vfu_free(vu);
		return rc;
	}
	return vu_open_socket(vu, fd, out, err);
}
