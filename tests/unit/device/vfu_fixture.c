/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfu_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "device/vfio_user.h"
#include "open_fds.h"

int vfu_setup(void **state)
{
	struct vfu_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds_before = open_fds();
	scripted_server_init(&f->server);
	hf_device_options_init(&f->options);
	f->options.huge_pages = HF_HUGE_PAGES_OFF;
	*state = f;
	return 0;
}

int vfu_teardown(void **state)
{
	struct vfu_fixture *f = *state;

	if (f->server.running) {
		/* What it was told to use may be gone already. */
		pthread_mutex_lock(&f->server.lock);
		f->server.spoil = NULL;
		pthread_mutex_unlock(&f->server.lock);
	}
	vfu_close(f);
	scripted_server_stop(&f->server);
	uint32_t left = open_fds();
	uint32_t before = f->fds_before;
	free(f);
	if (left != before) {
		print_error("%u descriptors before, %u after\n", before, left);
		return -1;
	}
	return 0;
}

int vfu_open(struct vfu_fixture *f)
{
	if (!f->server.running) {
		scripted_server_start(&f->server);
	}
	return hf_vfio_user_open(&f->dev, f->server.path, &f->options, &f->err);
}

void vfu_opened(struct vfu_fixture *f)
{
	int rc = vfu_open(f);

	if (rc != 0) {
		fail_msg("%s", f->err.message);
	}
}

void vfu_close(struct vfu_fixture *f)
{
	if (f->dev != NULL) {
		hf_device_release(f->dev, HF_RELEASE_RESET);
		f->dev = NULL;
	}
}

uint32_t vfu_count(struct vfu_fixture *f, enum vfu_command command)
{
	pthread_mutex_lock(&f->server.lock);
	uint32_t count = f->server.count[command];
	pthread_mutex_unlock(&f->server.lock);
	return count;
}

uint32_t vfu_messages(struct vfu_fixture *f)
{
	pthread_mutex_lock(&f->server.lock);
	uint32_t count = f->server.messages;
	pthread_mutex_unlock(&f->server.lock);
	return count;
}

int vfu_irq_fd(struct vfu_fixture *f, uint32_t vector)
{
	pthread_mutex_lock(&f->server.lock);
	int fd = f->server.irq_fds[vector];
	pthread_mutex_unlock(&f->server.lock);
	return fd;
}

uint32_t vfu_map_count(struct vfu_fixture *f)
{
	pthread_mutex_lock(&f->server.lock);
	uint32_t count = f->server.map_count;
	pthread_mutex_unlock(&f->server.lock);
	return count;
}

void vfu_says(const struct vfu_fixture *f, const char *part)
{
	if (strstr(f->err.message, part) == NULL) {
		fail_msg("'%s' is not in: %s", part, f->err.message);
	}
}

int64_t vfu_inspect_number(struct vfu_fixture *f, const char *key)
{
	struct json_object *tree = json_object_new_object();
	struct json_object *member;

	f->dev->ops->inspect(f->dev, tree);
	assert_true(json_object_object_get_ex(tree, key, &member));
	int64_t number = json_object_get_int64(member);
	json_object_put(tree);
	return number;
}
