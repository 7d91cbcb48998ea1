/* SPDX-License-Identifier: BSD-3-Clause */
#include "scripted_server.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"

struct vfu_header *reply_header(struct scripted_reply *reply)
{
	return (struct vfu_header *)(void *)reply->bytes;
}

void reply_resize(struct scripted_reply *reply, uint32_t payload_bytes)
{
	reply->len_bytes = (uint32_t)sizeof(struct vfu_header) + payload_bytes;
	reply_header(reply)->size = reply->len_bytes;
}

static void prepare_config(uint8_t *config)
{
	memset(config, 0, 256);
	hf_put_le16(config + PCI_VENDOR_ID, 0x1b36);
	hf_put_le16(config + PCI_DEVICE_ID, 0x0010);
	hf_put_le16(config + PCI_STATUS, PCI_STATUS_CAP_LIST);
	hf_put_le32(config + PCI_CLASS_REVISION, 0x01080201);
	config[PCI_CAPABILITY_LIST] = 0x60;
	config[0x60] = PCI_CAP_ID_PM;
	config[0x61] = SCRIPT_MSIX_AT;
	config[SCRIPT_MSIX_AT] = PCI_CAP_ID_MSIX;
	hf_put_le16(config + SCRIPT_MSIX_AT + PCI_MSIX_FLAGS,
		    SCRIPT_VECTORS - 1);
}

void scripted_server_init(struct scripted_server *server)
{
	server->version_json = "{\"capabilities\":{\"max_msg_fds\":8,"
			       "\"max_data_xfer_size\":1048576,"
			       "\"migration\":{\"pgsize\":4096}}}";
	server->minor = 1;
	server->region_flags =
		VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS;
	server->sparse = true;
	server->sparse_offset = 0x1000;
	server->sparse_bytes = 0x1000;
	server->bar0_fd = true;
	server->bar0_file_bytes = 0x2000;
	server->device_flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	server->vectors = SCRIPT_VECTORS;
	server->max_maps = 64;
	server->max_maps_errno = EINVAL;
	server->has_request = true;
	server->request_fd = -1;
	server->conn = -1;
	server->bar0 = -1;
	prepare_config(server->config);
	for (uint32_t i = 0; i < SCRIPT_VECTORS; i++) {
		server->irq_fds[i] = -1;
	}
	pthread_mutex_init(&server->lock, NULL);
}

/* Everything, or false when the client has gone. */
static bool send_bytes(int fd, const uint8_t *bytes, uint32_t len,
		       const int *fds, uint32_t fd_count)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control = {0};
	struct iovec part = {(void *)bytes, len};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

	if (fd_count > 0) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
	}
	while (part.iov_len > 0) {
		ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL);

		if (sent < 0) {
			return false;
		}
		part.iov_base = (char *)part.iov_base + sent;
		part.iov_len -= (size_t)sent;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return true;
}

static bool send_reply(struct scripted_server *server)
{
	struct scripted_reply *reply = &server->reply;
	uint32_t step = reply->piece_bytes;
	uint32_t done = 0;
	bool ok = true;

	if (reply->before_bytes > 0) {
		ok = send_bytes(server->conn, reply->before,
				reply->before_bytes, NULL, 0);
	}
	if (reply->silent) {
		return ok;
	}
	while (ok && done < reply->len_bytes) {
		uint32_t piece = reply->len_bytes - done;

		piece = step != 0 ? HF_MIN(step, piece) : piece;
		ok = send_bytes(server->conn, reply->bytes + done, piece,
				reply->fds, done == 0 ? reply->fd_count : 0);
		done += piece;
	}
	return ok && !reply->close_after;
}

static void fail_with(struct scripted_reply *reply, uint32_t error)
{
	reply_header(reply)->flags |= VFU_FLAG_ERROR;
	reply_header(reply)->error = error;
	reply->fd_count = 0;
	reply_resize(reply, 0);
}

static void put_payload(struct scripted_reply *reply, const void *bytes,
			uint32_t len)
{
	memcpy(reply->bytes + sizeof(struct vfu_header), bytes, len);
	reply_resize(reply, len);
}

static void on_version(struct scripted_server *server,
		       struct scripted_reply *reply)
{
	uint8_t *payload = reply->bytes + sizeof(struct vfu_header);
	struct vfu_version version = {server->major, server->minor};
	uint32_t len = 0;

	memcpy(payload, &version, sizeof(version));
	if (server->version_json != NULL) {
		len = (uint32_t)strlen(server->version_json) + 1;
		memcpy(payload + sizeof(version), server->version_json, len);
	}
	reply_resize(reply, (uint32_t)sizeof(version) + len);
}

static void on_region_info(struct scripted_server *server,
			   struct scripted_reply *reply, const uint8_t *payload)
{
	struct {
		struct vfu_region_info info;
		struct vfu_cap_sparse_mmap cap;
		struct vfu_sparse_area area;
	} answer = {
		.info = {.argsz = server->sparse ? 64 : 32,
			 .flags = server->region_flags,
			 .cap_offset = server->sparse ? 32 : 0,
			 .size = SCRIPT_BAR0_BYTES},
		.cap = {.header = {.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP,
				   .version = 1},
			.nr_areas = 1},
		.area = {server->sparse_offset, server->sparse_bytes},
	};
	struct vfu_region_info asked;

	memcpy(&asked, payload, sizeof(asked));
	if (server->region_argsz != 0) {
		answer.info.argsz = server->region_argsz;
	}
	/* With too little room: neither capability nor descriptor, no error. */
	bool all = asked.argsz >= answer.info.argsz;
	if (!all) {
		answer.info.cap_offset = 0;
	}
	put_payload(reply, &answer, all && server->sparse ? 64 : 32);
	if (all && server->bar0_fd) {
		reply->fds[reply->fd_count++] = server->bar0;
	}
}

static void on_region_access(struct scripted_server *server,
			     struct scripted_reply *reply,
			     const uint8_t *payload, uint32_t len)
{
	struct vfu_region_access access;
	uint8_t *data =
		reply->bytes + sizeof(struct vfu_header) + sizeof(access);
	bool is_write = reply_header(reply)->command == VFU_REGION_WRITE;

	memcpy(&access, payload, sizeof(access));
	bool config = access.region == VFIO_PCI_CONFIG_REGION_INDEX;
	uint8_t *region = config ? server->config : server->regs;
	uint64_t limit = config ? sizeof(server->config) : sizeof(server->regs);
	if ((access.region != 0 && !config) ||
	    !hf_range_within(access.offset, access.count, limit) ||
	    (!config && access.count != 4 && access.count != 8) ||
	    len != sizeof(access) + (is_write ? access.count : 0)) {
		fail_with(reply, EINVAL);
		return;
	}
	put_payload(reply, &access, sizeof(access));
	if (is_write) {
		memcpy(region + access.offset, payload + sizeof(access),
		       access.count);
	} else {
		memcpy(data, region + access.offset, access.count);
		reply_resize(reply, (uint32_t)sizeof(access) + access.count);
	}
}

static void on_dma_map(struct scripted_server *server,
		       struct scripted_reply *reply, const uint8_t *payload,
		       const int *fds, uint32_t fd_count)
{
	struct vfu_dma_map map;

	memcpy(&map, payload, sizeof(map));
	if (server->map_count >= server->max_maps) {
		fail_with(reply, server->max_maps_errno);
		return;
	}
	for (uint32_t i = 0; i < server->map_count; i++) {
		if (hf_ranges_overlap(map.iova, map.size, server->maps[i].iova,
				      server->maps[i].size)) {
			fail_with(reply, EEXIST);
			return;
		}
	}
	server->map_fds[server->map_count] = fd_count == 1 ? dup(fds[0]) : -1;
	server->maps[server->map_count++] = map;
}

static void on_dma_unmap(struct scripted_server *server,
			 struct scripted_reply *reply, const uint8_t *payload)
{
	struct vfu_dma_unmap unmap;

	memcpy(&unmap, payload, sizeof(unmap));
	for (uint32_t i = 0; i < server->map_count; i++) {
		if (server->maps[i].iova == unmap.iova &&
		    server->maps[i].size == unmap.size) {
			uint32_t last = --server->map_count;

			close(server->map_fds[i]);
			server->maps[i] = server->maps[last];
			server->map_fds[i] = server->map_fds[last];
			put_payload(reply, &unmap, sizeof(unmap));
			return;
		}
	}
	fail_with(reply, ENOENT);
}

static void drop_irqs(struct scripted_server *server)
{
	for (uint32_t i = 0; i < SCRIPT_VECTORS; i++) {
		if (server->irq_fds[i] >= 0) {
			close(server->irq_fds[i]);
			server->irq_fds[i] = -1;
		}
	}
}

static void on_set_irqs(struct scripted_server *server,
			struct scripted_reply *reply, const uint8_t *payload,
			const int *fds, uint32_t fd_count)
{
	struct vfu_irq_set set;

	memcpy(&set, payload, sizeof(set));
	if (set.index == VFIO_PCI_REQ_IRQ_INDEX && set.count == 1 &&
	    fd_count == 1 && server->has_request) {
		server->request_fd = dup(fds[0]);
		return;
	}
	if (set.argsz != sizeof(set) || set.index != VFIO_PCI_MSIX_IRQ_INDEX ||
	    !hf_range_within(set.start, set.count, SCRIPT_VECTORS)) {
		fail_with(reply, EINVAL);
		return;
	}
	if (set.count == 0) {
		drop_irqs(server);
		return;
	}
	if (set.flags !=
		    (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER) ||
	    fd_count != set.count || fd_count > 8) {
		fail_with(reply, EINVAL);
		return;
	}
	server->irqs_most_at_once = HF_MAX(server->irqs_most_at_once, fd_count);
	for (uint32_t i = 0; i < fd_count; i++) {
		if (server->irq_fds[set.start + i] >= 0) {
			close(server->irq_fds[set.start + i]);
		}
		server->irq_fds[set.start + i] = dup(fds[i]);
	}
}

static void dispatch(struct scripted_server *server,
		     const struct vfu_header *header, const uint8_t *payload,
		     uint32_t len, const int *fds, uint32_t fd_count)
{
	struct scripted_reply *reply = &server->reply;
	const struct vfu_device_info device = {16, server->device_flags, 9, 5};
	const struct vfu_irq_info irqs = {16, VFIO_IRQ_INFO_EVENTFD,
					  VFIO_PCI_MSIX_IRQ_INDEX,
					  server->vectors};

	reply_header(reply)->id = header->id;
	reply_header(reply)->command = header->command;
	reply_header(reply)->flags = VFU_FLAG_TYPE_REPLY;
	reply_header(reply)->error = 0;
	reply_resize(reply, 0);
	reply->fd_count = 0;
	reply->silent = false;
	reply->close_after = false;
	reply->piece_bytes = 0;
	reply->before_bytes = 0;

	switch (header->command) {
	case VFU_VERSION:
		on_version(server, reply);
		break;
	case VFU_DEVICE_GET_INFO:
		put_payload(reply, &device, sizeof(device));
		break;
	case VFU_DEVICE_GET_REGION_INFO:
		on_region_info(server, reply, payload);
		break;
	case VFU_DEVICE_GET_IRQ_INFO:
		put_payload(reply, &irqs, sizeof(irqs));
		break;
	case VFU_REGION_READ:
	case VFU_REGION_WRITE:
		on_region_access(server, reply, payload, len);
		break;
	case VFU_DMA_MAP:
		on_dma_map(server, reply, payload, fds, fd_count);
		break;
	case VFU_DMA_UNMAP:
		on_dma_unmap(server, reply, payload);
		break;
	case VFU_DEVICE_SET_IRQS:
		on_set_irqs(server, reply, payload, fds, fd_count);
		break;
	case VFU_DEVICE_RESET:
		break;
	default:
		fail_with(reply, EOPNOTSUPP);
		break;
	}
}

static uint32_t take_fds(struct msghdr *msg, int *fds)
{
	uint32_t count = 0;

	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		count = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) /
				   sizeof(int));
		memcpy(fds, CMSG_DATA(cmsg), count * sizeof(int));
	}
	return count;
}

static bool read_all(int fd, void *buf, uint32_t len)
{
	uint32_t done = 0;

	while (done < len) {
		ssize_t got = recv(fd, (uint8_t *)buf + done, len - done, 0);

		if (got <= 0) {
			return false;
		}
		done += (uint32_t)got;
	}
	return true;
}

static void note_answer(struct scripted_server *server,
			const struct vfu_header *header, const uint8_t *payload,
			uint32_t len)
{
	server->answer = *header;
	server->answer_bytes = len;
	memcpy(server->answer_payload, payload,
	       HF_MIN(len, sizeof(server->answer_payload)));
	server->answers++;
}

/* One message of the client's; false ends the connection. */
static bool serve_one(struct scripted_server *server)
{
	static __thread uint8_t payload[SCRIPT_OUT_BYTES];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(32 * sizeof(int))];
	} control;
	struct vfu_header header;
	struct iovec part = {&header, sizeof(header)};
	struct msghdr msg = {.msg_iov = &part,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof(control)};
	int fds[32];

	ssize_t got = recvmsg(server->conn, &msg, MSG_CMSG_CLOEXEC);
	if (got <= 0) {
		return false;
	}
	uint32_t fd_count = take_fds(&msg, fds);
	uint32_t len = 0;
	bool ok = read_all(server->conn, (uint8_t *)&header + got,
			   (uint32_t)(sizeof(header) - (size_t)got));
	if (ok) {
		len = header.size - (uint32_t)sizeof(header);
		ok = len <= sizeof(payload) &&
		     read_all(server->conn, payload, len);
	}
	if (ok) {
		pthread_mutex_lock(&server->lock);
		bool command = (header.flags & VFU_FLAG_TYPE_MASK) == 0;
		bool reply = command && (header.flags & VFU_FLAG_NO_REPLY) == 0;
		uint32_t nth = server->messages;

		if (command) {
			dispatch(server, &header, payload, len, fds, fd_count);
			server->messages++;
			server->count[header.command % 32]++;
			server->no_reply += reply ? 0 : 1;
		} else {
			note_answer(server, &header, payload, len);
		}
		if (reply && server->spoil != NULL) {
			server->spoil(server, &server->reply, nth);
		}
		pthread_mutex_unlock(&server->lock);
		ok = !reply || send_reply(server);
	}
	for (uint32_t i = 0; i < fd_count; i++) {
		close(fds[i]);
	}
	return ok;
}

static void drop_client(struct scripted_server *server)
{
	pthread_mutex_lock(&server->lock);
	close(server->conn);
	server->conn = -1;
	pthread_mutex_unlock(&server->lock);
}

static void *serve(void *arg)
{
	struct scripted_server *server = arg;

	for (;;) {
		struct pollfd entries[2] = {
			{.fd = server->stop_fd, .events = POLLIN},
			{.fd = server->conn >= 0 ? server->conn
						 : server->listen_fd,
			 .events = POLLIN},
		};

		poll(entries, server->never_accept ? 1 : 2, -1);
		if ((entries[0].revents & POLLIN) != 0) {
			return NULL;
		}
		if (entries[1].revents == 0) {
			continue;
		}
		if (server->conn >= 0) {
			if (!serve_one(server)) {
				drop_client(server);
			}
			continue;
		}
		int conn = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		pthread_mutex_lock(&server->lock);
		server->conn = conn;
		server->clients++;
		pthread_mutex_unlock(&server->lock);
		if (server->greeting != NULL) {
			send_bytes(conn, (const uint8_t *)server->greeting,
				   (uint32_t)strlen(server->greeting), NULL, 0);
		}
	}
}

void scripted_server_start(struct scripted_server *server)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX};

	strcpy(server->directory, "/tmp/holdfast-vfu-XXXXXX");
	assert_non_null(mkdtemp(server->directory));
	assert_int_equal(chmod(server->directory, 0755), 0);
	snprintf(server->path, sizeof(server->path), "%s/cntrl",
		 server->directory);
	strcpy(where.sun_path, server->path);
	server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->listen_fd, (struct sockaddr *)&where,
			      sizeof(where)),
			 0);
	assert_int_equal(listen(server->listen_fd, 1), 0);

	server->stop_fd = eventfd(0, EFD_CLOEXEC);
	server->bar0 = memfd_create("scripted-bar0", MFD_CLOEXEC);
	assert_int_equal(
		ftruncate(server->bar0, (off_t)server->bar0_file_bytes), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server),
			 0);
	server->running = true;
}

void scripted_server_stop(struct scripted_server *server)
{
	if (!server->running) {
		return;
	}
	assert_int_equal(eventfd_write(server->stop_fd, 1), 0);
	scripted_server_hang_up(server);
	pthread_join(server->thread, NULL);
	server->running = false;
	if (server->conn >= 0) {
		close(server->conn);
		server->conn = -1;
	}
	drop_irqs(server);
	if (server->request_fd >= 0) {
		close(server->request_fd);
	}
	for (uint32_t i = 0; i < server->map_count; i++) {
		close(server->map_fds[i]);
	}
	close(server->listen_fd);
	close(server->stop_fd);
	close(server->bar0);
	unlink(server->path);
	rmdir(server->directory);
	pthread_mutex_destroy(&server->lock);
}

void scripted_server_hang_up(struct scripted_server *server)
{
	pthread_mutex_lock(&server->lock);
	if (server->conn >= 0) {
		shutdown(server->conn, SHUT_RDWR);
	}
	pthread_mutex_unlock(&server->lock);
}

void scripted_server_await(struct scripted_server *server, uint32_t count)
{
	uint64_t deadline_ns = hf_deadline_ms(5000);
	uint32_t seen = 0;

	while (seen < count && !hf_deadline_passed(deadline_ns)) {
		pthread_mutex_lock(&server->lock);
		seen = server->messages;
		pthread_mutex_unlock(&server->lock);
		poll(NULL, 0, seen < count ? 1 : 0);
	}
	assert_true(seen >= count);
}

uint32_t scripted_server_doorbell(struct scripted_server *server,
				  uint32_t offset)
{
	uint32_t value = 0;

	assert_int_equal(pread(server->bar0, &value, sizeof(value), offset),
			 sizeof(value));
	return value;
}
