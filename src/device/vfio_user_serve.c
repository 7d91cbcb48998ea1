/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_serve.h"

#include <errno.h>
#include <string.h>

#include "base/checked.h"

/* The memory at [iova, iova + count), or NULL where not all of it was given. */
static uint8_t *memory_at(const struct hf_vfu_conn *conn, uint64_t iova,
			  uint64_t count)
{
	for (uint32_t i = 0; i < conn->memory_count; i++) {
		const struct hf_vfu_memory *memory = &conn->memory[i];

		if (iova >= memory->iova &&
		    hf_range_within(iova - memory->iova, count,
				    memory->len_bytes)) {
			return memory->vaddr + (iova - memory->iova);
		}
	}
	return NULL;
}

/* Fills @out with the answer to a read or write; returns a positive errno. */
static int access_memory(struct hf_vfu_conn *conn, struct hf_vfu_out *out,
			 struct vfu_dma_access *access)
{
	const struct hf_vfu_in *in = &conn->in;
	bool is_write = in->header.command == VFU_DMA_WRITE;

	if (in->payload_bytes < sizeof(*access)) {
		return EINVAL;
	}
	memcpy(access, in->payload, sizeof(*access));
	uint32_t data_bytes = in->payload_bytes - (uint32_t)sizeof(*access);
	if (access->count > HF_VFU_OUR_MAX_XFER_BYTES ||
	    data_bytes != (is_write ? access->count : 0)) {
		return EINVAL;
	}
	uint8_t *memory = memory_at(conn, access->iova, access->count);
	if (memory == NULL) {
		return EFAULT;
	}

	if (is_write) {
		memcpy(memory, in->payload + sizeof(*access), data_bytes);
	} else {
		out->data = memory;
		out->data_bytes = (uint32_t)access->count;
	}
	out->request = access;
	out->request_bytes = sizeof(*access);
	return 0;
}

int hf_vfu_serve(struct hf_vfu_conn *conn, uint64_t deadline_ns)
{
	const struct vfu_header *asked = &conn->in.header;
	struct vfu_dma_access access;
	struct hf_vfu_out out = {
		.header = {.id = asked->id,
			   .command = asked->command,
			   .flags = VFU_FLAG_TYPE_REPLY},
	};
	int error = EOPNOTSUPP;

	__atomic_fetch_add(&conn->served, 1, __ATOMIC_RELAXED);
	if (asked->command == VFU_DMA_READ || asked->command == VFU_DMA_WRITE) {
		error = access_memory(conn, &out, &access);
	}
	if ((asked->flags & VFU_FLAG_NO_REPLY) != 0) {
		return 0;
	}

	if (error != 0) {
		out.header.flags |= VFU_FLAG_ERROR;
		out.header.error = (uint32_t)error;
	}
	out.header.size = (uint32_t)sizeof(out.header) + out.request_bytes +
			  out.data_bytes;
	return hf_vfu_socket_send(conn->fd, deadline_ns, &out);
}
