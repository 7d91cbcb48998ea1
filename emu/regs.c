/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/regs.h"

#include <string.h>

#include "base/checked.h"
#include "emu/ctrl.h"
#include "emu/fault.h"
#include "emu/namespace.h"

#define REG_BYTES     0x1000u
#define NSSR_RESET    0x4e564d65u /* "NVMe" */
#define SQES_LOG2     6u
#define CQES_LOG2     4u
#define AQ_MIN        2u
#define CC_LIVE_MASK  0x00ffc000u /* IOCQES, IOSQES, SHN: while enabled */
#define CC_VALID_MASK 0x01fffff1u

static uint64_t cap_of(const struct hf_emu_options *o)
{
	return (uint64_t)o->mqes_z | (uint64_t)o->cqr << NVME_CAP_CQR_SHIFT |
	       (uint64_t)o->timeout_500ms << NVME_CAP_TO_SHIFT |
	       (uint64_t)o->dstrd << NVME_CAP_DSTRD_SHIFT |
	       UINT64_C(1) << NVME_CAP_NSSRC_SHIFT |
	       (uint64_t)o->css << NVME_CAP_CSS_SHIFT |
	       (uint64_t)o->mpsmin << NVME_CAP_MPSMIN_SHIFT |
	       (uint64_t)o->mpsmax << NVME_CAP_MPSMAX_SHIFT |
	       UINT64_C(1) << NVME_CAP_CRMS_SHIFT;
}

void hf_emu_regs_init(struct hf_emu *emu)
{
	pthread_mutex_init(&emu->regs.lock, NULL);
	emu->regs.cap = cap_of(&emu->options);
	emu->regs.wake_ns = UINT64_MAX;
}

void hf_emu_regs_fini(struct hf_emu *emu)
{
	pthread_mutex_destroy(&emu->regs.lock);
}

static bool cc_valid(const struct hf_emu *emu, uint32_t cc)
{
	const struct hf_emu_options *o = &emu->options;
	uint32_t css = NVME_CC_CSS(cc);
	uint32_t sqes = NVME_CC_IOSQES(cc);
	uint32_t cqes = NVME_CC_IOCQES(cc);
	bool css_ok = (css == NVME_CC_CSS_NVM && (o->css & 0x01) != 0) ||
		      (css == NVME_CC_CSS_CSI && (o->css & 0x40) != 0) ||
		      (css == NVME_CC_CSS_ADMIN && (o->css & 0x80) != 0);

	/* Entry sizes may be set after enabling: 0 is "not yet". */
	return css_ok && NVME_CC_AMS(cc) == NVME_CC_AMS_RR &&
	       NVME_CC_MPS(cc) >= o->mpsmin && NVME_CC_MPS(cc) <= o->mpsmax &&
	       (sqes == 0 || sqes == SQES_LOG2) &&
	       (cqes == 0 || cqes == CQES_LOG2);
}

uint32_t hf_emu_cc(const struct hf_emu *emu)
{
	return hf_emu_load(&emu->regs.cc);
}

static uint16_t start_admin_queue(struct hf_emu *emu)
{
	struct hf_emu_regs *regs = &emu->regs;
	struct hf_emu_ring_place sq = {
		.entries = (regs->aqa & 0xfff) + 1,
		.entry_bytes = sizeof(struct nvme_sqe),
		.prot = HF_EMU_DMA_READ,
		.contiguous = true,
		.prp1 = regs->asq,
	};
	struct hf_emu_ring_place cq = {
		.entries = ((regs->aqa >> 16) & 0xfff) + 1,
		.entry_bytes = sizeof(struct nvme_cqe),
		.prot = HF_EMU_DMA_WRITE,
		.contiguous = true,
		.prp1 = regs->acq,
	};

	if (sq.entries < AQ_MIN || cq.entries < AQ_MIN) {
		return NVME_SC_INVALID_FIELD;
	}
	uint16_t status = hf_emu_cq_start(emu, 0, 0, true, &cq);
	if (status == 0) {
		status = hf_emu_sq_start(emu, 0, 0, &sq);
		if (status != 0) {
			hf_emu_cq_stop(emu, 0);
		}
	}
	return status;
}

static void become_ready(struct hf_emu *emu)
{
	struct hf_emu_regs *regs = &emu->regs;

	emu->page_bytes = 4096u << NVME_CC_MPS(regs->cc);
	hf_emu_lock_all(emu);
	uint16_t status = start_admin_queue(emu);
	hf_emu_unlock_all(emu);
	if (status != 0) {
		hf_emu_fatal(emu, "the admin queue cannot be used");
		return;
	}
	regs->life = HF_EMU_READY;
	regs->enables++;
	hf_emu_store(&emu->running, 1);
	hf_log_info(&emu->log, "emulated %s: enabled", emu->serial);
}

void hf_emu_stop_all(struct hf_emu *emu)
{
	hf_emu_store(&emu->running, 0);
	hf_emu_lock_all(emu);
	for (uint32_t i = 0; i < emu->worker_count; i++) {
		hf_emu_worker_forget(&emu->workers[i]);
	}
	for (uint32_t i = 0; i <= emu->options.max_sqs; i++) {
		hf_emu_sq_stop(emu, (uint16_t)i);
	}
	for (uint32_t i = 0; i <= emu->options.max_cqs; i++) {
		hf_emu_cq_stop(emu, (uint16_t)i);
	}
	__atomic_store_n(&emu->shadow_iova, 0, __ATOMIC_RELEASE);
	emu->shadow_event_iova = 0;
	hf_emu_unlock_all(emu);
	hf_namespaces_reset(emu);
	hf_emu_aer_reset(emu);
	hf_emu_features_reset(emu);
	hf_emu_logs_reset(emu);
	hf_emu_irq_reset(emu);
}

static uint64_t after(const struct hf_emu *emu, uint64_t delay_ns)
{
	uint64_t now_ns = hf_emu_now_ns(emu);

	return delay_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + delay_ns;
}

static void set_wake(struct hf_emu *emu)
{
	struct hf_emu_regs *regs = &emu->regs;
	uint64_t wake_ns = UINT64_MAX;

	if (regs->life == HF_EMU_ENABLING || regs->life == HF_EMU_DISABLING) {
		wake_ns = regs->due_ns;
	}
	if (regs->shst == NVME_CSTS_SHST_OCCUR) {
		wake_ns = HF_MIN(wake_ns, regs->shutdown_due_ns);
	}
	__atomic_store_n(&regs->wake_ns, wake_ns, __ATOMIC_RELEASE);
	hf_emu_worker_wake(&emu->workers[0]);
}

static void start_enabling(struct hf_emu *emu, uint64_t extra_ns)
{
	struct hf_emu_regs *regs = &emu->regs;

	regs->enable_next = false;
	regs->life = HF_EMU_ENABLING;
	if (!cc_valid(emu, regs->cc)) {
		regs->due_ns = UINT64_MAX;
		hf_emu_fatal(emu, "CC asks for what CAP does not offer");
		return;
	}
	regs->due_ns = after(
		emu, emu->options.enable_delay_us * UINT64_C(1000) + extra_ns);
}

static void settle_locked(struct hf_emu *emu)
{
	struct hf_emu_regs *regs = &emu->regs;

	if (__atomic_load_n(&regs->wake_ns, __ATOMIC_RELAXED) == UINT64_MAX) {
		return;
	}

	uint64_t now_ns = hf_emu_now_ns(emu);
	if (regs->life == HF_EMU_DISABLING && now_ns >= regs->due_ns) {
		regs->life = HF_EMU_DISABLED;
		if (regs->enable_next) {
			start_enabling(emu, 0);
		}
	}
	if (regs->life == HF_EMU_ENABLING && now_ns >= regs->due_ns) {
		regs->due_ns = UINT64_MAX;
		become_ready(emu);
	}
	if (regs->shst == NVME_CSTS_SHST_OCCUR &&
	    now_ns >= regs->shutdown_due_ns) {
		(void)!hf_emu_flush(emu);
		regs->shst = NVME_CSTS_SHST_CMPLT;
	}
	set_wake(emu);
}

void hf_emu_regs_settle(struct hf_emu *emu)
{
	struct hf_emu_regs *regs = &emu->regs;
	uint64_t wake_ns = __atomic_load_n(&regs->wake_ns, __ATOMIC_ACQUIRE);

	if (wake_ns == UINT64_MAX || hf_emu_now_ns(emu) < wake_ns) {
		return;
	}
	pthread_mutex_lock(&regs->lock);
	settle_locked(emu);
	pthread_mutex_unlock(&regs->lock);
}

static void disable(struct hf_emu *emu, uint64_t extra_ns)
{
	struct hf_emu_regs *regs = &emu->regs;
	bool was_ready = regs->life == HF_EMU_READY;

	hf_emu_stop_all(emu);
	regs->resets++;
	regs->enable_next = false;
	regs->shst = NVME_CSTS_SHST_NORMAL;
	hf_emu_store(&emu->fatal, 0);
	regs->life = HF_EMU_DISABLED;
	if (was_ready) {
		regs->life = HF_EMU_DISABLING;
		regs->due_ns = after(emu, emu->options.disable_delay_us *
							  UINT64_C(1000) +
						  extra_ns);
	}
	hf_log_info(&emu->log, "emulated %s: disabled", emu->serial);
}

static void write_cc(struct hf_emu *emu, uint32_t cc, uint64_t extra_ns)
{
	struct hf_emu_regs *regs = &emu->regs;
	uint32_t old = regs->cc;

	cc &= CC_VALID_MASK;
	if (NVME_CC_EN(old) != 0 && NVME_CC_EN(cc) != 0) {
		/* The rest may not change while enabled; a device ignores it.
		 */
		cc = (old & ~CC_LIVE_MASK) | (cc & CC_LIVE_MASK);
	}
	hf_emu_store(&regs->cc, cc);
	if (NVME_CC_EN(old) == 0 && NVME_CC_EN(cc) != 0) {
		if (regs->life == HF_EMU_DISABLING) {
			regs->enable_next = true;
		} else {
			start_enabling(emu, extra_ns);
		}
	} else if (NVME_CC_EN(old) != 0 && NVME_CC_EN(cc) == 0) {
		disable(emu, extra_ns);
	} else if (NVME_CC_EN(cc) != 0 && !cc_valid(emu, cc)) {
		hf_emu_fatal(emu, "CC was changed to what CAP does not offer");
	}

	if (NVME_CC_SHN(cc) != 0 && NVME_CC_SHN(old) == 0) {
		regs->shst = NVME_CSTS_SHST_OCCUR;
		regs->shutdown_due_ns = after(
			emu, emu->options.shutdown_delay_us * UINT64_C(1000));
	}
	set_wake(emu);
	settle_locked(emu);
}

static uint32_t csts(struct hf_emu *emu)
{
	const struct hf_emu_regs *regs = &emu->regs;
	bool rdy = regs->life == HF_EMU_READY || regs->life == HF_EMU_DISABLING;

	return (uint32_t)rdy |
	       (hf_emu_load(&emu->fatal) != 0 ? 1u : 0u)
		       << NVME_CSTS_CFS_SHIFT |
	       regs->shst << NVME_CSTS_SHST_SHIFT |
	       (uint32_t)regs->nssro << NVME_CSTS_NSSRO_SHIFT;
}

static uint32_t read32(struct hf_emu *emu, uint64_t offset)
{
	const struct hf_emu_regs *regs = &emu->regs;
	uint32_t timeout = emu->options.timeout_500ms;

	switch (offset) {
	case NVME_REG_CAP:
		return (uint32_t)regs->cap;
	case NVME_REG_CAP + 4:
		return (uint32_t)(regs->cap >> 32);
	case NVME_REG_VS:
		return emu->options.version;
	case NVME_REG_INTMS:
	case NVME_REG_INTMC:
		return hf_emu_load(&emu->irq.intms);
	case NVME_REG_CC:
		return regs->cc;
	case NVME_REG_CSTS:
		return csts(emu);
	case NVME_REG_AQA:
		return regs->aqa;
	case NVME_REG_ASQ:
		return (uint32_t)regs->asq;
	case NVME_REG_ASQ + 4:
		return (uint32_t)(regs->asq >> 32);
	case NVME_REG_ACQ:
		return (uint32_t)regs->acq;
	case NVME_REG_ACQ + 4:
		return (uint32_t)(regs->acq >> 32);
	case NVME_REG_CRTO:
		return timeout | timeout << 16;
	default:
		return 0;
	}
}

static void function_reset_locked(struct hf_emu *emu)
{
	struct hf_emu_regs *regs = &emu->regs;

	hf_emu_stop_all(emu);
	regs->resets++;
	regs->life = HF_EMU_DISABLED;
	regs->enable_next = false;
	regs->shst = NVME_CSTS_SHST_NORMAL;
	hf_emu_store(&regs->cc, 0);
	regs->aqa = 0;
	regs->asq = 0;
	regs->acq = 0;
	regs->nssro = false;
	hf_emu_store(&emu->irq.intms, 0);
	hf_emu_store(&emu->fatal, 0);
	hf_emu_store(&emu->gone, 0);
	set_wake(emu);
}

static void set_half(uint64_t *reg, bool high, uint32_t value)
{
	if (high) {
		*reg = (*reg & UINT32_MAX) | (uint64_t)value << 32;
	} else {
		*reg = (*reg & ~(uint64_t)UINT32_MAX) | (value & ~0xfffu);
	}
}

static void write32(struct hf_emu *emu, uint64_t offset, uint32_t value,
		    uint64_t extra_ns)
{
	struct hf_emu_regs *regs = &emu->regs;
	uint32_t intms = hf_emu_load(&emu->irq.intms);

	switch (offset) {
	case NVME_REG_INTMS:
		hf_emu_store(&emu->irq.intms, intms | value);
		hf_emu_irq_update_pin(emu);
		break;
	case NVME_REG_INTMC:
		hf_emu_store(&emu->irq.intms, intms & ~value);
		hf_emu_irq_update_pin(emu);
		break;
	case NVME_REG_CC:
		write_cc(emu, value, extra_ns);
		break;
	case NVME_REG_CSTS:
		if ((value & (1u << NVME_CSTS_NSSRO_SHIFT)) != 0) {
			regs->nssro = false;
		}
		break;
	case NVME_REG_NSSR:
		if (value == NSSR_RESET) {
			function_reset_locked(emu);
			regs->nssro = true;
		}
		break;
	case NVME_REG_AQA:
		regs->aqa = value & 0x0fff0fff;
		break;
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		set_half(&regs->asq, offset != NVME_REG_ASQ, value);
		break;
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		set_half(&regs->acq, offset != NVME_REG_ACQ, value);
		break;
	default:
		break;
	}
}

static bool access_ok(const struct hf_emu *emu, uint64_t offset,
		      uint32_t len_bytes)
{
	return (len_bytes == 4 || len_bytes == 8) && hf_is_aligned(offset, 4) &&
	       hf_range_within(offset, len_bytes, hf_emu_bar_bytes(emu));
}

static bool faulty(struct hf_emu *emu, uint64_t offset, uint32_t len_bytes,
		   bool write, uint64_t *value,
		   struct hf_fault_register_verdict *verdict)
{
	if ((hf_faults_armed(emu->faults) & HF_FAULT_SITE_REGISTER) == 0 ||
	    !hf_fault_register(emu->faults, offset, len_bytes, write, *value,
			       verdict)) {
		return false;
	}
	if ((verdict->actions & HF_FAULT_REG_CFS) != 0) {
		hf_emu_fatal(emu, "a fault rule says so");
	}
	if ((verdict->actions & HF_FAULT_REG_GONE) != 0) {
		hf_emu_gone(emu);
	}
	if ((verdict->actions & HF_FAULT_REG_VALUE) != 0) {
		*value = (*value & ~verdict->mask) |
			 (verdict->bits & verdict->mask);
	}
	return true;
}

uint64_t hf_emu_reg_read(struct hf_emu *emu, uint64_t offset,
			 uint32_t len_bytes)
{
	uint64_t ones = len_bytes == 4 ? UINT32_MAX : UINT64_MAX;
	struct hf_fault_register_verdict verdict = {0};
	uint64_t value = 0;

	if (!access_ok(emu, offset, len_bytes) ||
	    hf_emu_load(&emu->gone) != 0) {
		return ones;
	}
	if (offset >= REG_BYTES) {
		return 0;
	}

	pthread_mutex_lock(&emu->regs.lock);
	emu->regs.reads++;
	settle_locked(emu);
	value = read32(emu, offset);
	if (len_bytes == 8) {
		value |= (uint64_t)read32(emu, offset + 4) << 32;
	}
	pthread_mutex_unlock(&emu->regs.lock);
	(void)!faulty(emu, offset, len_bytes, false, &value, &verdict);
	if (hf_emu_load(&emu->gone) != 0) {
		return ones;
	}
	return value & ones;
}

static void write_doorbell(struct hf_emu *emu, uint64_t offset, uint32_t value)
{
	uint64_t relative = offset - HF_EMU_DOORBELLS;
	uint32_t shift = 2 + emu->options.dstrd;

	if (!hf_emu_runs(emu) || hf_emu_load(&emu->fatal) != 0 ||
	    !hf_is_aligned(relative, UINT64_C(1) << shift)) {
		return;
	}
	hf_emu_doorbell(emu, (uint32_t)(relative >> shift), value);
}

void hf_emu_reg_write(struct hf_emu *emu, uint64_t offset, uint32_t len_bytes,
		      uint64_t value)
{
	struct hf_fault_register_verdict verdict = {0};

	if (!access_ok(emu, offset, len_bytes) ||
	    hf_emu_load(&emu->gone) != 0) {
		return;
	}
	if (offset >= REG_BYTES) {
		write_doorbell(emu, offset, (uint32_t)value);
		if (len_bytes == 8) {
			write_doorbell(emu, offset + 4,
				       (uint32_t)(value >> 32));
		}
		return;
	}
	if (faulty(emu, offset, len_bytes, true, &value, &verdict) &&
	    ((verdict.actions & HF_FAULT_REG_IGNORE) != 0 ||
	     hf_emu_load(&emu->gone) != 0)) {
		return;
	}

	uint64_t extra_ns = (verdict.actions & HF_FAULT_REG_DELAY) != 0
				    ? verdict.delay_ns
				    : 0;
	pthread_mutex_lock(&emu->regs.lock);
	emu->regs.writes++;
	settle_locked(emu);
	write32(emu, offset, (uint32_t)value, extra_ns);
	if (len_bytes == 8) {
		write32(emu, offset + 4, (uint32_t)(value >> 32), extra_ns);
	}
	pthread_mutex_unlock(&emu->regs.lock);
}

void hf_emu_regs_function_reset(struct hf_emu *emu)
{
	pthread_mutex_lock(&emu->regs.lock);
	function_reset_locked(emu);
	pthread_mutex_unlock(&emu->regs.lock);
}
