/* SPDX-License-Identifier: BSD-3-Clause */
#include "serve_keep.h"

#include <errno.h>
#include <string.h>
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
	*watch = (struct serve_watch){.fd = -1};
}

void serve_watch_lost(struct serve_watch *watch)
{
	serve_watch_end(watch);
	watch->gone = true;
	watch->next_ns = progress_now_ns() + AGAIN_NS;
}

int serve_watch_timeout_ms(const struct serve_watch *watch)
{
	uint64_t now = progress_now_ns();

	if (!watch->gone) {
		return -1;
	}
	return now >= watch->next_ns
		       ? 0
		       : (int)((watch->next_ns - now + NS_PER_MS - 1) /
			       NS_PER_MS);
}

bool serve_watch_is_due(const struct serve_watch *watch)
{
	return watch->gone && progress_now_ns() >= watch->next_ns;
}
