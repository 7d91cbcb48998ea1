/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "progress.h"

#define AGAIN_NS  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

bool serve_keep_is_store(const char *keeper)
{
	return strcmp(keeper, "systemd:") == 0;
}

int serve_keep_put(const char *keeper, const char *name,
		   const struct hf_carry *carry, struct hf_error *err)
{
	return serve_keep_is_store(keeper)
		       ? hf_store_put(carry, name, err)
		       : hf_keeper_put(keeper, name, carry, err);
}

int serve_keep_get(const char *keeper, const char *name,
		   struct hf_carry **carry, struct hf_error *err)
{
	return serve_keep_is_store(keeper)
		       ? hf_store_get(name, carry, err)
		       : hf_keeper_get(keeper, name, carry, err);
}

int serve_keep_drop(const char *keeper, const char *name, struct hf_error *err)
{
	/* Whoever serves has put all that the store has of the name. */
	return serve_keep_is_store(keeper) ? hf_store_drop(NULL, name, err)
					   : hf_keeper_drop(keeper, name, err);
}

void serve_watch_init(struct serve_watch *watch)
{
	*watch = (struct serve_watch){
		.fd = -1,
		.alarm = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.asked = -1,
	};
}

/* A process says when it ends; a connection that lies idle would be hung up on
 * by the keeper, and take the place of somebody who asks. */
void serve_watch_begin(struct serve_watch *watch, const char *keeper)
{
	struct ucred peer = {.pid = 0};
	socklen_t len = sizeof(peer);

	serve_watch_end(watch);
	if (serve_keep_is_store(keeper)) {
		return;
	}
	int socket = hf_keeper_connect(keeper, NULL);
	if (socket < 0) {
		return;
	}
	/* Nobody else has its number while it answers. */
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	    peer.pid > 0) {
		watch->fd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
	}
	close(socket);
}

void serve_watch_end(struct serve_watch *watch)
{
	if (watch->fd >= 0) {
		close(watch->fd);
	}
	watch->fd = -1;
	watch->gone = false;
}

void serve_watch_lost(struct serve_watch *watch)
{
	serve_watch_end(watch);
	watch->gone = true;
	watch->next_ns = progress_now_ns() + AGAIN_NS;
}

void serve_watch_set_silent(struct serve_watch *watch)
{
	const uint64_t one = 1;

	atomic_store(&watch->silent, true);
	(void)!write(watch->alarm, &one, sizeof(one));
}

bool serve_watch_take_alarm(struct serve_watch *watch)
{
	uint64_t count;

	watch->next_ns = progress_now_ns() + AGAIN_NS;
	return read(watch->alarm, &count, sizeof(count)) ==
	       (ssize_t)sizeof(count);
}

void serve_watch_clear_silent(struct serve_watch *watch)
{
	atomic_store(&watch->silent, false);
}

const char *serve_watch_state(const struct serve_watch *watch)
{
	return watch->gone                   ? "gone"
	       : atomic_load(&watch->silent) ? "silent"
					     : "holding";
}

static bool is_looking(const struct serve_watch *watch)
{
	return (watch->gone || atomic_load(&watch->silent)) && watch->asked < 0;
}

int serve_watch_timeout_ms(const struct serve_watch *watch)
{
	uint64_t now = progress_now_ns();

	if (!is_looking(watch)) {
		return -1;
	}
	return now >= watch->next_ns
		       ? 0
		       : (int)((watch->next_ns - now + NS_PER_MS - 1) /
			       NS_PER_MS);
}

bool serve_watch_is_due(const struct serve_watch *watch)
{
	return is_looking(watch) && progress_now_ns() >= watch->next_ns;
}

/* ---------------------------------------------------------------- asking it */

/* Nobody waits for the end of it: this process may end, or be another program,
 * before. */
struct question {
	int tell;
	char keeper[];
};

static void *ask(void *arg)
{
	struct question *question = arg;
	struct hf_keeper_entry entry;
	uint32_t count;
	int result = hf_keeper_list(question->keeper, &entry, 1, &count, NULL);

	(void)!write(question->tell, &result, sizeof(result));
	close(question->tell);
	free(question);
	return NULL;
}

static int begin_to_ask(const char *keeper, int tell)
{
	size_t len = strlen(keeper) + 1;
	struct question *question = malloc(sizeof(*question) + len);
	pthread_attr_t attr;
	pthread_t thread;

	if (!question) {
		return -ENOMEM;
	}
	question->tell = tell;
	memcpy(question->keeper, keeper, len);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int result = pthread_create(&thread, &attr, ask, question);
	pthread_attr_destroy(&attr);
	if (result) {
		free(question);
	}
	return -result;
}

bool serve_watch_may_ask(const struct serve_watch *watch)
{
	return progress_now_ns() - watch->asked_ns >= AGAIN_NS;
}

void serve_watch_ask(struct serve_watch *watch, const char *keeper)
{
	uint64_t now = progress_now_ns();
	int ends[2];

	if (watch->asked >= 0) {
		return;
	}
	watch->asked_ns = now;
	watch->next_ns = now + AGAIN_NS;
	if (pipe2(ends, O_CLOEXEC) != 0) {
		return;
	}
	if (begin_to_ask(keeper, ends[1]) != 0) {
		close(ends[0]);
		close(ends[1]);
		return;
	}
	watch->asked = ends[0];
}

int serve_watch_take_answer(struct serve_watch *watch)
{
	int result = -EIO;

	if (read(watch->asked, &result, sizeof(result)) !=
	    (ssize_t)sizeof(result)) {
		result = -EIO;
	}
	close(watch->asked);
	watch->asked = -1;
	watch->next_ns = progress_now_ns() + AGAIN_NS;
	return result;
}
