/* SPDX-License-Identifier: BSD-3-Clause */
#include "device/vfio_user_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/sealed.h"

const char *hf_vfu_command_name(uint32_t command)
{
	static const char *const names[] = {
		[VFU_VERSION] = "VERSION",
		[VFU_DMA_MAP] = "DMA_MAP",
		[VFU_DMA_UNMAP] = "DMA_UNMAP",
		[VFU_DEVICE_GET_INFO] = "DEVICE_GET_INFO",
		[VFU_DEVICE_GET_REGION_INFO] = "DEVICE_GET_REGION_INFO",
		[VFU_DEVICE_GET_REGION_IO_FDS] = "DEVICE_GET_REGION_IO_FDS",
		[VFU_DEVICE_GET_IRQ_INFO] = "DEVICE_GET_IRQ_INFO",
		[VFU_DEVICE_SET_IRQS] = "DEVICE_SET_IRQS",
		[VFU_REGION_READ] = "REGION_READ",
		[VFU_REGION_WRITE] = "REGION_WRITE",
		[VFU_DMA_READ] = "DMA_READ",
		[VFU_DMA_WRITE] = "DMA_WRITE",
		[VFU_DEVICE_RESET] = "DEVICE_RESET",
	};

	if (command < HF_ARRAY_LEN(names) && names[command] != NULL) {
		return names[command];
	}
	return "an unknown command";
}

bool hf_vfu_conn_lost(const struct hf_vfu_conn *conn)
{
	return __atomic_load_n(&conn->lost, __ATOMIC_ACQUIRE);
}

static int vlose(struct hf_vfu_conn *conn, int code, struct hf_error *err,
		 const char *format, va_list args)
{
	if (conn->established) {
		code = -ENODEV;
	}
	if (!hf_vfu_conn_lost(conn)) {
		vsnprintf(conn->lost_reason, sizeof(conn->lost_reason), format,
			  args);
		shutdown(conn->fd, SHUT_RDWR);
		__atomic_store_n(&conn->lost, true, __ATOMIC_RELEASE);
		hf_log_error(conn->log, "%s: connection lost: %s", conn->name,
			     conn->lost_reason);
	}
	return hf_error_set(err, code, "%s: %s", conn->name, conn->lost_reason);
}

int hf_vfu_conn_lose(struct hf_vfu_conn *conn, int code, struct hf_error *err,
		     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	code = vlose(conn, code, err, format, args);
	va_end(args);
	return code;
}

int hf_vfu_conn_violation(struct hf_vfu_conn *conn, struct hf_error *err,
			  const char *format, ...)
{
	va_list args;

	va_start(args, format);
	pthread_mutex_lock(&conn->lock);
	int code = vlose(conn, -EPROTO, err, format, args);
	pthread_mutex_unlock(&conn->lock);
	va_end(args);
	return code;
}

int hf_vfu_conn_init(struct hf_vfu_conn *conn, const char *name,
		     const struct hf_log *log, uint32_t timeout_ms,
		     struct hf_error *err)
{
	*conn = (struct hf_vfu_conn){
		.name = name,
		.log = log,
		.timeout_ms = timeout_ms,
		.fd = -1,
		.journal_fd = -1,
	};
	hf_mutex_init(&conn->lock);
	conn->payload = malloc(HF_VFU_PAYLOAD_BYTES);
	conn->memory = calloc(HF_VFU_MEMORY_MAX, sizeof(*conn->memory));
	conn->hangup_fd = epoll_create1(EPOLL_CLOEXEC);
	if (conn->payload == NULL || conn->memory == NULL ||
	    conn->hangup_fd < 0) {
		hf_vfu_conn_fini(conn);
		return hf_error_set(err, -ENOMEM,
				    "%s: no memory or descriptors for the "
				    "connection",
				    name);
	}
	return 0;
}

void hf_vfu_conn_fini(struct hf_vfu_conn *conn)
{
	if (conn->journal != NULL) {
		munmap(conn->journal, HF_VFU_JOURNAL_BYTES);
	}
	if (conn->journal_fd >= 0) {
		close(conn->journal_fd);
	}
	if (conn->hangup_fd >= 0) {
		close(conn->hangup_fd);
	}
	if (conn->fd >= 0) {
		close(conn->fd);
	}
	free(conn->memory);
	free(conn->payload);
	pthread_mutex_destroy(&conn->lock);
}

static int map_journal(struct hf_vfu_conn *conn, int journal_fd)
{
	void *page = mmap(NULL, HF_VFU_JOURNAL_BYTES, PROT_READ | PROT_WRITE,
			  MAP_SHARED, journal_fd, 0);

	if (page == MAP_FAILED) {
		return -errno;
	}
	conn->journal = page;
	return 0;
}

/* Nothing but a hang-up makes the set ready: an epoll set is itself readable
 * then, so that this needs no thread and no read. */
static int watch_hangup(struct hf_vfu_conn *conn, int fd)
{
	struct epoll_event event = {.events = EPOLLRDHUP};

	return epoll_ctl(conn->hangup_fd, EPOLL_CTL_ADD, fd, &event) == 0
		       ? 0
		       : -errno;
}

int hf_vfu_conn_watch(struct hf_vfu_conn *conn, int fd, struct hf_error *err)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (epoll_ctl(conn->hangup_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
		return hf_error_set(err, -errno,
				    "%s: cannot watch for the server's "
				    "request: %s",
				    conn->name, strerror(errno));
	}
	return 0;
}

int hf_vfu_conn_start(struct hf_vfu_conn *conn, int fd, struct hf_error *err)
{
	HF_AUTO_CLOSE int journal_fd = memfd_create(
		"holdfast-vfio-user", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (journal_fd < 0 || ftruncate(journal_fd, HF_VFU_JOURNAL_BYTES) ||
	    fcntl(journal_fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0 ||
	    map_journal(conn, journal_fd) != 0 || watch_hangup(conn, fd) != 0) {
		return hf_error_set(err, -errno,
				    "%s: no memory for the connection: %s",
				    conn->name, strerror(errno));
	}

	conn->journal->version = HF_VFU_JOURNAL_VERSION;
	conn->journal->next_id = 1;
	conn->journal->magic = HF_VFU_JOURNAL_MAGIC;
	conn->journal_fd = hf_take_fd(&journal_fd);
	conn->fd = fd;
	return 0;
}

/* Shorter, now or later, it could not be read without SIGBUS. */
static bool holds_journal(int journal_fd)
{
	struct stat st;

	return hf_keeps_its_size(journal_fd) && fstat(journal_fd, &st) == 0 &&
	       S_ISREG(st.st_mode) && st.st_size >= HF_VFU_JOURNAL_BYTES;
}

int hf_vfu_conn_resume(struct hf_vfu_conn *conn, int fd, int journal_fd,
		       void *journal, struct hf_error *err)
{
	struct stat st;

	conn->journal = journal;
	if (fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode)) {
		return hf_error_set(err, -EINVAL,
				    "%s: what was handed over as the "
				    "connection is no socket",
				    conn->name);
	}
	if ((journal == NULL && (!holds_journal(journal_fd) ||
				 map_journal(conn, journal_fd) != 0)) ||
	    conn->journal->magic != HF_VFU_JOURNAL_MAGIC ||
	    conn->journal->version != HF_VFU_JOURNAL_VERSION) {
		return hf_error_set(err, -EINVAL,
				    "%s: what was handed over as the record of "
				    "the connection is none of this version",
				    conn->name);
	}
	int rc = watch_hangup(conn, fd);
	if (rc != 0) {
		return hf_error_set(err, rc,
				    "%s: cannot watch the connection: %s",
				    conn->name, strerror(-rc));
	}

	uint64_t pending =
		__atomic_load_n(&conn->journal->pending, __ATOMIC_ACQUIRE);
	conn->stale_expected = pending != 0;
	if (pending != 0) {
		/* What was only posted since has no reply: its identifiers are
		 * free, however many there were. */
		conn->journal->next_id = (uint32_t)(pending + 1) & 0xffffu;
	}
	conn->stale_first = (uint16_t)conn->journal->oldest_id;
	conn->interrupted_command = (uint32_t)(pending >> 16) & 0xffffu;
	conn->journal_fd = journal_fd;
	conn->fd = fd;
	conn->established = true;
	return 0;
}

int hf_vfu_conn_peer(struct hf_vfu_conn *conn, struct hf_error *err)
{
	struct pollfd pfd = {.fd = conn->fd, .events = POLLRDHUP};
	int rc = 0;

	pthread_mutex_lock(&conn->lock);
	if (poll(&pfd, 1, 0) == 1) {
		rc = hf_vfu_conn_lose(conn, -ENODEV, err,
				      "the server has closed the connection");
	}
	pthread_mutex_unlock(&conn->lock);
	return rc;
}

int hf_vfu_memory_add(struct hf_vfu_conn *conn, uint64_t iova, void *vaddr,
		      uint64_t len_bytes)
{
	int rc = -ENOSPC;

	pthread_mutex_lock(&conn->lock);
	if (conn->memory_count < HF_VFU_MEMORY_MAX) {
		conn->memory[conn->memory_count++] = (struct hf_vfu_memory){
			.iova = iova, .len_bytes = len_bytes, .vaddr = vaddr};
		rc = 0;
	}
	pthread_mutex_unlock(&conn->lock);
	return rc;
}

void hf_vfu_memory_remove(struct hf_vfu_conn *conn, uint64_t iova)
{
	pthread_mutex_lock(&conn->lock);
	for (uint32_t i = 0; i < conn->memory_count; i++) {
		if (conn->memory[i].iova == iova) {
			conn->memory[i] = conn->memory[--conn->memory_count];
			break;
		}
	}
	pthread_mutex_unlock(&conn->lock);
}

void hf_vfu_memory_clear(struct hf_vfu_conn *conn)
{
	pthread_mutex_lock(&conn->lock);
	conn->memory_count = 0;
	pthread_mutex_unlock(&conn->lock);
}
