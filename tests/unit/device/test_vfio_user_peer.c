/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: whatever stands at the other end of the socket, it costs a sentence:
 * no crash, no descriptor, no wait beyond the deadline.
 * Method: a scripted server whose replies are spoiled one at a time, in each
 * way that a message can be wrong; and things that are no server at all.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/clock.h"
#include "device/vfio_user.h"
#include "vfu_fixture.h"

#define PAGE       UINT64_C(4096)
#define OPEN_STEPS 7 /* replies that opening waits for */
#define SHORT_MS   60
#define BOUNDED_MS 5000

static int open_path(struct vfu_fixture *f, const char *path)
{
	return hf_vfio_user_open(&f->dev, path, &f->options, &f->err);
}

static void a_missing_socket_is_named(void **state)
{
	struct vfu_fixture *f = *state;

	assert_int_equal(open_path(f, "/nonexistent/x.sock"), -ENOENT);
	vfu_says(f, "vfio-user:/nonexistent/x.sock");
	vfu_says(f, "no such socket");
}

static void a_directory_without_cntrl_is_told_from_one_with(void **state)
{
	struct vfu_fixture *f = *state;

	assert_int_equal(open_path(f, "/usr"), -ENOENT);
	vfu_says(f, "cntrl");
}

static void a_file_is_no_socket(void **state)
{
	struct vfu_fixture *f = *state;

	assert_int_equal(open_path(f, "/etc/passwd"), -ENOTSOCK);
	vfu_says(f, "not a socket");
	assert_int_equal(open_path(f, "/etc/passwd/x"), -ENOTDIR);
}

static void a_path_of_any_length_is_refused_in_words(void **state)
{
	struct vfu_fixture *f = *state;
	char path[5000];

	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(open_path(f, path), -ENAMETOOLONG);
	vfu_says(f, "too long");
}

static void a_socket_left_behind_is_told_from_a_live_one(void **state)
{
	struct vfu_fixture *f = *state;
	char path[300];

	scripted_server_start(&f->server);
	snprintf(path, sizeof(path), "%s/dead", f->server.directory);
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	snprintf(where.sun_path, sizeof(where.sun_path), "%.100s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	assert_int_equal(open_path(f, path), -ECONNREFUSED);
	vfu_says(f, "nobody listens");
	close(fd);
	unlink(path);

	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	assert_int_equal(open_path(f, path), -EPROTOTYPE);
	vfu_says(f, "not a stream socket");
	close(fd);
	unlink(path);
}

static void permission_is_said_to_be_missing(void **state)
{
	struct vfu_fixture *f = *state;

	scripted_server_start(&f->server);
	assert_int_equal(chmod(f->server.path, 0), 0);
	bool root = geteuid() == 0;
	if (root) {
		assert_int_equal(seteuid(65534), 0);
	}
	int rc = open_path(f, f->server.path);
	if (root) {
		assert_int_equal(seteuid(0), 0);
	}
	assert_int_equal(rc, -EACCES);
	vfu_says(f, "permission");
}

static void an_http_server_is_recognised_by_what_it_says(void **state)
{
	struct vfu_fixture *f = *state;

	f->server.greeting = "HTTP/1.1 400 Bad Request\r\n\r\n";
	f->server.version_json = NULL;
	assert_int_equal(vfu_open(f), -EPROTO);
	vfu_says(f, "HTTP/1.1");
	vfu_says(f, "no vfio-user message");
}

static void stay_silent(struct scripted_server *server,
			struct scripted_reply *reply, uint32_t nth)
{
	reply->silent = nth == *(const uint32_t *)server->user;
}

static void each_reply_that_never_comes_ends_at_the_deadline(void **state)
{
	(void)state;

	for (uint32_t nth = 0; nth < OPEN_STEPS; nth++) {
		void *each;

		vfu_setup(&each);
		struct vfu_fixture *f = each;
		f->options.timeout_ms = SHORT_MS;
		f->server.spoil = stay_silent;
		f->server.user = &nth;
		uint64_t start_ns = hf_now_ns();
		assert_int_equal(vfu_open(f), -ETIMEDOUT);
		assert_true(hf_now_ns() - start_ns < BOUNDED_MS * HF_NS_PER_MS);
		vfu_says(f, "did not answer");
		vfu_says(f, "within 60 ms");
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

static void a_second_client_is_told_why_it_may_wait(void **state)
{
	struct vfu_fixture *f = *state;
	struct hf_device *second = NULL;

	vfu_opened(f);
	f->options.timeout_ms = SHORT_MS;
	assert_int_equal(hf_vfio_user_open(&second, f->server.path, &f->options,
					   &f->err),
			 -ETIMEDOUT);
	vfu_says(f, "another client");
	assert_null(second);
}

static void a_full_backlog_ends_at_the_deadline(void **state)
{
	struct vfu_fixture *f = *state;
	int clients[8];
	uint32_t count = 0;

	f->server.never_accept = true;
	scripted_server_start(&f->server);
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	snprintf(where.sun_path, sizeof(where.sun_path), "%.100s",
		 f->server.path);
	for (; count < 8; count++) {
		clients[count] =
			socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(clients[count], (struct sockaddr *)&where,
			    sizeof(where)) != 0) {
			close(clients[count]);
			break;
		}
	}
	f->options.timeout_ms = SHORT_MS;
	assert_int_equal(vfu_open(f), -ETIMEDOUT);
	vfu_says(f, "does not take the connection");
	while (count > 0) {
		close(clients[--count]);
	}
}

/* What is done to one reply, and what opening must say to it. */
static const struct spoil_row {
	const char *name;
	uint32_t header_size; /* 0: as it is */
	uint32_t flags;       /* UINT32_MAX: as they are */
	uint16_t add_to_id;
	uint16_t add_to_command;
	int32_t add_to_payload; /* really, and in the header */
	uint32_t error;
	bool close_after;
	int code;
	const char *says;
} spoil_rows[] = {
	{"size 0", UINT32_MAX - 1, UINT32_MAX, 0, 0, 0, 0, false, -EPROTO,
	 "no vfio-user message"},
	{"size below a header", 15, UINT32_MAX, 0, 0, 0, 0, false, -EPROTO,
	 "claims 15 bytes"},
	{"size beyond all bounds", 0x7fffffff, UINT32_MAX, 0, 0, 0, 0, false,
	 -EPROTO, "claims 2147483647 bytes"},
	{"another identifier", 0, UINT32_MAX, 1, 0, 0, 0, false, -EPROTO,
	 "where the answer to message"},
	{"another command", 0, UINT32_MAX, 0, 1, 0, 0, false, -EPROTO,
	 "where the answer to message"},
	{"unknown type", 0, 7, 0, 0, 0, 0, false, -EPROTO, "unknown type 7"},
	{"short payload", 0, UINT32_MAX, 0, 0, -1, 0, false, -EPROTO,
	 "bytes, where"},
	{"error", 0, 0x21, 0, 0, -100000, EBUSY, false, -EBUSY,
	 "Device or resource busy"},
	{"error without a number", 0, 0x21, 0, 0, -100000, 0, false, -EIO,
	 "did not say why"},
	{"error of no system", 0, 0x21, 0, 0, -100000, 0xffffffff, false, -EIO,
	 "refused"},
	{"closes", 0, UINT32_MAX, 0, 0, -200000, 0, true, -ECONNRESET,
	 "instead of answering"},
};

struct spoiling {
	const struct spoil_row *row;
	uint32_t nth;
};

static void spoil_as_told(struct scripted_server *server,
			  struct scripted_reply *reply, uint32_t nth)
{
	const struct spoiling *spoiling = server->user;
	const struct spoil_row *row = spoiling->row;
	struct vfu_header *header = reply_header(reply);
	uint32_t payload = reply->len_bytes - (uint32_t)sizeof(*header);

	if (nth != spoiling->nth) {
		return;
	}
	header->id = (uint16_t)(header->id + row->add_to_id);
	header->command = (uint16_t)(header->command + row->add_to_command);
	if (row->flags != UINT32_MAX) {
		header->flags = row->flags;
	}
	header->error = row->error;
	if (row->add_to_payload == -200000) {
		reply->len_bytes = 0;
	} else if (row->add_to_payload == -100000) {
		reply_resize(reply, 0);
	} else if (header->command == VFU_VERSION && row->add_to_payload < 0) {
		/* Its text may be of any length, but not its numbers. */
		reply_resize(reply, 3);
	} else if (payload == 0 && row->add_to_payload < 0) {
		/* Nothing is due: more than that is as wrong. */
		reply_resize(reply, 1);
	} else {
		reply_resize(reply, (uint32_t)((int32_t)payload +
					       row->add_to_payload));
	}
	if (row->header_size == UINT32_MAX - 1) {
		header->size = 0;
	} else if (row->header_size != 0) {
		header->size = row->header_size;
	}
	reply->close_after = row->close_after;
}

/* The region's reply may be short of capabilities, but then does not parse. */
static bool says_one_of(const struct vfu_fixture *f, const char *part)
{
	return strstr(f->err.message, part) != NULL ||
	       strstr(f->err.message, "makes no sense") != NULL;
}

static void each_reply_of_opening_may_be_wrong_in_each_way(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < HF_ARRAY_LEN(spoil_rows); i++) {
		for (uint32_t nth = 0; nth < OPEN_STEPS; nth++) {
			struct spoiling spoiling = {&spoil_rows[i], nth};
			void *each;

			vfu_setup(&each);
			struct vfu_fixture *f = each;
			f->server.spoil = spoil_as_told;
			f->server.user = &spoiling;
			int rc = vfu_open(f);
			if (nth == OPEN_STEPS - 1 &&
			    spoil_rows[i].flags == 0x21) {
				/* The last one may be refused. */
				assert_int_equal(rc, 0);
				assert_int_equal(vfu_teardown(&each), 0);
				continue;
			}
			if (rc != spoil_rows[i].code ||
			    !says_one_of(f, spoil_rows[i].says)) {
				fail_msg("%s, reply %u: %d: %s",
					 spoil_rows[i].name, nth, rc,
					 f->err.message);
			}
			assert_null(f->dev);
			assert_int_equal(vfu_teardown(&each), 0);
		}
	}
}

struct cut {
	uint32_t nth;
	uint32_t bytes;
	bool reached; /* the reply was longer than that */
	bool hang;    /* does not close after it */
};

static void cut_off(struct scripted_server *server,
		    struct scripted_reply *reply, uint32_t nth)
{
	struct cut *cut = server->user;

	if (nth == cut->nth && cut->bytes < reply->len_bytes) {
		cut->reached = true;
		reply->len_bytes = cut->bytes;
		reply->close_after = !cut->hang;
	}
}

static void each_reply_may_end_after_each_byte(void **state)
{
	(void)state;

	for (uint32_t nth = 0; nth < OPEN_STEPS; nth++) {
		struct cut cut = {.nth = nth, .reached = true};

		for (; cut.reached; cut.bytes++) {
			void *each;

			vfu_setup(&each);
			struct vfu_fixture *f = each;
			cut.reached = false;
			f->server.spoil = cut_off;
			f->server.user = &cut;
			int rc = vfu_open(f);
			vfu_messages(
				f); /* takes the server's lock, as it did */
			assert_int_equal(rc, cut.reached ? -ECONNRESET : 0);
			if (cut.reached) {
				vfu_says(f, "closed the connection");
			}
			assert_int_equal(vfu_teardown(&each), 0);
		}
	}
}

static void a_reply_that_stops_half_way_ends_at_the_deadline(void **state)
{
	static const uint32_t bytes[] = {1, 15, 16, 20};
	(void)state;

	for (uint32_t i = 0; i < HF_ARRAY_LEN(bytes); i++) {
		struct cut cut = {.nth = 1, .bytes = bytes[i], .hang = true};
		void *each;

		vfu_setup(&each);
		struct vfu_fixture *f = each;
		f->options.timeout_ms = SHORT_MS;
		f->server.spoil = cut_off;
		f->server.user = &cut;
		assert_int_equal(vfu_open(f), -ETIMEDOUT);
		vfu_says(f, "in the middle");
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

static void in_pieces(struct scripted_server *server,
		      struct scripted_reply *reply, uint32_t nth)
{
	(void)nth;
	reply->piece_bytes = *(const uint32_t *)server->user;
}

static void a_stream_may_come_in_pieces_of_any_size(void **state)
{
	static const uint32_t sizes[] = {1, 7, 16, 17};
	(void)state;

	for (uint32_t i = 0; i < HF_ARRAY_LEN(sizes); i++) {
		void *each;

		vfu_setup(&each);
		struct vfu_fixture *f = each;
		f->server.spoil = in_pieces;
		f->server.user = (void *)&sizes[i];
		/* A descriptor comes with the first byte and parts the stream
		 * there: a whole header at least must be in front. */
		f->server.bar0_fd = sizes[i] >= sizeof(struct vfu_header);
		vfu_opened(f);
		assert_int_equal(f->dev->doorbells != NULL, f->server.bar0_fd);
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

static void attach_descriptors(struct scripted_server *server,
			       struct scripted_reply *reply, uint32_t nth)
{
	(void)nth;
	while (reply->fd_count < 8) {
		reply->fds[reply->fd_count++] = server->stop_fd;
	}
}

static void descriptors_that_nobody_asked_for_are_closed(void **state)
{
	struct vfu_fixture *f = *state;
	uint64_t value;

	f->server.spoil = attach_descriptors;
	vfu_opened(f);
	assert_int_equal(hf_reg_read64(f->dev, 0, &value), 0);

	/* Eight replies with eight each; the region's first is asked for. */
	assert_int_equal(vfu_inspect_number(f, "unexpected_descriptors_closed"),
			 63);
	assert_non_null(f->dev->doorbells);
}

static const struct version_row {
	const char *json;
	uint16_t major;
	uint16_t minor;
	int code;
	const char *says;
} version_rows[] = {
	{NULL, 0, 0, 0, ""},
	{"{}", 0, 1, 0, ""},
	{"{\"capabilities\":{}}", 0, 1, 0, ""},
	{NULL, 1, 0, -EPROTO, "speaks vfio-user 1.0"},
	{NULL, 0, 2, -EPROTO, "speaks vfio-user 0.2"},
	{"", 0, 1, -EPROTO, "it is no JSON"},
	{"{", 0, 1, -EPROTO, "it is no JSON"},
	{"[]", 0, 1, -EPROTO, "it is no JSON object"},
	{"7", 0, 1, -EPROTO, "it is no JSON object"},
	{"{\"capabilities\":1}", 0, 1, -EPROTO, "'capabilities'"},
	{"{\"capabilities\":{\"max_msg_fds\":\"8\"}}", 0, 1, -EPROTO,
	 "max_msg_fds"},
	{"{\"capabilities\":{\"max_msg_fds\":0}}", 0, 1, -EPROTO,
	 "max_msg_fds"},
	{"{\"capabilities\":{\"max_msg_fds\":-1}}", 0, 1, -EPROTO,
	 "max_msg_fds"},
	{"{\"capabilities\":{\"max_msg_fds\":1e9}}", 0, 1, -EPROTO,
	 "max_msg_fds"},
	{"{\"capabilities\":{\"max_msg_fds\":99999999999}}", 0, 1, 0, ""},
	{"{\"capabilities\":{\"max_data_xfer_size\":4}}", 0, 1, -EPROTO,
	 "takes 4 bytes"},
	{"{\"capabilities\":{\"max_data_xfer_size\":null}}", 0, 1, -EPROTO,
	 "max_data_xfer_size"},
	{"{\"capabilities\":{\"max_dma_maps\":0}}", 0, 1, -EPROTO,
	 "max_dma_maps"},
	{"{\"capabilities\":{\"pgsizes\":{}}}", 0, 1, -EPROTO, "pgsizes"},
	{"[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]", 0, 1, -EPROTO,
	 "it is no JSON"},
};

static void a_version_that_makes_no_sense_is_refused(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < HF_ARRAY_LEN(version_rows); i++) {
		const struct version_row *row = &version_rows[i];
		void *each;

		vfu_setup(&each);
		struct vfu_fixture *f = each;
		f->server.version_json = row->json;
		f->server.major = row->major;
		f->server.minor = row->minor;
		int rc = vfu_open(f);
		if (rc != row->code ||
		    (rc != 0 && strstr(f->err.message, row->says) == NULL)) {
			fail_msg("%s: %d: %s",
				 row->json != NULL ? row->json : "", rc,
				 f->err.message);
		}
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

/* Bytes of a reply's payload that are overwritten, and what is said to it. */
static const struct lie_row {
	const char *name;
	enum vfu_command command;
	uint32_t offset;
	uint64_t value;
	uint32_t bytes;
	int code;
	const char *says;
} lie_rows[] = {
	{"no PCI device", VFU_DEVICE_GET_INFO, 4, 1, 4, -ENODEV, "no PCI"},
	{"seven regions", VFU_DEVICE_GET_INFO, 8, 7, 4, -ENODEV, "7 regions"},
	{"two interrupts", VFU_DEVICE_GET_INFO, 12, 2, 4, -ENODEV, "2 kinds"},
	{"another region", VFU_DEVICE_GET_REGION_INFO, 8, 3, 4, -EPROTO,
	 "another region"},
	{"not readable", VFU_DEVICE_GET_REGION_INFO, 4, 0xe, 4, -ENODEV,
	 "BAR 0"},
	{"no size", VFU_DEVICE_GET_REGION_INFO, 16, 0, 8, -EPROTO,
	 "outside the region"},
	{"huge", VFU_DEVICE_GET_REGION_INFO, 16, UINT64_MAX, 8, -ENODEV,
	 "BAR 0"},
	{"needs too much room", VFU_DEVICE_GET_REGION_INFO, 0, 0x10000, 4,
	 -EPROTO, "65536 bytes to describe"},
	{"capability inside the head", VFU_DEVICE_GET_REGION_INFO, 12, 8, 4,
	 -EPROTO, "outside the message"},
	{"capability at the end", VFU_DEVICE_GET_REGION_INFO, 12, 60, 4,
	 -EPROTO, "outside the message"},
	{"capability far outside", VFU_DEVICE_GET_REGION_INFO, 12, 0xfffffff8,
	 4, -EPROTO, "outside the message"},
	{"capabilities in a circle", VFU_DEVICE_GET_REGION_INFO, 36, 32, 4,
	 -EPROTO, "no end"},
	{"more areas than there are", VFU_DEVICE_GET_REGION_INFO, 40, 2, 4,
	 -EPROTO, "fewer areas"},
	{"areas without number", VFU_DEVICE_GET_REGION_INFO, 40, 0xffffffff, 4,
	 -EPROTO, "fewer areas"},
	{"area outside", VFU_DEVICE_GET_REGION_INFO, 56, 0x100000, 8, -EPROTO,
	 "outside the region"},
	{"area that wraps", VFU_DEVICE_GET_REGION_INFO, 48, UINT64_MAX - 4095,
	 8, -EPROTO, "outside the region"},
	{"file offset that wraps", VFU_DEVICE_GET_REGION_INFO, 24,
	 UINT64_MAX - 4095, 8, 0, ""},
	{"file offset that is not aligned", VFU_DEVICE_GET_REGION_INFO, 24, 8,
	 8, 0, ""},
	{"no vectors", VFU_DEVICE_GET_IRQ_INFO, 12, 0, 4, -ENODEV, "MSI-X"},
	{"a wealth of vectors", VFU_DEVICE_GET_IRQ_INFO, 12, 0xffffffff, 4, 0,
	 ""},
	{"another class", VFU_REGION_READ, 16 + 8, 0x02000000, 4, -ENODEV,
	 "no NVMe controller"},
	{"no capabilities", VFU_REGION_READ, 16 + 6, 0, 2, -ENODEV, "MSI-X"},
	{"PCI capabilities in a circle", VFU_REGION_READ, 16 + 0x61, 0x60, 1,
	 -ENODEV, "MSI-X"},
	{"PCI capability at the end", VFU_REGION_READ, 16 + 0x61, 0xfc, 1,
	 -ENODEV, "MSI-X"},
	{"another count of bytes", VFU_REGION_READ, 12, 255, 4, -EPROTO,
	 "answered with 255"},
	{"another offset", VFU_REGION_READ, 0, 4, 8, -EPROTO, "at 0x4"},
	{"another region written", VFU_REGION_WRITE, 8, 6, 4, -EPROTO,
	 "region 6"},
};

static void lie(struct scripted_server *server, struct scripted_reply *reply,
		uint32_t nth)
{
	const struct lie_row *row = server->user;

	(void)nth;
	if (reply_header(reply)->command == row->command) {
		memcpy(reply->bytes + sizeof(struct vfu_header) + row->offset,
		       &row->value, row->bytes);
	}
}

static void each_lie_about_the_device_is_seen_through(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < HF_ARRAY_LEN(lie_rows); i++) {
		const struct lie_row *row = &lie_rows[i];
		void *each;

		vfu_setup(&each);
		struct vfu_fixture *f = each;
		f->server.spoil = lie;
		f->server.user = (void *)row;
		int rc = vfu_open(f);
		if (rc != row->code ||
		    (rc != 0 && strstr(f->err.message, row->says) == NULL)) {
			fail_msg("%s: %d: %s", row->name, rc, f->err.message);
		}
		f->server.spoil = NULL;
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

/* Is the descriptor that tells of a hang-up ready? */
static bool hang_up_shows(struct hf_device *dev, int timeout_ms)
{
	struct pollfd entry = {.fd = dev->ops->remove_request_fd(dev),
			       .events = POLLIN};

	return poll(&entry, 1, timeout_ms) == 1;
}

static void all_calls_say_gone(struct vfu_fixture *f)
{
	struct hf_dma_block block;
	uint64_t value;
	int fd;

	assert_int_equal(hf_reg_read64(f->dev, 0, &value), -ENODEV);
	assert_int_equal(hf_reg_write32(f->dev, 0x14, 0), -ENODEV);
	assert_int_equal(f->dev->ops->reg_write(f->dev, 0x1000, 4, 1), -ENODEV);
	assert_int_equal(f->dev->ops->irq_map(f->dev, 0, 0, &fd, &f->err),
			 -ENODEV);
	assert_int_equal(f->dev->ops->reset(f->dev, &f->err), -ENODEV);
	assert_int_equal(hf_dma_block_alloc(&f->dev->dma, PAGE,
					    HF_DMA_OWNER_CALLER, 0, &block,
					    &f->err),
			 -ENODEV);
	assert_true(strlen(f->err.message) > strlen(f->dev->id) + 10);
}

static void a_server_that_goes_is_noticed_without_asking(void **state)
{
	struct vfu_fixture *f = *state;

	vfu_opened(f);
	assert_false(hang_up_shows(f->dev, 0));
	scripted_server_hang_up(&f->server);

	assert_true(hang_up_shows(f->dev, BOUNDED_MS));
	all_calls_say_gone(f);
	vfu_says(f, "closed the connection");
}

static void stay_silent_always(struct scripted_server *server,
			       struct scripted_reply *reply, uint32_t nth)
{
	(void)server;
	reply->silent = nth >= OPEN_STEPS;
}

static void a_server_that_stalls_later_is_given_up(void **state)
{
	struct vfu_fixture *f = *state;
	uint64_t value;

	f->options.timeout_ms = SHORT_MS;
	f->server.spoil = stay_silent_always;
	vfu_opened(f);
	assert_int_equal(hf_reg_read64(f->dev, 0, &value), -ENODEV);

	assert_true(hang_up_shows(f->dev, BOUNDED_MS));
	all_calls_say_gone(f);
	vfu_says(f, "did not answer REGION_READ within 60 ms");
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, vfu_setup, vfu_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_missing_socket_is_named),
		TEST(a_directory_without_cntrl_is_told_from_one_with),
		TEST(a_file_is_no_socket),
		TEST(a_path_of_any_length_is_refused_in_words),
		TEST(a_socket_left_behind_is_told_from_a_live_one),
		TEST(permission_is_said_to_be_missing),
		TEST(an_http_server_is_recognised_by_what_it_says),
		cmocka_unit_test(
			each_reply_that_never_comes_ends_at_the_deadline),
		TEST(a_second_client_is_told_why_it_may_wait),
		TEST(a_full_backlog_ends_at_the_deadline),
		cmocka_unit_test(
			each_reply_of_opening_may_be_wrong_in_each_way),
		cmocka_unit_test(each_reply_may_end_after_each_byte),
		cmocka_unit_test(
			a_reply_that_stops_half_way_ends_at_the_deadline),
		cmocka_unit_test(a_stream_may_come_in_pieces_of_any_size),
		TEST(descriptors_that_nobody_asked_for_are_closed),
		cmocka_unit_test(a_version_that_makes_no_sense_is_refused),
		cmocka_unit_test(each_lie_about_the_device_is_seen_through),
		TEST(a_server_that_goes_is_noticed_without_asking),
		TEST(a_server_that_stalls_later_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
