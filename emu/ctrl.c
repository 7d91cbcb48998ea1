/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/ctrl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "emu/fault.h"
#include "emu/namespace.h"

#define IO_WORKERS_AUTO 4
#define PAGE            4096u

void hf_emu_options_init(struct hf_emu_options *options)
{
	*options = (struct hf_emu_options){
		.size = sizeof(*options),
		.serial = "HOLDFAST0001",
		.model = "holdfast emulated controller",
		.firmware = "1.0",
		.vid = 0x1b36,
		.ssvid = 0x1af4,
		.cntlid = 1,
		.version = 0x00020000,
		.mqes_z = 1023,
		.cqr = true,
		.timeout_500ms = 10,
		.css = 0x41,
		.mpsmax = 4,
		.max_sqs = 64,
		.max_cqs = 64,
		.vectors = 64,
		.mdts = 5,
		.aerl_z = 7,
		.acl_z = 3,
		.oncs = NVME_CTRL_ONCS_COMPARE | NVME_CTRL_ONCS_DSM |
			NVME_CTRL_ONCS_WRITE_ZEROES |
			NVME_CTRL_ONCS_SAVE_FEATURES |
			NVME_CTRL_ONCS_RESERVATIONS | NVME_CTRL_ONCS_TIMESTAMP |
			NVME_CTRL_ONCS_VERIFY,
		.oacs = NVME_CTRL_OACS_DBBUF_CFG,
		.vwc = true,
		.sgls = 0x00010001, /* any alignment; bit buckets */
		.nn = 256,
		.rtd3e_us = 1000000,
		.serve = HF_EMU_THREADS,
		.spin_us = 50,
		.idle_poll_max_us = 4000,
	};
}

static int bad(struct hf_error *err, const char *what)
{
	return hf_error_set(err, -EINVAL, "emulated: %s", what);
}

static int check_options(const struct hf_emu_options *o, struct hf_error *err)
{
	if (o->serial == NULL || strlen(o->serial) > 20 || o->model == NULL ||
	    strlen(o->model) > 40 || o->firmware == NULL ||
	    strlen(o->firmware) > 8) {
		return bad(err, "serial, model and firmware hold at most 20, "
				"40 and 8 characters");
	}
	if (o->subnqn != NULL && strlen(o->subnqn) > 223) {
		return bad(err, "the subsystem name holds at most 223 bytes");
	}
	if (o->max_sqs < 1 || o->max_sqs > 1023 || o->max_cqs < 1 ||
	    o->max_cqs > 1023) {
		return bad(err, "there are 1 to 1023 I/O queues of each kind");
	}
	if (o->vectors < 1 || o->vectors > 2048) {
		return bad(err, "there are 1 to 2048 interrupt vectors");
	}
	if (o->dstrd > 15 || o->mpsmin > 15 || o->mpsmax > 15 ||
	    o->mpsmin > o->mpsmax) {
		return bad(err, "DSTRD, MPSMIN and MPSMAX are at most 15, and "
				"MPSMIN is not above MPSMAX");
	}
	if (o->mdts != 0 && o->mdts + o->mpsmin > 20) {
		return bad(err, "MDTS is beyond what can be transferred");
	}
	if (o->nn == 0 || o->nn > 1024) {
		return bad(err, "NN is 1 to 1024");
	}
	if (o->io_workers > 1024 || o->enable_delay_us > UINT32_MAX ||
	    o->disable_delay_us > UINT32_MAX ||
	    o->shutdown_delay_us > UINT32_MAX || o->spin_us > 1000000) {
		return bad(err, "too many threads, or a delay of over an hour");
	}
	if (o->cpu_count != 0 && o->cpus == NULL) {
		return bad(err, "a CPU count came without CPUs");
	}
	return 0;
}

static uint32_t count_io_workers(const struct hf_emu_options *o)
{
	if (o->serve == HF_EMU_MANUAL) {
		return 1;
	}
	if (o->io_workers != 0) {
		return o->io_workers;
	}
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus < 1) {
		cpus = 1;
	}
	return (uint32_t)HF_MIN(cpus, IO_WORKERS_AUTO);
}

static uint64_t doorbell_bytes(const struct hf_emu_options *o)
{
	uint64_t queues = HF_MAX(o->max_sqs, o->max_cqs) + UINT64_C(1);
	uint64_t bytes = queues * 2 * (UINT64_C(4) << o->dstrd);

	return (bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

uint32_t hf_emu_vectors(const struct hf_emu *emu)
{
	return emu->options.vectors;
}

uint64_t hf_emu_bar_bytes(const struct hf_emu *emu)
{
	uint64_t wanted = HF_EMU_DOORBELLS + emu->doorbell_bytes;
	uint64_t bytes = 2 * PAGE;

	while (bytes < wanted) {
		bytes *= 2;
	}
	return bytes;
}

static int copy_options(struct hf_emu *emu,
			const struct hf_emu_options *options)
{
	const struct hf_emu_options *o = options;

	emu->options = *o;
	snprintf(emu->serial, sizeof(emu->serial), "%s", o->serial);
	snprintf(emu->model, sizeof(emu->model), "%s", o->model);
	snprintf(emu->firmware, sizeof(emu->firmware), "%s", o->firmware);
	if (o->subnqn != NULL) {
		snprintf(emu->subnqn, sizeof(emu->subnqn), "%s", o->subnqn);
	} else {
		snprintf(emu->subnqn, sizeof(emu->subnqn),
			 "nqn.2024-01.io.holdfast:%s", emu->serial);
	}
	emu->options.serial = emu->serial;
	emu->options.model = emu->model;
	emu->options.firmware = emu->firmware;
	emu->options.subnqn = emu->subnqn;
	emu->options.io_workers = count_io_workers(o);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		emu->options.spin_us = 0; /* the ringer needs this CPU */
	}
	if (o->log != NULL) {
		emu->log = *o->log;
		emu->options.log = &emu->log;
	}
	if (o->cpu_count != 0) {
		emu->cpus = calloc(o->cpu_count, sizeof(emu->cpus[0]));
		if (emu->cpus == NULL) {
			return -ENOMEM;
		}
		memcpy(emu->cpus, o->cpus, o->cpu_count * sizeof(o->cpus[0]));
	}
	emu->options.cpus = emu->cpus;
	return 0;
}

static int alloc_queues(struct hf_emu *emu)
{
	uint32_t sqs = emu->options.max_sqs + 1u;
	uint32_t cqs = emu->options.max_cqs + 1u;

	emu->sqs = aligned_alloc(64, sqs * sizeof(emu->sqs[0]));
	emu->cqs = aligned_alloc(64, cqs * sizeof(emu->cqs[0]));
	if (emu->sqs == NULL || emu->cqs == NULL) {
		return -ENOMEM;
	}
	memset(emu->sqs, 0, sqs * sizeof(emu->sqs[0]));
	memset(emu->cqs, 0, cqs * sizeof(emu->cqs[0]));
	for (uint32_t i = 0; i < sqs; i++) {
		emu->sqs[i].qid = (uint16_t)i;
	}
	for (uint32_t i = 0; i < cqs; i++) {
		emu->cqs[i].qid = (uint16_t)i;
		hf_list_init(&emu->cqs[i].backlog);
		hf_list_init(&emu->cqs[i].swapped);
	}
	return 0;
}

static int build(struct hf_emu *emu, const struct hf_emu_options *options)
{
	int ret = copy_options(emu, options);

	/* Each of these leaves what hf_emu_destroy() can take apart. */
	emu->doorbell_bytes = doorbell_bytes(&emu->options);
	hf_emu_regs_init(emu);
	hf_emu_aer_init(&emu->aer);
	hf_emu_logs_init(emu);
	if (ret == 0) {
		ret = hf_emu_irq_init(&emu->irq, emu->options.vectors);
	}
	if (ret == 0) {
		ret = hf_emu_dma_init(&emu->dma);
	}
	if (ret == 0) {
		ret = alloc_queues(emu);
	}
	if (ret == 0) {
		ret = hf_emu_workers_init(emu);
	}
	if (ret == 0) {
		ret = hf_emu_features_init(emu);
	}
	if (ret == 0) {
		ret = hf_namespaces_create(&emu->namespaces, emu->options.nn);
	}
	if (ret == 0) {
		ret = hf_faults_create(&emu->faults);
	}
	return ret;
}

int hf_emu_create(struct hf_emu **emu, const struct hf_emu_options *options,
		  struct hf_error *err)
{
	struct hf_emu_options defaults;

	*emu = NULL;
	if (options == NULL) {
		hf_emu_options_init(&defaults);
		options = &defaults;
	}
	if (options->size != sizeof(*options)) {
		return bad(err, "the options have another version's size");
	}
	int ret = check_options(options, err);
	if (ret != 0) {
		return ret;
	}

	struct hf_emu *made = calloc(1, sizeof(*made));
	if (made == NULL) {
		return hf_error_set(err, -ENOMEM, "emulated: out of memory");
	}
	made->doorbell_fd = -1;
	made->page_bytes = PAGE;
	ret = build(made, options);
	if (ret == 0 && made->options.serve == HF_EMU_THREADS) {
		ret = hf_emu_workers_start(made);
	}
	if (ret != 0) {
		hf_emu_destroy(made);
		return hf_error_set(err, ret,
				    "emulated: no memory or threads for a "
				    "controller");
	}
	*emu = made;
	return 0;
}

void hf_emu_destroy(struct hf_emu *emu)
{
	if (emu == NULL) {
		return;
	}
	if (emu->faults != NULL) {
		hf_emu_reset(emu); /* it was built to its end */
	}
	hf_emu_workers_fini(emu);
	hf_namespaces_destroy(emu->namespaces);
	hf_faults_destroy(emu->faults);
	hf_emu_features_fini(emu);
	hf_emu_dma_fini(&emu->dma);
	hf_emu_irq_fini(&emu->irq);
	hf_emu_logs_fini(emu);
	hf_emu_aer_fini(&emu->aer);
	hf_emu_regs_fini(emu);
	if (emu->doorbell_page != NULL) {
		munmap(emu->doorbell_page, emu->doorbell_bytes);
	}
	if (emu->doorbell_fd >= 0) {
		close(emu->doorbell_fd);
	}
	free(emu->sqs);
	free(emu->cqs);
	free(emu->cpus);
	free(emu);
}

const struct hf_emu_options *hf_emu_options_of(const struct hf_emu *emu)
{
	return &emu->options;
}

struct hf_namespaces *hf_emu_namespaces_of(struct hf_emu *emu)
{
	return emu->namespaces;
}

struct hf_faults *hf_emu_faults_of(struct hf_emu *emu)
{
	return emu->faults;
}

uint64_t hf_emu_now_ns(const struct hf_emu *emu)
{
	if (emu->options.serve == HF_EMU_MANUAL) {
		return __atomic_load_n(&emu->manual_ns, __ATOMIC_RELAXED);
	}
	return hf_now_ns();
}

void hf_emu_fatal(struct hf_emu *emu, const char *why)
{
	if (__atomic_exchange_n(&emu->fatal, 1, __ATOMIC_ACQ_REL) == 0) {
		hf_log_warning(&emu->log, "emulated %s: fatal: %s", emu->serial,
			       why);
	}
}

void hf_emu_gone(struct hf_emu *emu)
{
	hf_emu_store(&emu->gone, 1);
	hf_log_info(&emu->log, "emulated %s: gone", emu->serial);
}

void hf_emu_reset(struct hf_emu *emu)
{
	hf_emu_regs_function_reset(emu);
}

void hf_emu_power_fail(struct hf_emu *emu)
{
	hf_emu_reset(emu);
	hf_namespaces_power_fail(emu);
	pthread_mutex_lock(&emu->logs.lock);
	emu->logs.power_cycles++;
	emu->logs.unsafe_shutdowns++;
	pthread_mutex_unlock(&emu->logs.lock);
}

int hf_emu_flush(struct hf_emu *emu)
{
	return hf_namespaces_flush(emu);
}

static bool arm_all(struct hf_emu *emu)
{
	bool armed = true;

	for (uint32_t i = 0; i < emu->worker_count; i++) {
		armed = hf_emu_worker_arm(&emu->workers[i]) && armed;
	}
	return armed;
}

uint32_t hf_emu_process(struct hf_emu *emu, uint32_t max_commands)
{
	uint32_t total = 0;
	bool idle = false;
	bool looked_again = false;

	while (!idle && total < max_commands) {
		idle = true;
		hf_emu_regs_settle(emu);
		for (uint32_t i = 0; i < emu->worker_count; i++) {
			uint32_t done = hf_emu_worker_round(
				&emu->workers[i], max_commands - total);

			total += done;
			idle = idle && done == 0;
		}
		if (idle && !arm_all(emu) && !looked_again) {
			looked_again = true;
			idle = false;
		}
	}
	return total;
}

void hf_emu_advance(struct hf_emu *emu, uint64_t ns)
{
	__atomic_fetch_add(&emu->manual_ns, ns, __ATOMIC_RELAXED);
}
