/* SPDX-License-Identifier: BSD-3-Clause */
#include "state/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/sealed.h"

#define PAGE 4096u

/* Geometry is bounded, so that none of this can overflow. */
static uint64_t queue_bytes(uint32_t slots, uint32_t records, uint32_t pages)
{
	uint64_t bytes = sizeof(struct hf_ledger_queue) +
			 (uint64_t)slots * sizeof(struct hf_ledger_slot) +
			 (uint64_t)records * sizeof(struct hf_ledger_record) +
			 (uint64_t)pages * sizeof(uint16_t);

	return (bytes + PAGE - 1) / PAGE * PAGE;
}

static uint64_t header_bytes(void)
{
	return (sizeof(struct hf_ledger_header) + PAGE - 1) / PAGE * PAGE;
}

static bool geometry_is_sane(const struct hf_ledger_geometry *geometry)
{
	return geometry->queues_max >= 1 && geometry->queues_max <= 65536 &&
	       geometry->slots_max >= 1 &&
	       geometry->slots_max <= HF_LEDGER_SLOTS_MAX &&
	       geometry->records_max >= 1 &&
	       geometry->records_max <= HF_LEDGER_SLOTS_MAX &&
	       geometry->pages_max >= 1 &&
	       geometry->pages_max <= HF_LEDGER_PAGES_MAX;
}

int hf_ledger_create(struct hf_ledger *ledger,
		     const struct hf_ledger_geometry *geometry,
		     struct hf_error *err)
{
	if (!geometry_is_sane(geometry)) {
		return hf_error_set(err, -EINVAL,
				    "a ledger of %u queues with %u slots, %u "
				    "records and %u pages each is not possible",
				    geometry->queues_max, geometry->slots_max,
				    geometry->records_max, geometry->pages_max);
	}

	uint64_t stride =
		queue_bytes(geometry->slots_max, geometry->records_max,
			    geometry->pages_max);
	uint64_t total = header_bytes() + stride * geometry->queues_max;
	HF_AUTO_CLOSE int fd = memfd_create("holdfast-ledger",
					    MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)total) != 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
		return hf_error_set(
			err, -errno, "no memory for a ledger of %llu bytes: %s",
			(unsigned long long)total, strerrordesc_np(errno));
	}
	struct hf_ledger_header *header =
		mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (header == MAP_FAILED) {
		return hf_error_set(err, -errno,
				    "the ledger cannot be mapped: "
				    "%s",
				    strerrordesc_np(errno));
	}

	header->version = HF_LEDGER_VERSION;
	header->header_bytes = sizeof(*header);
	header->total_bytes = total;
	header->queues_max = geometry->queues_max;
	header->slots_max = geometry->slots_max;
	header->records_max = geometry->records_max;
	header->pages_max = geometry->pages_max;
	header->queue_bytes = stride;
	header->queues_offset = header_bytes();
	header->magic = HF_LEDGER_MAGIC;
	ledger->fd = hf_take_fd(&fd);
	ledger->header = header;
	ledger->len_bytes = total;
	return 0;
}

static int header_check(const struct hf_ledger_header *header, uint64_t size,
			struct hf_error *err)
{
	const struct hf_ledger_geometry geometry = {
		.queues_max = header->queues_max,
		.slots_max = header->slots_max,
		.records_max = header->records_max,
		.pages_max = header->pages_max,
	};

	if (header->magic != HF_LEDGER_MAGIC) {
		return hf_error_set(err, -EINVAL,
				    "the descriptor is no ledger of holdfast's "
				    "(magic %#llx)",
				    (unsigned long long)header->magic);
	}
	if (header->version != HF_LEDGER_VERSION) {
		return hf_error_set(err, -EPROTONOSUPPORT,
				    "the ledger is of version %u, and this "
				    "holdfast reads version %d",
				    header->version, HF_LEDGER_VERSION);
	}
	if (!geometry_is_sane(&geometry) ||
	    header->header_bytes != sizeof(*header) ||
	    header->total_bytes != size ||
	    header->queues_offset != header_bytes() ||
	    header->queue_bytes != queue_bytes(header->slots_max,
					       header->records_max,
					       header->pages_max) ||
	    size != header_bytes() + header->queue_bytes * header->queues_max) {
		return hf_error_set(err, -EINVAL,
				    "the ledger contradicts itself: %llu bytes "
				    "for %u queues of %u slots",
				    (unsigned long long)size,
				    header->queues_max, header->slots_max);
	}
	return 0;
}

uint64_t hf_ledger_file_bytes(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

int hf_ledger_adopt(struct hf_ledger *ledger, int fd, struct hf_error *err)
{
	return hf_ledger_adopt_at(ledger, fd, NULL, err);
}

int hf_ledger_adopt_at(struct hf_ledger *ledger, int fd, void *ahead,
		       struct hf_error *err)
{
	bool is_sealed = hf_keeps_its_size(fd);
	uint64_t size = hf_ledger_file_bytes(fd);
	struct hf_ledger_header *header = ahead;

	if (!is_sealed || size < sizeof(struct hf_ledger_header)) {
		if (ahead != NULL && size > 0) {
			munmap(ahead, size);
		}
		return hf_error_set(err, -EINVAL,
				    is_sealed
					    ? "the descriptor is too small for "
					      "a ledger"
					    : "the descriptor is no ledger of "
					      "holdfast's: its file is not "
					      "sealed against shrinking");
	}
	if (header == NULL) {
		header = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      fd, 0);
	}
	if (header == MAP_FAILED) {
		return hf_error_set(err, -errno,
				    "the ledger cannot be mapped: "
				    "%s",
				    strerrordesc_np(errno));
	}

	int rc = header_check(header, size, err);
	if (rc != 0) {
		munmap(header, size);
		return rc;
	}
	ledger->fd = fd;
	ledger->header = header;
	ledger->len_bytes = size;
	return 0;
}

int hf_ledger_owner(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK
		       ? (int)lock.l_pid
		       : 0;
}

int hf_ledger_lock(const struct hf_ledger *ledger, struct hf_error *err)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(ledger->fd, F_SETLK, &lock) == 0) {
		return 0;
	}
	return hf_error_set(err, -EBUSY,
			    "%s is still driven by process %d: it must end, or "
			    "hand over, first",
			    ledger->header->device_id,
			    hf_ledger_owner(ledger->fd));
}

void hf_ledger_unlock(const struct hf_ledger *ledger)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	(void)!fcntl(ledger->fd, F_SETLK, &lock);
}

void hf_ledger_close(struct hf_ledger *ledger)
{
	if (ledger->header != NULL) {
		/* Not by what the header says now: others can write to it. */
		munmap(ledger->header, ledger->len_bytes);
		close(ledger->fd);
		ledger->header = NULL;
	}
}

struct hf_ledger_view hf_ledger_queue_view(const struct hf_ledger *ledger,
					   uint32_t index)
{
	const struct hf_ledger_header *header = ledger->header;

	assert(index < header->queues_max);
	uint8_t *at = (uint8_t *)ledger->header + header->queues_offset +
		      index * header->queue_bytes;
	struct hf_ledger_view view = {.queue = (void *)at};
	at += sizeof(*view.queue);
	view.slots = (void *)at;
	at += header->slots_max * sizeof(*view.slots);
	view.records = (void *)at;
	at += header->records_max * sizeof(*view.records);
	view.page_next = (void *)at;
	return view;
}

int hf_ledger_check_counts(const struct hf_ledger *ledger, struct hf_error *err)
{
	const struct hf_ledger_header *header = ledger->header;

	for (uint32_t i = 0; i < header->queues_max; i++) {
		const struct hf_ledger_queue *queue =
			hf_ledger_queue_view(ledger, i).queue;

		/* The admin queue is walked whatever its state says. */
		if ((i == 0 || queue->state != HF_QUEUE_FREE) &&
		    (queue->slot_count > header->slots_max ||
		     queue->record_count > header->records_max ||
		     queue->page_count > header->pages_max)) {
			return hf_error_set(
				err, -EINVAL,
				"the ledger contradicts itself: "
				"queue %u has %u slots of %u, %u "
				"records of %u, %u pages of %u; "
				"clear the device for a fresh "
				"start",
				i, queue->slot_count, header->slots_max,
				queue->record_count, header->records_max,
				queue->page_count, header->pages_max);
		}
	}
	return 0;
}
