/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection to a vfio-user server: requests with their replies, identifiers
 * that outlive the process, and what the server asks of us meanwhile. Knows no
 * PCI and no NVMe. */
#pragma once

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "device/vfio_user_socket.h"
#include "holdfast/error.h"
#include "holdfast/log.h"

enum {
	/* What we tell the server that we take. */
	HF_VFU_OUR_MAX_FDS = 16,
	HF_VFU_OUR_MAX_XFER_BYTES = 65536,
	HF_VFU_PAYLOAD_BYTES = HF_VFU_OUR_MAX_XFER_BYTES + 16,
	HF_VFU_MEMORY_MAX = 1024,
	HF_VFU_CALLS_MAX = HF_VFU_MESSAGES_MAX,
};

#define HF_VFU_JOURNAL_MAGIC UINT64_C(0x314a5546564448ff)

/*
 * What a successor must know of the moment at which its predecessor died: one
 * page in a memfd. Each field is stored whole; new ones are only added.
 */
struct hf_vfu_journal {
	uint64_t magic;
	uint32_t version;
	uint32_t next_id; /* of the next message; 16 bits are in use */
	/* The request whose reply is awaited: PENDING | command << 16 | id. */
	uint64_t pending;
	/* The first one that was pending since the last reply that was taken:
	 * several processes in a row may each leave one behind. */
	uint32_t oldest_id;
	/* Vectors [0, irq_wired) have an eventfd at the server. */
	uint32_t irq_wired;
	uint64_t round_trips;
	uint64_t posted;
	/* The replies to what is pending, from the oldest on, are left to a
	 * successor: since when, or 0; and which registers they are of. */
	uint64_t left_ns;
	uint32_t left_count;
	uint32_t left_id; /* of the first of these requests */
	struct {
		uint32_t offset;
		uint32_t size_bytes;
	} left[HF_VFU_CALLS_MAX];
};

enum {
	HF_VFU_JOURNAL_VERSION = 1,
	HF_VFU_JOURNAL_BYTES = 4096,
};
static_assert(sizeof(struct hf_vfu_journal) <= HF_VFU_JOURNAL_BYTES,
	      "it is mapped as one page");
#define HF_VFU_PENDING (UINT64_C(1) << 63)

/* Memory that the server may read and write by message. */
struct hf_vfu_memory {
	uint64_t iova;
	uint64_t len_bytes;
	uint8_t *vaddr;
};

struct hf_vfu_call;

/* Requests whose replies are taken later: before any other request is sent that
 * has one. */
struct hf_vfu_ahead {
	struct hf_vfu_call *calls;
	uint32_t count; /* 0: there are none */
	struct vfu_header sent[HF_VFU_CALLS_MAX];
	uint32_t reply_bytes; /* of all of them, if none is an error */
	int rc;
};

struct hf_vfu_conn {
	const char *name; /* of the device, for errors and log lines */
	const struct hf_log *log;
	uint32_t timeout_ms;
	/* One request and its reply at a time. */
	pthread_mutex_t lock;
	int fd;
	int hangup_fd; /* an epoll set: readable once the peer has gone */
	int journal_fd;
	struct hf_vfu_journal *journal;
	bool established; /* VERSION is behind us: a loss is -ENODEV now */
	bool lost;        /* atomic; never unset */
	char lost_reason[320];
	/* Replies that predecessors did not live to see may still come: those
	 * to [stale_first, our own identifier). */
	bool stale_expected;
	uint16_t stale_first;
	/* What the last of them was about; 0 if it had its reply. */
	uint32_t interrupted_command;
	struct hf_vfu_ahead ahead;
	struct hf_vfu_in in;
	uint8_t *payload;
	struct hf_vfu_memory *memory; /* memory_count of them */
	uint32_t memory_count;
	/* Facts for inspect. */
	uint64_t served;         /* requests of the server */
	uint64_t stale_replies;  /* dropped */
	uint64_t unexpected_fds; /* closed */
	uint64_t fresh_round_trips;
};

/* One request, and room for its reply. */
struct hf_vfu_call {
	enum vfu_command command;
	const void *request;
	uint32_t request_bytes;
	const void *data; /* behind the request */
	uint32_t data_bytes;
	const int *fds;
	uint32_t fd_count;
	void *reply; /* receives the payload of the reply */
	uint32_t reply_min_bytes;
	uint32_t reply_max_bytes;
	uint32_t reply_bytes; /* what came */
	bool take_fd;         /* the reply may carry one descriptor */
	int reply_fd;         /* receives it; -1: there was none */
};

/* Prepares @conn without a socket; @name and @log must outlive it. */
HF_MUST_CHECK int hf_vfu_conn_init(struct hf_vfu_conn *conn, const char *name,
				   const struct hf_log *log,
				   uint32_t timeout_ms, struct hf_error *err);
/* Gives it a fresh socket and journal. @fd belongs to @conn if this succeeds.
 */
HF_MUST_CHECK int hf_vfu_conn_start(struct hf_vfu_conn *conn, int fd,
				    struct hf_error *err);
/* Gives it the socket and the journal of a predecessor that is dead. @journal:
 * where that is mapped already, the connection's now; or NULL. */
HF_MUST_CHECK int hf_vfu_conn_resume(struct hf_vfu_conn *conn, int fd,
				     int journal_fd, void *journal,
				     struct hf_error *err);
/* Makes hangup_fd readable when @fd is, too. */
HF_MUST_CHECK int hf_vfu_conn_watch(struct hf_vfu_conn *conn, int fd,
				    struct hf_error *err);
/* Says, without asking the peer, whether it has gone: 0, or -ENODEV. */
HF_MUST_CHECK int hf_vfu_conn_peer(struct hf_vfu_conn *conn,
				   struct hf_error *err);
/* Closes our descriptors; others may hold the connection open. */
void hf_vfu_conn_fini(struct hf_vfu_conn *conn);

/**
 * hf_vfu_call() - a request, and its reply
 * @conn: the connection
 * @call: what to send, and room for what comes back
 * @err: one sentence about what went wrong; may be NULL
 *
 * Requests of the server are answered while this waits. What breaks the
 * protocol, and a reply that does not come in time, ends the connection:
 * whatever the server may send later could not be told apart from an answer.
 *
 * Context: any thread; blocks for at most the connection's timeout.
 * Return: 0; the negative errno of an error reply; -ENODEV when the connection
 * is lost (while it is being set up: -ETIMEDOUT, -ECONNRESET or -EPROTO).
 */
HF_MUST_CHECK int hf_vfu_call(struct hf_vfu_conn *conn,
			      struct hf_vfu_call *call, struct hf_error *err);

/* Several at once, which costs one turn of the server instead of many: all are
 * sent, then all replies taken, in order. No more than fit a socket's buffer:
 * HF_VFU_CALLS_MAX small ones. Return: of the first that failed. */
HF_MUST_CHECK int hf_vfu_call_many(struct hf_vfu_conn *conn,
				   struct hf_vfu_call *calls, uint32_t count,
				   struct hf_error *err);

/* The same in two halves: what lies between them, the server needs not be
 * waited for. @calls stays until the replies were taken. @left_ns: the journal
 * says that they are a successor's since then; 0: they are not. */
HF_MUST_CHECK int hf_vfu_call_ahead(struct hf_vfu_conn *conn,
				    struct hf_vfu_call *calls, uint32_t count,
				    uint64_t left_ns, struct hf_error *err);
HF_MUST_CHECK int hf_vfu_call_ahead_take(struct hf_vfu_conn *conn);
/* Between the halves: until the replies can be taken without waiting, or for so
 * long. Return: whether they can, or were. */
bool hf_vfu_call_ahead_await(struct hf_vfu_conn *conn, uint64_t timeout_ns);
/* The first half was a predecessor's, which has taken none of the replies.
 * False: what it left is not @count requests of this command. */
bool hf_vfu_call_ahead_inherit(struct hf_vfu_conn *conn,
			       struct hf_vfu_call *calls, uint32_t count);

/* The same without a reply: whether it worked is not told. */
HF_MUST_CHECK int hf_vfu_post(struct hf_vfu_conn *conn,
			      const struct hf_vfu_call *call);

/* Memory that the server's own requests may reach. -ENOSPC when there is no
 * room to remember it. */
HF_MUST_CHECK int hf_vfu_memory_add(struct hf_vfu_conn *conn, uint64_t iova,
				    void *vaddr, uint64_t len_bytes);
void hf_vfu_memory_remove(struct hf_vfu_conn *conn, uint64_t iova);
void hf_vfu_memory_clear(struct hf_vfu_conn *conn);

/* Says that the peer breaks the protocol: ends the connection. Returns the
 * code to fail with. */
int hf_vfu_conn_violation(struct hf_vfu_conn *conn, struct hf_error *err,
			  const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Ends the connection for good: shut down, the socket reports a hang-up to
 * whoever waits for one, and no late answer can be taken for another's. The
 * connection's lock is held. Returns the code to fail with. */
int hf_vfu_conn_lose(struct hf_vfu_conn *conn, int code, struct hf_error *err,
		     const char *format, ...)
	__attribute__((format(printf, 4, 5)));

bool hf_vfu_conn_lost(const struct hf_vfu_conn *conn);
const char *hf_vfu_command_name(uint32_t command);
