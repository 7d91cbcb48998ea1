/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/vfio_user_server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/log.h"
#include "emu/core.h"
#include "emu/guard.h"
#include "emu/listen.h"
#include "emu/vfio_user_conn.h"
#include "emu/vfio_user_device.h"
#include "emu/vfio_user_refusal.h"

/* Messages of one client before anything else is looked at. */
#define MESSAGES_AT_ONCE 256u
#define MAX_INTERVAL_US  10000000u

enum event_source {
	SOURCE_LISTEN,
	SOURCE_CLIENT,
	SOURCE_WAKE,
	SOURCE_TIMER,
	SOURCE_UNMASK,
	SOURCE_REFUSED, /* and those that follow, one for each */
};

struct hf_emu_server {
	struct hf_emu *emu;
	struct hf_emu_serve_options options;
	struct hf_log log;
	char *path;
	int listen_fd;
	int epoll_fd;
	int wake_fd;
	int timer_fd;
	pthread_t thread;
	bool started;
	bool stop; /* atomic */

	/* Held while a message is served, and by whoever looks from outside. */
	pthread_mutex_t lock;
	struct hf_vfus_device device;
	struct hf_vfus_conn client;
	uint32_t client_events; /* as epoll knows them */
	struct hf_vfus_refusals refusals;
	uint64_t connections;
	uint64_t refused;
	uint64_t dropped;
};

void hf_emu_serve_options_init(struct hf_emu_serve_options *options)
{
	memset(options, 0, sizeof(*options));
	options->size = sizeof(*options);
	options->max_dma_regions = VFU_DEFAULT_MAX_DMA_MAPS;
	options->max_msg_fds = 16;
}

static int take_options(struct hf_emu_server *server,
			const struct hf_emu_serve_options *options,
			struct hf_error *err)
{
	struct hf_emu_serve_options *own = &server->options;

	hf_emu_serve_options_init(own);
	if (options != NULL) {
		if (options->size < sizeof(size_t) ||
		    options->size > sizeof(*options)) {
			return hf_error_set(err, -EINVAL,
					    "server options: the size %zu is "
					    "not one of a known version",
					    options->size);
		}
		memcpy(own, options, options->size);
	}
	if (own->log != NULL) {
		server->log = *own->log;
	}
	own->log = &server->log;
	if (own->max_msg_fds == 0 || own->max_msg_fds > VFU_MAX_FDS) {
		return hf_error_set(err, -EINVAL,
				    "server: %u descriptors a message: 1 to %u "
				    "are possible",
				    own->max_msg_fds, VFU_MAX_FDS);
	}
	if (own->max_dma_regions == 0 ||
	    own->max_dma_regions > VFU_DEFAULT_MAX_DMA_MAPS) {
		return hf_error_set(err, -EINVAL,
				    "server: %u DMA regions: 1 to %u are "
				    "possible",
				    own->max_dma_regions,
				    VFU_DEFAULT_MAX_DMA_MAPS);
	}
	if (own->message_interval_us > MAX_INTERVAL_US) {
		return hf_error_set(err, -EINVAL,
				    "server: messages every %u us: every %u us "
				    "is the least",
				    own->message_interval_us, MAX_INTERVAL_US);
	}
	return 0;
}

/* ------------------------------------------------------------- the one client
 */

static int watch(struct hf_emu_server *server, int operation, int fd,
		 uint32_t events, uint32_t source)
{
	struct epoll_event event = {.events = events, .data = {.u32 = source}};

	return epoll_ctl(server->epoll_fd, operation, fd, &event) == 0 ? 0
								       : -errno;
}

/* A client that is served by the clock is not watched; one that does not take
 * its reply is only asked whether it does now. */
static void watch_client(struct hf_emu_server *server)
{
	uint32_t events =
		hf_vfus_conn_busy(&server->client) ? EPOLLOUT : EPOLLIN;

	if (server->options.message_interval_us != 0 ||
	    events == server->client_events) {
		return;
	}
	int result = watch(server,
			   server->client_events == 0 ? EPOLL_CTL_ADD
						      : EPOLL_CTL_MOD,
			   server->client.fd, events, SOURCE_CLIENT);
	if (result == 0) {
		server->client_events = events;
	}
}

static void set_timer(struct hf_emu_server *server, uint64_t interval_us)
{
	struct itimerspec spec = {
		.it_interval = {.tv_sec = (time_t)(interval_us / 1000000),
				.tv_nsec =
					(long)(interval_us % 1000000) * 1000},
	};

	spec.it_value = spec.it_interval;
	timerfd_settime(server->timer_fd, 0, &spec, NULL);
}

static void client_open(struct hf_emu_server *server, int fd)
{
	hf_vfus_conn_open(&server->client, fd);
	hf_vfus_device_connect(&server->device);
	server->client_events = 0;
	server->connections++;
	hf_log_info(&server->log, "server: a client has connected");
	watch_client(server);
	set_timer(server, server->options.message_interval_us);
}

static void client_close(struct hf_emu_server *server, const char *why)
{
	bool keep = server->options.on_disconnect == HF_EMU_DISCONNECT_KEEP;

	hf_log_info(&server->log, "server: %s; the controller %s", why,
		    keep ? "is kept as it is" : "is reset");
	/* Closing takes it out of the epoll set: nobody else has it open. */
	hf_vfus_conn_close(&server->client);
	server->client_events = 0;
	set_timer(server, 0);
	hf_vfus_device_disconnect(&server->device);
}

/* One whole message. Returns 0, or -errno when the connection is of no use. */
static int serve_message(struct hf_emu_server *server)
{
	struct hf_vfus_conn *client = &server->client;
	struct hf_vfus_request request = {.fds = client->fds,
					  .fd_count = client->fd_count};
	struct hf_vfus_reply reply = {
		.payload = hf_vfus_conn_reply_payload(client)};

	memcpy(&request.header, client->in, sizeof(request.header));
	request.payload = client->in + sizeof(request.header);
	request.len_bytes = client->in_bytes - (uint32_t)sizeof(request.header);

	int error = hf_vfus_device_handle(&server->device, &request, &reply);
	int result = 0;
	if ((request.header.flags & VFU_FLAG_NO_REPLY) == 0) {
		result = hf_vfus_conn_reply(client, error, reply.len_bytes,
					    reply.fd);
	}
	hf_vfus_conn_done(client);
	if (reply.end) {
		return -EPROTO;
	}
	return result == -EAGAIN ? 0 : result;
}

static uint32_t serve_client(struct hf_emu_server *server)
{
	struct hf_vfus_conn *client = &server->client;
	uint32_t served = 0;
	int result = 0;

	if (client->fd >= 0 && hf_vfus_conn_busy(client)) {
		result = hf_vfus_conn_send(client);
	}
	while (client->fd >= 0 && result == 0 && served < MESSAGES_AT_ONCE &&
	       !hf_vfus_conn_busy(client)) {
		result = hf_vfus_conn_receive(client);
		if (result == 1) {
			served++;
			result = serve_message(server);
		}
	}
	if (result == -EPIPE) {
		client_close(server, "the client has gone");
	} else if (result == -EPROTO) {
		server->dropped++;
		client_close(server, "the client sent what is not a message, "
				     "and is disconnected");
	} else if (client->fd >= 0) {
		watch_client(server);
	}
	return served;
}

/* --------------------------------------------------------------- the others */

/* Has the client gone, though what it sent last may not have been read? */
static bool client_has_gone(struct hf_emu_server *server)
{
	struct pollfd pollfd = {.fd = server->client.fd, .events = 0};

	return poll(&pollfd, 1, 0) == 1 &&
	       (pollfd.revents & (POLLHUP | POLLERR)) != 0;
}

/* Room for another client, when this one has gone. What it sent last still
 * counts. */
static void let_go_of_who_has_gone(struct hf_emu_server *server)
{
	if (server->client.fd >= 0 && client_has_gone(server)) {
		serve_client(server);
		if (server->client.fd >= 0) {
			client_close(server, "the client has gone");
		}
	}
}

static void accept_clients(struct hf_emu_server *server)
{
	for (uint32_t i = 0; i < 16; i++) {
		if (server->options.ignore_second) {
			let_go_of_who_has_gone(server);
		}
		if (server->client.fd >= 0 && server->options.ignore_second) {
			return;
		}

		int fd = accept4(server->listen_fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			return;
		}
		/* After the other one came: who has gone by then does not keep
		 * it out. */
		let_go_of_who_has_gone(server);
		if (server->client.fd < 0) {
			client_open(server, fd);
		} else {
			server->refused++;
			hf_log_info(&server->log,
				    "server: a second client is refused: one "
				    "is being served");
			hf_vfus_refuse(&server->refusals, fd, server->epoll_fd,
				       SOURCE_REFUSED);
		}
	}
}

/* ---------------------------------------------------------------- processing
 */

static void drain(int fd)
{
	uint64_t count;
	ssize_t got = read(fd, &count, sizeof(count));

	(void)got;
}

static void serve_wake(struct hf_emu_server *server)
{
	drain(server->wake_fd);
	hf_vfus_dma_drop_shrunk(&server->device.dma);
	if (hf_vfus_irq_take_unheard(&server->device.irq)) {
		hf_emu_fatal(server->emu,
			     "an interrupt, with INTx enabled and no "
			     "descriptor for it");
	}
}

/* With @ignore_second, the listening socket is of interest only without a
 * client: a connection that waits there must not wake anybody. */
static void watch_listen(struct hf_emu_server *server)
{
	bool ignore = server->options.ignore_second && server->client.fd >= 0;
	int result = watch(server, EPOLL_CTL_MOD, server->listen_fd,
			   ignore ? 0 : EPOLLIN, SOURCE_LISTEN);
	(void)result;
}

uint32_t hf_emu_serve_process(struct hf_emu_server *server)
{
	struct epoll_event events[16];
	bool listening = false;
	uint32_t served = 0;

	int count = epoll_wait(server->epoll_fd, events,
			       (int)HF_ARRAY_LEN(events), 0);
	pthread_mutex_lock(&server->lock);
	for (int i = 0; i < count; i++) {
		uint32_t source = events[i].data.u32;

		if (source == SOURCE_LISTEN) {
			listening = true;
		} else if (source == SOURCE_CLIENT) {
			served += serve_client(server);
		} else if (source == SOURCE_WAKE) {
			serve_wake(server);
		} else if (source == SOURCE_UNMASK) {
			hf_vfus_irq_unmasked(&server->device.irq);
		} else if (source == SOURCE_TIMER) {
			drain(server->timer_fd);
			served += serve_client(server);
		} else {
			hf_vfus_refusal_serve(&server->refusals,
					      source - SOURCE_REFUSED);
		}
	}
	hf_vfus_refusals_end(&server->refusals, false);
	/* Last: whoever has gone makes room for whoever comes. */
	if (listening) {
		accept_clients(server);
	}
	if (server->options.ignore_second) {
		watch_listen(server);
	}
	pthread_mutex_unlock(&server->lock);
	return served;
}

int hf_emu_serve_fd(const struct hf_emu_server *server)
{
	return server->epoll_fd;
}

static int patience_ms(struct hf_emu_server *server)
{
	pthread_mutex_lock(&server->lock);
	int patience = hf_vfus_refusals_patience_ms(&server->refusals);
	pthread_mutex_unlock(&server->lock);
	return patience;
}

static void *run(void *argument)
{
	struct hf_emu_server *server = argument;

	while (!__atomic_load_n(&server->stop, __ATOMIC_ACQUIRE)) {
		struct pollfd pollfd = {.fd = server->epoll_fd,
					.events = POLLIN};

		poll(&pollfd, 1, patience_ms(server));
		hf_emu_serve_process(server);
	}
	return NULL;
}

int hf_emu_serve_start(struct hf_emu_server *server, struct hf_error *err)
{
	if (server->started) {
		return hf_error_set(err, -EBUSY,
				    "server: it has a thread already");
	}
	int result = pthread_create(&server->thread, NULL, run, server);
	if (result != 0) {
		return hf_error_set(err, -result, "server: no thread: %s",
				    strerror(result));
	}
	server->started = true;
	return 0;
}

/* ------------------------------------------------------------- open and close
 */

static int open_sockets(struct hf_emu_server *server, const char *path,
			struct hf_error *err)
{
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->timer_fd =
		timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (server->epoll_fd < 0 || server->timer_fd < 0) {
		return hf_error_set(err, -errno, "server: %s", strerror(errno));
	}
	server->listen_fd = hf_listen(path, &server->path, err);
	if (server->listen_fd < 0) {
		return server->listen_fd;
	}

	int result = watch(server, EPOLL_CTL_ADD, server->listen_fd, EPOLLIN,
			   SOURCE_LISTEN);
	if (result == 0) {
		result = watch(server, EPOLL_CTL_ADD, server->wake_fd, EPOLLIN,
			       SOURCE_WAKE);
	}
	if (result == 0) {
		result = watch(server, EPOLL_CTL_ADD, server->timer_fd, EPOLLIN,
			       SOURCE_TIMER);
	}
	if (result == 0) {
		result = watch(server, EPOLL_CTL_ADD,
			       server->device.irq.watch_fd, EPOLLIN,
			       SOURCE_UNMASK);
	}
	if (result != 0) {
		return hf_error_set(err, result, "server: %s",
				    strerror(-result));
	}
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0) {
		close(fd);
	}
}

/* Everything but the device and the thread. */
static void release(struct hf_emu_server *server)
{
	hf_vfus_conn_fini(&server->client);
	hf_vfus_refusals_end(&server->refusals, true);
	hf_listen_close(server->listen_fd, server->path);
	close_fd(server->epoll_fd);
	close_fd(server->timer_fd);
	close_fd(server->wake_fd);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

static int prepare(struct hf_emu_server *server,
		   const struct hf_emu_serve_options *options,
		   struct hf_error *err)
{
	int result = take_options(server, options, err);
	if (result != 0) {
		return result;
	}
	result = hf_vfus_conn_init(&server->client);
	if (result != 0) {
		return hf_error_set(err, result, "server: no memory");
	}
	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake_fd < 0) {
		return hf_error_set(err, -errno, "server: %s", strerror(errno));
	}
	if (!server->options.no_guard) {
		result = hf_guard_install();
		if (result != 0) {
			return hf_error_set(err, result,
					    "server: the SIGBUS handler cannot "
					    "be installed: %s",
					    strerror(-result));
		}
	}
	return 0;
}

int hf_emu_serve_open(struct hf_emu_server **server_out, struct hf_emu *emu,
		      const char *path,
		      const struct hf_emu_serve_options *options,
		      struct hf_error *err)
{
	struct hf_emu_server *server = calloc(1, sizeof(*server));

	if (server == NULL) {
		return hf_error_set(err, -ENOMEM, "server: no memory");
	}
	server->emu = emu;
	server->listen_fd = -1;
	server->epoll_fd = -1;
	server->wake_fd = -1;
	server->timer_fd = -1;
	server->client.fd = -1;
	hf_vfus_refusals_init(&server->refusals);
	pthread_mutex_init(&server->lock, NULL);

	int result = prepare(server, options, err);
	if (result == 0) {
		result = hf_vfus_device_init(&server->device, emu,
					     &server->options, server->wake_fd,
					     err);
	}
	if (result != 0) {
		release(server);
		return result;
	}
	result = open_sockets(server, path, err);
	if (result != 0) {
		hf_vfus_device_fini(&server->device);
		release(server);
		return result;
	}
	*server_out = server;
	return 0;
}

void hf_emu_serve_close(struct hf_emu_server *server)
{
	uint64_t one = 1;

	if (server == NULL) {
		return;
	}
	if (server->started) {
		__atomic_store_n(&server->stop, true, __ATOMIC_RELEASE);
		ssize_t written = write(server->wake_fd, &one, sizeof(one));
		(void)written;
		pthread_join(server->thread, NULL);
	}
	/* Nobody is told that all is well before the controller stands still.
	 */
	hf_vfus_device_fini(&server->device);
	release(server);
}

/* ------------------------------------------------------------- from outside */

int hf_emu_serve_disconnect(struct hf_emu_server *server)
{
	int result = -ENOTCONN;

	pthread_mutex_lock(&server->lock);
	if (server->client.fd >= 0) {
		client_close(server, "the client is thrown out");
		if (server->options.ignore_second) {
			watch_listen(server);
		}
		result = 0;
	}
	pthread_mutex_unlock(&server->lock);
	return result;
}

int hf_emu_serve_request_removal(struct hf_emu_server *server)
{
	pthread_mutex_lock(&server->lock);
	int result = hf_vfus_irq_request(&server->device.irq);
	pthread_mutex_unlock(&server->lock);
	return result;
}

void hf_emu_serve_stats(struct hf_emu_server *server,
			struct hf_emu_serve_stats *stats)
{
	struct hf_emu_serve_stats now = {.size = stats->size};
	const struct hf_vfus_device *device = &server->device;

	pthread_mutex_lock(&server->lock);
	now.connected = server->client.fd >= 0;
	now.connections = server->connections;
	now.refused = server->refused;
	now.dropped = server->dropped;
	memcpy(now.messages, device->messages, sizeof(now.messages));
	now.errors = device->errors;
	now.shrunk = device->dma.shrunk;
	now.dma_regions = device->dma.count;
	pthread_mutex_unlock(&server->lock);
	memcpy(stats, &now, HF_MIN(stats->size, sizeof(now)));
}

static void add_number(struct json_object *object, const char *name,
		       uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

struct json_object *hf_vfus_server_inspect(struct hf_emu_server *server)
{
	static const char *const doorbells[] = {"mapped", "messages",
						"no-mmap"};
	struct hf_emu_serve_stats stats = {.size = sizeof(stats)};
	struct json_object *object = json_object_new_object();
	uint64_t messages = 0;

	if (object == NULL) {
		return NULL;
	}
	hf_emu_serve_stats(server, &stats);
	for (size_t i = 0; i < HF_ARRAY_LEN(stats.messages); i++) {
		messages += stats.messages[i];
	}
	json_object_object_add(object, "socket",
			       json_object_new_string(server->path));
	json_object_object_add(
		object, "doorbells",
		json_object_new_string(doorbells[server->options.doorbells]));
	json_object_object_add(
		object, "on_disconnect",
		json_object_new_string(server->options.on_disconnect ==
						       HF_EMU_DISCONNECT_KEEP
					       ? "keep"
					       : "reset"));
	json_object_object_add(object, "connected",
			       json_object_new_boolean(stats.connected));
	add_number(object, "connections", stats.connections);
	add_number(object, "refused", stats.refused);
	add_number(object, "dropped", stats.dropped);
	add_number(object, "messages", messages);
	add_number(object, "errors", stats.errors);
	add_number(object, "shrunk", stats.shrunk);
	add_number(object, "dma_regions", stats.dma_regions);
	return object;
}
