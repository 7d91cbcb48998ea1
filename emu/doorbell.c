/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/error.h"
#include "emu/ctrl.h"
#include "emu/queues.h"

/* Sequential consistency on a doorbell's value and on "sleeping" or "starved":
 * either the ringer sees that somebody waits, or who waits sees the value. */
static uint32_t swap_seq_cst(uint32_t *p, uint32_t value)
{
	return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);
}

static uint32_t load_seq_cst(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void count_write(uint64_t *counter)
{
	/* One thread rings a doorbell at a time, or a count may be lost. */
	uint64_t value = __atomic_load_n(counter, __ATOMIC_RELAXED);

	__atomic_store_n(counter, value + 1, __ATOMIC_RELAXED);
}

static void wake_if_asleep(struct hf_emu_worker *worker)
{
	if (load_seq_cst(&worker->sleeping) != 0) {
		hf_emu_worker_wake(worker);
	}
}

static void bad_register(struct hf_emu *emu)
{
	hf_emu_event(emu, NVME_AER_ERROR, NVME_AER_ERROR_INVALID_DB_REG,
		     NVME_LOG_LID_ERROR);
}

static void bad_value(struct hf_emu *emu)
{
	hf_emu_event(emu, NVME_AER_ERROR, NVME_AER_ERROR_INVALID_DB_VAL,
		     NVME_LOG_LID_ERROR);
}

/*
 * A tail that is out of range, or that claims more commands than there is room
 * for, stops the queue until it is created anew. One that says nothing new is
 * reported, and harms nothing.
 */
static void sq_tail(struct hf_emu *emu, struct hf_emu_sq *sq, uint32_t value)
{
	uint32_t entries = hf_emu_load(&sq->entries);
	uint32_t tail = hf_emu_load(&sq->tail);

	if (entries == 0) {
		bad_register(emu);
		return;
	}
	if (value >= entries) {
		hf_emu_store(&sq->stopped, 1);
		bad_value(emu);
		return;
	}
	if (value == tail) {
		bad_value(emu);
		return;
	}

	uint32_t head = hf_emu_load(&sq->head);
	uint32_t added = (value + entries - tail) % entries;
	uint32_t room = (head + entries - tail - 1) % entries;
	if (added > room) {
		hf_emu_store(&sq->stopped, 1);
		bad_value(emu);
		return;
	}
	swap_seq_cst(&sq->tail, value);
}

static void cq_head(struct hf_emu *emu, struct hf_emu_cq *cq, uint32_t value)
{
	uint32_t entries = hf_emu_load(&cq->entries);
	uint32_t head = hf_emu_load(&cq->head);

	if (entries == 0) {
		bad_register(emu);
		return;
	}
	if (value >= entries || value == head) {
		bad_value(emu);
		return;
	}

	uint32_t tail = hf_emu_load(&cq->tail);
	uint32_t taken = (value + entries - head) % entries;
	if (taken > (tail + entries - head) % entries) {
		bad_value(emu);
		return;
	}
	swap_seq_cst(&cq->head, value);
	hf_emu_irq_update_pin(emu);
}

static uint8_t *page_word(const struct hf_emu *emu, uint32_t index)
{
	uint8_t *page = __atomic_load_n(&emu->doorbell_page, __ATOMIC_ACQUIRE);
	uint64_t offset = (uint64_t)index << (2 + emu->options.dstrd);

	if (page == NULL || offset + 4 > emu->doorbell_bytes) {
		return NULL;
	}
	return page + offset;
}

/* The word of a shadow doorbell, or of its event index; NULL when the host has
 * not lent any, or it lies beyond the one page of them. */
static uint32_t *shadow_word(struct hf_emu *emu, uint64_t iova, uint32_t index,
			     unsigned int prot)
{
	uint64_t offset = (uint64_t)index << (2 + emu->options.dstrd);
	uint64_t avail;

	if (iova == 0 || index < 2 || offset + 4 > emu->page_bytes) {
		return NULL;
	}
	return hf_emu_dma_at(&emu->dma, iova + offset, prot, &avail);
}

static uint64_t shadow_iova(const struct hf_emu *emu)
{
	return __atomic_load_n(&emu->shadow_iova, __ATOMIC_ACQUIRE);
}

static bool has_shadow(const struct hf_emu *emu, uint32_t index)
{
	uint64_t offset = (uint64_t)index << (2 + emu->options.dstrd);

	return shadow_iova(emu) != 0 && index >= 2 &&
	       offset + 4 <= emu->page_bytes;
}

void hf_emu_doorbell(struct hf_emu *emu, uint32_t index, uint32_t value)
{
	uint32_t qid = index / 2;
	bool of_cq = (index & 1) != 0;

	value &= 0xffff;
	if (of_cq) {
		if (qid > emu->options.max_cqs ||
		    hf_emu_load(&emu->cqs[qid].valid) == 0) {
			bad_register(emu);
			return;
		}
		struct hf_emu_cq *cq = &emu->cqs[qid];

		count_write(&cq->doorbell_writes);
		if (!has_shadow(emu, index)) {
			cq_head(emu, cq, value);
		}
		if (load_seq_cst(&cq->starved) != 0 || has_shadow(emu, index)) {
			wake_if_asleep(&emu->workers[hf_emu_load(&cq->worker)]);
		}
		return;
	}

	if (qid > emu->options.max_sqs ||
	    hf_emu_load(&emu->sqs[qid].valid) == 0) {
		bad_register(emu);
		return;
	}
	struct hf_emu_sq *sq = &emu->sqs[qid];
	count_write(&sq->doorbell_writes);
	/* With a shadow doorbell the register only says: look there. */
	if (!has_shadow(emu, index)) {
		sq_tail(emu, sq, value);
	}
	wake_if_asleep(&emu->workers[hf_emu_load(&sq->worker)]);
}

static bool take_page(const struct hf_emu *emu, uint32_t index, uint32_t *seen)
{
	uint8_t *word = page_word(emu, index);

	if (word == NULL) {
		return false;
	}
	uint32_t value = hf_load_le32_acquire((const uint32_t *)(void *)word);
	if (value == __atomic_load_n(seen, __ATOMIC_RELAXED)) {
		return false;
	}
	__atomic_store_n(seen, value, __ATOMIC_RELAXED);
	return true;
}

bool hf_emu_sq_page_news(const struct hf_emu *emu, const struct hf_emu_sq *sq)
{
	const uint8_t *word = page_word(emu, sq->qid * 2u);

	return word != NULL && hf_emu_load(&sq->valid) != 0 &&
	       hf_load_le32_acquire((const uint32_t *)(const void *)word) !=
		       __atomic_load_n(&sq->page_seen, __ATOMIC_RELAXED);
}

bool hf_emu_cq_page_news(const struct hf_emu *emu, const struct hf_emu_cq *cq)
{
	const uint8_t *word = page_word(emu, cq->qid * 2u + 1);

	return word != NULL && hf_emu_load(&cq->valid) != 0 &&
	       hf_load_le32_acquire((const uint32_t *)(const void *)word) !=
		       __atomic_load_n(&cq->page_seen, __ATOMIC_RELAXED);
}

void hf_emu_sq_look(struct hf_emu *emu, struct hf_emu_sq *sq)
{
	uint32_t index = sq->qid * 2u;

	if (take_page(emu, index, &sq->page_seen) &&
	    (sq->page_seen & 0xffff) != hf_emu_load(&sq->tail)) {
		sq_tail(emu, sq, sq->page_seen & 0xffff);
	}
	if (has_shadow(emu, index)) {
		const uint32_t *word = shadow_word(emu, shadow_iova(emu), index,
						   HF_EMU_DMA_READ);
		if (word != NULL) {
			uint32_t value = hf_load_le32_acquire(word) & 0xffff;

			if (value != hf_emu_load(&sq->tail) &&
			    hf_emu_load(&sq->stopped) == 0) {
				sq_tail(emu, sq, value);
			}
		}
	}
}

void hf_emu_cq_look(struct hf_emu *emu, struct hf_emu_cq *cq)
{
	uint32_t index = cq->qid * 2u + 1;

	if (take_page(emu, index, &cq->page_seen) &&
	    (cq->page_seen & 0xffff) != hf_emu_load(&cq->head)) {
		cq_head(emu, cq, cq->page_seen & 0xffff);
	}
	if (has_shadow(emu, index)) {
		const uint32_t *word = shadow_word(emu, shadow_iova(emu), index,
						   HF_EMU_DMA_READ);
		uint32_t *event = shadow_word(emu, emu->shadow_event_iova,
					      index, HF_EMU_DMA_WRITE);
		if (word == NULL || event == NULL) {
			return;
		}
		uint32_t value = hf_load_le32_acquire(word) & 0xffff;

		if (value != hf_emu_load(&cq->head)) {
			cq_head(emu, cq, value);
		}
		__atomic_store_n(event, htole32(hf_emu_load(&cq->head)),
				 __ATOMIC_RELAXED);
	}
}

bool hf_emu_sq_arm(struct hf_emu *emu, struct hf_emu_sq *sq)
{
	uint32_t index = sq->qid * 2u;

	if (!has_shadow(emu, index) || hf_emu_load(&sq->stopped) != 0) {
		return true;
	}

	uint32_t *event = shadow_word(emu, emu->shadow_event_iova, index,
				      HF_EMU_DMA_WRITE);
	const uint32_t *word =
		shadow_word(emu, shadow_iova(emu), index, HF_EMU_DMA_READ);
	if (event == NULL || word == NULL) {
		return true;
	}
	/*
	 * The host stores its tail, then reads the event index; this side does
	 * it the other way round. In sequential order one of the two sees the
	 * other's store, so that a command is never left lying.
	 */
	__atomic_store_n(event, htole32(hf_emu_load(&sq->tail)),
			 __ATOMIC_SEQ_CST);
	uint32_t value = le32toh(__atomic_load_n(word, __ATOMIC_SEQ_CST));
	return (value & 0xffff) == hf_emu_load(&sq->tail);
}

void hf_emu_doorbell_clear(struct hf_emu *emu, uint32_t index)
{
	uint8_t *word = page_word(emu, index);

	if (word != NULL) {
		hf_store_le32_release((uint32_t *)(void *)word, 0);
	}
}

static int share(struct hf_emu *emu, struct hf_error *err)
{
	int fd = memfd_create("holdfast-doorbells",
			      MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0) {
		return hf_error_set(err, -errno,
				    "emulated: no memory for the doorbells");
	}
	/* Whoever is given the descriptor must not take the memory away. */
	if (ftruncate(fd, (off_t)(HF_EMU_DOORBELLS + emu->doorbell_bytes)) !=
		    0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) !=
		    0) {
		close(fd);
		return hf_error_set(err, -ENOMEM,
				    "emulated: no memory for the doorbells");
	}

	void *page = mmap(NULL, emu->doorbell_bytes, PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd, HF_EMU_DOORBELLS);
	if (page == MAP_FAILED) {
		close(fd);
		return hf_error_set(err, -ENOMEM,
				    "emulated: cannot map the doorbells");
	}
	emu->doorbell_fd = fd;
	__atomic_store_n(&emu->doorbell_page, page, __ATOMIC_RELEASE);
	return 0;
}

int hf_emu_doorbell_share(struct hf_emu *emu, uint64_t *len_bytes,
			  struct hf_error *err)
{
	int ret = 0;

	pthread_mutex_lock(&emu->regs.lock);
	if (emu->doorbell_fd < 0) {
		if (emu->regs.life != HF_EMU_DISABLED) {
			ret = hf_error_set(err, -EBUSY,
					   "emulated: the controller is "
					   "enabled; share the doorbells "
					   "before");
		} else {
			ret = share(emu, err);
		}
	}
	*len_bytes = emu->doorbell_bytes;
	int fd = emu->doorbell_fd;
	pthread_mutex_unlock(&emu->regs.lock);
	return ret != 0 ? ret : fd;
}
