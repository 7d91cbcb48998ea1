/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Goal: a successor goes on with the connection of a process that is dead,
 * wherever in a request it died, and repeats what has to be.
 * Method: the device hands out its descriptors; then the same socket is used as
 * a process would have left it: a request sent and its reply not taken. The
 * predecessor's device stays, unused, until the test lets go of it. What is
 * good for a while only is looked at while the clock stands.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "device/vfio_user.h"
#include "device/vfio_user_device.h"
#include "state/registry.h"
#include "takeover.h"

static int adopt(struct takeover *t)
{
	return hf_vfio_user_adopt(&t->heir, t->set, &t->f->options, NULL, 0,
				  &t->f->err);
}

static void adopted(struct takeover *t)
{
	if (adopt(t) != 0) {
		fail_msg("%s", t->f->err.message);
	}
}

/* Sends a request as a process would that dies before it has the reply. */
static void die_after_sending(struct takeover *t, enum vfu_command command,
			      const void *payload, uint32_t len_bytes)
{
	struct hf_vfu_journal *journal = takeover_journal(t);
	uint8_t bytes[256];
	struct vfu_header header = {
		.id = (uint16_t)journal->next_id++,
		.command = (uint16_t)command,
		.size = (uint32_t)sizeof(header) + len_bytes,
	};

	memcpy(bytes, &header, sizeof(header));
	if (len_bytes > 0) {
		memcpy(bytes + sizeof(header), payload, len_bytes);
	}
	if (journal->pending == 0) {
		journal->oldest_id = header.id;
	}
	journal->pending =
		HF_VFU_PENDING | (uint64_t)header.command << 16 | header.id;
	uint32_t before = vfu_messages(t->f);
	assert_int_equal(send(hf_vfio_user_of(t->f->dev)->conn.fd, bytes,
			      header.size, 0),
			 header.size);
	scripted_server_await(&t->f->server, before + 1);
}

static void a_successor_finds_all_as_it_was(void **state)
{
	struct takeover *t = takeover_prepare(state);
	struct hf_dma_block claimed;
	struct hf_doorbell doorbell;
	int irq = -1;

	uint32_t id_before = takeover_journal(t)->next_id;
	uint32_t messages_before = vfu_messages(t->f);
	adopted(t);
	assert_string_equal(hf_device_id(t->heir), hf_device_id(t->f->dev));
	assert_int_equal(t->heir->bar0_bytes, SCRIPT_BAR0_BYTES);
	/* What is decided by them is decided as before. */
	assert_int_not_equal(t->heir->pci_vendor, 0);
	assert_int_equal(t->heir->pci_vendor, t->f->dev->pci_vendor);
	assert_int_equal(t->heir->pci_device, t->f->dev->pci_device);
	/* Nothing was left half said: nothing is asked. */
	assert_int_equal(vfu_messages(t->f), messages_before);
	assert_int_equal(hf_vfio_user_of(t->heir)->conn.journal->next_id,
			 id_before);

	assert_int_equal(hf_dma_block_claim(&t->heir->dma,
					    HF_DMA_OWNER_IO_QUEUE, 7, &claimed),
			 0);
	assert_int_equal(claimed.iova, t->block.iova);
	assert_string_equal((const char *)claimed.vaddr, "ring");
	assert_int_equal(t->heir->ops->irq_map(t->heir, 2, 0, &irq, &t->f->err),
			 0);
	assert_int_equal(eventfd_write(vfu_irq_fd(t->f, 2), 1), 0);
	struct pollfd entry = {.fd = irq, .events = POLLIN};
	assert_int_equal(poll(&entry, 1, 0), 1);
	assert_int_equal(
		hf_doorbell_init(&doorbell, t->heir, 0x1000, &t->f->err), 0);
	hf_doorbell_ring(&doorbell, 9);
	assert_int_equal(scripted_server_doorbell(&t->f->server, 0x1000), 9);
	takeover_finish(t);
}

static void nothing_is_left_in_what_was_handed_over(void **state)
{
	struct takeover *t = takeover_prepare(state);

	adopted(t);
	assert_int_equal(t->set->count, 0);
	takeover_finish(t);
}

static void a_reply_that_came_too_late_is_dropped(void **state)
{
	struct takeover *t = takeover_prepare(state);
	const struct vfu_region_access ask = {.count = 8};
	uint64_t value;

	die_after_sending(t, VFU_REGION_READ, &ask, sizeof(ask));
	adopted(t);
	assert_int_equal(hf_reg_read64(t->heir, 0, &value), 0);
	takeover_finish(t);
	assert_int_equal(vfu_inspect_number(*state, "stale_replies_dropped"),
			 1);
}

static void what_was_taken_away_from_a_device_is_not_adopted(void **state)
{
	struct takeover *t = takeover_prepare(state);
	struct hf_registry_region *region =
		&t->f->dev->dma.registry->regions[0];

	region->state = HF_REGION_REVOKED;
	assert_int_equal(adopt(t), -ENODEV);
	vfu_says(t->f, "gave the controller up");
	region->state = HF_REGION_MAPPED;
	hf_fdset_close(t->set);
	free(t->set);
	free(t);
}

static void several_that_died_in_a_row_leave_several_replies(void **state)
{
	struct takeover *t = takeover_prepare(state);
	const struct vfu_region_access ask = {.count = 8};

	for (uint32_t i = 0; i < 5; i++) {
		die_after_sending(t, VFU_REGION_READ, &ask, sizeof(ask));
	}
	adopted(t);
	takeover_finish(t);
	assert_int_equal(vfu_inspect_number(*state, "stale_replies_dropped"),
			 5);
}

static void identifiers_may_wrap_between_the_two(void **state)
{
	struct takeover *t = takeover_prepare(state);
	const struct vfu_region_access ask = {.count = 8};
	uint64_t value;

	takeover_journal(t)->next_id = 0xfffe;
	die_after_sending(t, VFU_REGION_READ, &ask, sizeof(ask));
	die_after_sending(t, VFU_REGION_READ, &ask, sizeof(ask));
	takeover_journal(t)->next_id &= 0xffff;
	adopted(t);
	assert_int_equal(hf_reg_read64(t->heir, 0, &value), 0);
	takeover_finish(t);
	assert_int_equal(vfu_inspect_number(*state, "stale_replies_dropped"),
			 2);
}

static void answer_with_a_future_id(struct scripted_server *server,
				    struct scripted_reply *reply, uint32_t nth)
{
	(void)server;
	(void)nth;
	reply_header(reply)->id = (uint16_t)(reply_header(reply)->id + 1);
}

static void only_earlier_replies_count_as_late(void **state)
{
	struct takeover *t = takeover_prepare(state);
	const struct vfu_region_access ask = {.count = 8};

	die_after_sending(t, VFU_REGION_READ, &ask, sizeof(ask));
	pthread_mutex_lock(&t->f->server.lock);
	t->f->server.spoil = answer_with_a_future_id;
	pthread_mutex_unlock(&t->f->server.lock);
	assert_int_equal(adopt(t), -ENODEV);
	vfu_says(t->f, "where the answer to message");
	t->heir = NULL;
	hf_device_release(t->f->dev, HF_RELEASE_KEEP);
	t->f->dev = NULL;
	hf_fdset_close(t->set);
	free(t->set);
	free(t);
}

static void interrupts_are_set_again_when_that_was_under_way(void **state)
{
	struct takeover *t = takeover_prepare(state);
	const struct vfu_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
	};

	/* It took them back, say, and did not live to give them again. */
	die_after_sending(t, VFU_DEVICE_SET_IRQS, &set, sizeof(set));
	assert_int_equal(vfu_irq_fd(t->f, 2), -1);
	adopted(t);
	assert_true(vfu_irq_fd(t->f, 2) >= 0);
	assert_int_equal(eventfd_write(vfu_irq_fd(t->f, 2), 1), 0);
	struct pollfd entry = {.fd = t->irq, .events = POLLIN};
	assert_int_equal(poll(&entry, 1, 0), 1);
	takeover_finish(t);
}

static void vectors_that_were_never_carried_are_made_anew(void **state)
{
	struct takeover *t = takeover_prepare(state);
	int irq;

	int fd = hf_fdset_take(t->set, "vfu-irq-%u", 5);
	close(fd);
	adopted(t);
	assert_int_equal(hf_vfio_user_of(t->heir)->conn.journal->irq_wired, 5);
	assert_int_equal(t->heir->ops->irq_map(t->heir, 6, 0, &irq, &t->f->err),
			 0);
	assert_int_equal(eventfd_write(vfu_irq_fd(t->f, 6), 1), 0);
	struct pollfd entry = {.fd = irq, .events = POLLIN};
	assert_int_equal(poll(&entry, 1, 0), 1);
	takeover_finish(t);
}

static void a_mapping_that_was_under_way_is_undone(void **state)
{
	struct takeover *t = takeover_prepare(state);
	struct hf_dma_registry *registry = t->f->dev->dma.registry;
	struct hf_dma_block block;

	/* It said what it was about to map, and died before the server heard
	 * of it. */
	registry->regions[3] = (struct hf_registry_region){
		.state = HF_REGION_MAPPING,
		.kind = HF_REGION_POOL,
		.iova = UINT64_C(1) << 40,
		.len_bytes = 2u << 20,
	};
	adopted(t);
	assert_int_equal(registry->regions[3].state, HF_REGION_FREE);
	assert_int_equal(vfu_map_count(t->f), 1);
	assert_int_equal(hf_dma_block_alloc(&t->heir->dma, 4u << 20,
					    HF_DMA_OWNER_CALLER, 0, &block,
					    &t->f->err),
			 0);
	assert_int_equal(vfu_map_count(t->f), 2);
	takeover_finish(t);
}

/* A server that cannot map asks its new client for the old memory. */
static void ask_for_memory(struct scripted_server *server,
			   struct scripted_reply *reply, uint32_t nth)
{
	const struct vfu_dma_access access = {*(uint64_t *)server->user, 4};
	const struct vfu_header header = {
		.id = 3, .command = VFU_DMA_READ, .size = 32};

	(void)nth;
	memcpy(reply->before, &header, sizeof(header));
	memcpy(reply->before + sizeof(header), &access, sizeof(access));
	reply->before_bytes = header.size;
}

static void adopted_memory_is_served_by_message_too(void **state)
{
	struct takeover *t = takeover_prepare(state);
	uint64_t iova = t->block.iova;
	uint64_t value;

	adopted(t);
	pthread_mutex_lock(&t->f->server.lock);
	t->f->server.user = &iova;
	t->f->server.spoil = ask_for_memory;
	pthread_mutex_unlock(&t->f->server.lock);
	assert_int_equal(hf_reg_read64(t->heir, 0, &value), 0);
	assert_int_equal(hf_reg_read64(t->heir, 0, &value), 0);
	pthread_mutex_lock(&t->f->server.lock);
	t->f->server.spoil = NULL;
	assert_int_equal(t->f->server.answer.error, 0);
	assert_memory_equal(t->f->server.answer_payload + 16, "ring", 4);
	pthread_mutex_unlock(&t->f->server.lock);
	takeover_finish(t);
}

/* What may be missing or wrong in what was handed over. */
static const char *const needed[] = {
	"vfu-socket",
	"vfu-journal",
	"dma-registry",
	"dma-0",
};

static const char *const facts[] = {
	"vfu-path",       "vfu-max-fds",      "vfu-max-xfer",
	"vfu-max-maps",   "vfu-page-sizes",   "vfu-can-reset",
	"vfu-bar0-bytes", "vfu-doorbells-at", "vfu-doorbells-bytes",
	"vfu-vectors",    "vfu-msix-at",      "vfu-msix-control",
};

static void give_up(struct takeover *t)
{
	assert_true(strlen(t->f->err.message) > 0);
	hf_device_release(t->f->dev, HF_RELEASE_KEEP);
	t->f->dev = NULL;
	hf_fdset_close(t->set);
	free(t->set);
	free(t);
}

static void each_descriptor_that_is_missing_is_an_error(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < HF_ARRAY_LEN(needed); i++) {
		void *each;

		vfu_setup(&each);
		struct takeover *t = takeover_prepare(&each);
		close(hf_fdset_take(t->set, "%s", needed[i]));
		assert_true(adopt(t) < 0);
		give_up(t);
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

static void each_fact_that_is_missing_or_wrong_is_an_error(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < 2 * HF_ARRAY_LEN(facts); i++) {
		bool wrong = i >= HF_ARRAY_LEN(facts);
		void *each;

		vfu_setup(&each);
		struct takeover *t = takeover_prepare(&each);
		char *at = strstr(t->set->text, facts[i % HF_ARRAY_LEN(facts)]);
		assert_non_null(at);
		if (wrong) {
			at[strlen(facts[i % HF_ARRAY_LEN(facts)]) + 1] = '-';
		} else {
			at[0] = 'x';
		}
		/* Any path will do: it is only a name. */
		assert_int_equal(adopt(t) < 0, i != HF_ARRAY_LEN(facts));
		if (t->heir != NULL) {
			takeover_finish(t);
		} else {
			give_up(t);
		}
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

static void what_is_no_journal_is_refused(void **state)
{
	struct takeover *t = takeover_prepare(state);

	takeover_journal(t)->magic++;
	assert_int_equal(adopt(t), -EINVAL);
	vfu_says(t->f, "none of this version");
	takeover_journal(t)->magic--;
	give_up(t);
}

/* The same bytes, in files that whoever else has them could make shorter. */
static void what_is_not_sealed_is_refused(void **state)
{
	static const char *const ours[] = {"vfu-journal", "dma-registry",
					   "dma-0"};

	(void)state;
	for (uint32_t i = 0; i < HF_ARRAY_LEN(ours); i++) {
		struct stat st;
		void *each;

		vfu_setup(&each);
		struct takeover *t = takeover_prepare(&each);
		int fd = hf_fdset_take(t->set, "%s", ours[i]);
		int other = memfd_create("same", MFD_CLOEXEC);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(ftruncate(other, st.st_size), 0);
		assert_int_equal(
			sendfile(other, fd, (off_t[]){0}, (size_t)st.st_size),
			st.st_size);
		assert_int_equal(
			hf_fdset_add(t->set, other, &t->f->err, "%s", ours[i]),
			0);
		close(fd);
		assert_int_equal(adopt(t), -EINVAL);
		give_up(t);
		assert_int_equal(vfu_teardown(&each), 0);
	}
}

static void a_server_that_has_gone_meanwhile_is_an_error(void **state)
{
	struct takeover *t = takeover_prepare(state);

	scripted_server_hang_up(&t->f->server);
	assert_int_equal(adopt(t), -ENODEV);
	vfu_says(t->f, "closed the connection");
	give_up(t);
}

/* Where it is asked anyway, it must be the same function that answers. */
static void another_function_behind_the_socket_is_refused(void **state)
{
	struct takeover *t = takeover_prepare(state);
	const struct vfu_region_access ask = {.count = 8};

	die_after_sending(t, VFU_REGION_READ, &ask, sizeof(ask));
	t->f->server.config[2]++;
	assert_int_equal(adopt(t), -ENODEV);
	vfu_says(t->f, "it is another device");
	t->heir = NULL;
	give_up(t);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, vfu_setup, vfu_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_successor_finds_all_as_it_was),
		TEST(nothing_is_left_in_what_was_handed_over),
		TEST(a_reply_that_came_too_late_is_dropped),
		TEST(what_was_taken_away_from_a_device_is_not_adopted),
		TEST(several_that_died_in_a_row_leave_several_replies),
		TEST(identifiers_may_wrap_between_the_two),
		TEST(only_earlier_replies_count_as_late),
		TEST(interrupts_are_set_again_when_that_was_under_way),
		TEST(vectors_that_were_never_carried_are_made_anew),
		TEST(a_mapping_that_was_under_way_is_undone),
		TEST(adopted_memory_is_served_by_message_too),
		cmocka_unit_test(each_descriptor_that_is_missing_is_an_error),
		cmocka_unit_test(
			each_fact_that_is_missing_or_wrong_is_an_error),
		TEST(another_function_behind_the_socket_is_refused),
		TEST(what_is_no_journal_is_refused),
		cmocka_unit_test(what_is_not_sealed_is_refused),
		TEST(a_server_that_has_gone_meanwhile_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
