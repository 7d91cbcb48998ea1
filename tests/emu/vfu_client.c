/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfu_client.h"

#include "cmocka_all.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "spec/entries.h"

#define PATIENCE_MS 10000

static const char version_json[] = "{\"capabilities\":{\"max_msg_fds\":16,"
				   "\"max_data_xfer_size\":1048576}}";

void served_open(struct served *served,
		 const struct hf_emu_serve_options *options)
{
	struct hf_emu_options emu_options;
	struct hf_emu_namespace_options ns;
	struct hf_error err = {0};

	hf_emu_options_init(&emu_options);
	emu_options.io_workers = 1;
	emu_options.vectors = 8;
	hf_emu_namespace_options_init(&ns);
	ns.size_bytes = 1 << 20;
	strcpy(served->directory, "/tmp/hf-vfu-XXXXXX");
	assert_non_null(mkdtemp(served->directory));
	snprintf(served->path, sizeof(served->path), "%s/socket",
		 served->directory);
	assert_int_equal(hf_emu_create(&served->emu, &emu_options, &err), 0);
	assert_int_equal(hf_emu_namespace_add(served->emu, &ns, NULL, &err), 0);
	if (hf_emu_serve_open(&served->server, served->emu, served->path,
			      options, &err) != 0) {
		fail_msg("%s", err.message);
	}
	assert_int_equal(hf_emu_serve_start(served->server, &err), 0);
}

void served_close(struct served *served)
{
	hf_emu_serve_close(served->server);
	hf_emu_destroy(served->emu);
	/* The socket is gone, so that the directory is empty. */
	assert_int_equal(rmdir(served->directory), 0);
}

void client_connect(struct vfu_client *client, const struct served *served)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(client, 0, sizeof(*client));
	client->next_id = 77;
	strcpy(address.sun_path, served->path);
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(client->fd >= 0);
	assert_int_equal(connect(client->fd, (struct sockaddr *)&address,
				 sizeof(address)),
			 0);
}

void client_open(struct vfu_client *client, const struct served *served)
{
	uint8_t payload[256] = {0, 0, 1, 0};

	client_connect(client, served);
	memcpy(payload + 4, version_json, sizeof(version_json));
	assert_int_equal(client_call(client, VFU_VERSION, payload,
				     4 + sizeof(version_json), NULL, 0),
			 0);
}

static void drop_fds(struct vfu_client *client)
{
	for (uint32_t i = 0; i < client->fd_count; i++) {
		if (client->fds[i] >= 0) {
			close(client->fds[i]);
		}
	}
	client->fd_count = 0;
}

void client_close(struct vfu_client *client)
{
	drop_fds(client);
	if (client->fd >= 0) {
		close(client->fd);
	}
	client->fd = -1;
}

void client_send_raw(struct vfu_client *client, const void *bytes,
		     uint32_t len_bytes, const int *fds, uint32_t fd_count)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 64)];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = len_bytes};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd_count > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * fd_count);
	}
	assert_int_equal(sendmsg(client->fd, &msg, MSG_NOSIGNAL), len_bytes);
}

void client_send(struct vfu_client *client, uint16_t command,
		 const void *payload, uint32_t len_bytes, const int *fds,
		 uint32_t fd_count)
{
	static uint8_t message[1 << 17];
	struct vfu_header header = {
		.id = client->next_id++,
		.command = command,
		.size = (uint32_t)sizeof(header) + len_bytes,
	};

	memcpy(message, &header, sizeof(header));
	if (len_bytes > 0) {
		memcpy(message + sizeof(header), payload, len_bytes);
	}
	client_send_raw(client, message, header.size, fds, fd_count);
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	return poll(&pollfd, 1, timeout_ms) == 1;
}

static void keep_fds(struct vfu_client *client, struct msghdr *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		client->fd_count = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) /
					      sizeof(int));
		assert_true(client->fd_count <= 8);
		memcpy(client->fds, CMSG_DATA(cmsg),
		       client->fd_count * sizeof(int));
	}
}

static bool fill(struct vfu_client *client, uint8_t *out, uint32_t len_bytes)
{
	while (len_bytes > 0) {
		char control[CMSG_SPACE(sizeof(int) * 8)];
		struct iovec iov = {.iov_base = out, .iov_len = len_bytes};
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};

		assert_true(readable(client->fd, PATIENCE_MS));
		ssize_t got = recvmsg(client->fd, &msg, MSG_CMSG_CLOEXEC);
		if (got <= 0) {
			return false;
		}
		keep_fds(client, &msg);
		out += got;
		len_bytes -= (uint32_t)got;
	}
	return true;
}

bool client_receive(struct vfu_client *client)
{
	drop_fds(client);
	if (!fill(client, (uint8_t *)&client->header, sizeof(client->header))) {
		return false;
	}
	assert_true(client->header.size >= sizeof(client->header));
	client->len_bytes =
		client->header.size - (uint32_t)sizeof(client->header);
	assert_true(client->len_bytes <= sizeof(client->payload));
	assert_int_equal(client->header.flags & VFU_FLAG_TYPE_MASK,
			 VFU_FLAG_TYPE_REPLY);
	if ((client->header.flags & VFU_FLAG_ERROR) != 0) {
		assert_int_equal(client->len_bytes, 0);
		assert_int_not_equal(client->header.error, 0);
	}
	return fill(client, client->payload, client->len_bytes);
}

int client_call(struct vfu_client *client, uint16_t command,
		const void *payload, uint32_t len_bytes, const int *fds,
		uint32_t fd_count)
{
	client_send(client, command, payload, len_bytes, fds, fd_count);
	assert_true(client_receive(client));
	assert_int_equal(client->header.id, (uint16_t)(client->next_id - 1));
	assert_int_equal(client->header.command, command);
	return (client->header.flags & VFU_FLAG_ERROR) != 0
		       ? (int)client->header.error
		       : 0;
}

void client_expect_end(struct vfu_client *client)
{
	assert_false(client_receive(client));
}

void client_expect_silence(struct vfu_client *client)
{
	assert_false(readable(client->fd, 0));
}

int client_read(struct vfu_client *client, uint32_t region, uint64_t offset,
		uint32_t count, void *out)
{
	struct vfu_region_access access = {
		.offset = offset, .region = region, .count = count};
	int error = client_call(client, VFU_REGION_READ, &access,
				sizeof(access), NULL, 0);

	if (error == 0) {
		assert_int_equal(client->len_bytes, sizeof(access) + count);
		assert_memory_equal(client->payload, &access, sizeof(access));
		memcpy(out, client->payload + sizeof(access), count);
	}
	return error;
}

int client_write(struct vfu_client *client, uint32_t region, uint64_t offset,
		 uint32_t count, const void *in)
{
	uint8_t payload[4096 + sizeof(struct vfu_region_access)];
	struct vfu_region_access access = {
		.offset = offset, .region = region, .count = count};

	assert_true(count <= 4096);
	memcpy(payload, &access, sizeof(access));
	memcpy(payload + sizeof(access), in, count);
	int error = client_call(client, VFU_REGION_WRITE, payload,
				(uint32_t)sizeof(access) + count, NULL, 0);
	if (error == 0) {
		assert_int_equal(client->len_bytes, sizeof(access));
		assert_memory_equal(client->payload, &access, sizeof(access));
	}
	return error;
}

uint32_t client_reg32(struct vfu_client *client, uint64_t offset)
{
	uint32_t value = 0;

	assert_int_equal(client_read(client, VFIO_PCI_BAR0_REGION_INDEX, offset,
				     4, &value),
			 0);
	return value;
}

void client_set_reg32(struct vfu_client *client, uint64_t offset,
		      uint32_t value)
{
	assert_int_equal(client_write(client, VFIO_PCI_BAR0_REGION_INDEX,
				      offset, 4, &value),
			 0);
}

void client_set_reg64(struct vfu_client *client, uint64_t offset,
		      uint64_t value)
{
	assert_int_equal(client_write(client, VFIO_PCI_BAR0_REGION_INDEX,
				      offset, 8, &value),
			 0);
}

int client_map(struct vfu_client *client, uint64_t iova, uint64_t len_bytes,
	       uint32_t flags, int fd, uint64_t offset)
{
	struct vfu_dma_map map = {.argsz = sizeof(map),
				  .flags = flags,
				  .offset = offset,
				  .iova = iova,
				  .size = len_bytes};

	return client_call(client, VFU_DMA_MAP, &map, sizeof(map), &fd,
			   fd >= 0 ? 1 : 0);
}

int client_unmap(struct vfu_client *client, uint64_t iova, uint64_t len_bytes,
		 uint32_t flags)
{
	struct vfu_dma_unmap unmap = {.argsz = sizeof(unmap),
				      .flags = flags,
				      .iova = iova,
				      .size = len_bytes};
	int error = client_call(client, VFU_DMA_UNMAP, &unmap, sizeof(unmap),
				NULL, 0);

	if (error == 0) {
		assert_int_equal(client->len_bytes, sizeof(unmap));
		assert_memory_equal(client->payload, &unmap, sizeof(unmap));
	}
	return error;
}

int client_set_irqs(struct vfu_client *client, uint32_t flags, uint32_t index,
		    uint32_t start, uint32_t count, const int *fds,
		    uint32_t fd_count)
{
	struct vfu_irq_set set = {.argsz = sizeof(set),
				  .flags = flags,
				  .index = index,
				  .start = start,
				  .count = count};

	return client_call(client, VFU_DEVICE_SET_IRQS, &set, sizeof(set), fds,
			   fd_count);
}

void client_enable_msix(struct vfu_client *client)
{
	uint16_t command = 0x0406; /* memory, bus master, INTx Disable */
	uint16_t control = 0x8000;

	assert_int_equal(client_write(client, VFIO_PCI_CONFIG_REGION_INDEX, 4,
				      2, &command),
			 0);
	assert_int_equal(client_write(client, VFIO_PCI_CONFIG_REGION_INDEX,
				      0x52, 2, &control),
			 0);
}

bool event_comes(int fd)
{
	uint64_t count;

	return readable(fd, PATIENCE_MS) &&
	       read(fd, &count, sizeof(count)) == sizeof(count);
}

bool event_pending(int fd)
{
	return readable(fd, 0);
}

int memory_create(uint64_t len_bytes, uint8_t **vaddr)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)len_bytes), 0);
	*vaddr = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      0);
	assert_ptr_not_equal(*vaddr, MAP_FAILED);
	return fd;
}

static void wait_ready(struct vfu_client *client, uint32_t ready)
{
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	while ((client_reg32(client, 0x1c) & 1) != ready) {
		assert_false(hf_deadline_passed(deadline));
	}
}

void admin_enable(struct vfu_client *client)
{
	client_set_reg32(client, 0x24, 15u << 16 | 15u);
	client_set_reg64(client, 0x28, 0);
	client_set_reg64(client, 0x30, 4096);
	client_set_reg32(client, 0x14, 6u << 16 | 4u << 20 | 1u);
	wait_ready(client, 1);
}

void admin_disable(struct vfu_client *client)
{
	client_set_reg32(client, 0x14, 0);
	wait_ready(client, 0);
}

void admin_identify(struct vfu_client *client, uint8_t *memory, uint32_t slot)
{
	struct nvme_sqe sqe = {.opcode = 0x06,
			       .cid = htole16((uint16_t)(100 + slot)),
			       .prp1 = htole64(8192),
			       .cdw10 = htole32(1)};

	memcpy(memory + slot * sizeof(sqe), &sqe, sizeof(sqe));
	client_set_reg32(client, 0x1000, slot + 1);
}

bool admin_completed(const uint8_t *memory, uint32_t slot)
{
	const uint32_t *dw3 = (const void *)(memory + 4096 + slot * 16 + 12);
	uint64_t deadline = hf_deadline_ms(PATIENCE_MS);

	while ((hf_load_le32_acquire(dw3) & NVME_CQE_DW3_PHASE) == 0) {
		if (hf_deadline_passed(deadline)) {
			return false;
		}
		poll(NULL, 0, 1);
	}
	return hf_load_le32_acquire(dw3) == (NVME_CQE_DW3_PHASE | (100 + slot));
}
