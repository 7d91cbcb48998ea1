/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver of one controller: everything it has, under one control lock. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "driver/ctrl.h"
#include "driver/events.h"
#include "driver/job.h"
#include "driver/keep.h"
#include "holdfast/driver.h"
#include "holdfast/io.h"
#include "namespace/namespace.h"
#include "queue/issuer.h"
#include "state/ledger.h"

enum hf_driver_state {
	HF_DRIVER_STARTING,
	HF_DRIVER_READY,
	HF_DRIVER_RECOVERING, /* the controller is being reset */
	HF_DRIVER_CLOSING,
	HF_DRIVER_FAILED, /* for good: drv->failure says why */
};

enum {
	HF_AER_MAX = 4,    /* Asynchronous Event Requests kept outstanding */
	HF_SWEEP_MS = 500, /* how often it moves */
	HF_RESET_NOTES = 8,
	/* Twice the largest block, 64 KiB, for one that is copied. */
	HF_POOL_PAGES_MIN = 32,
	/* Registers that read as ones for longer: the device is gone. */
	HF_VANISHED_MS = 500,
};

/* A reset of the controller, for inspect. */
struct hf_reset_note {
	uint64_t began_ns;
	uint64_t ended_ns;
	uint32_t tries;
	int result;
	bool over;
	char why[128];
};

/* Lines that a device can cause, each kind bounded by itself. */
enum hf_quiet {
	HF_QUIET_REFUSED,
	HF_QUIET_ABORT,
	HF_QUIET_INTERRUPT,
	HF_QUIET_RESET,
	HF_QUIET_BACK,
	HF_QUIET_EVENT,
	HF_QUIET_NAMESPACE,
	HF_QUIET_QUEUE,
	HF_QUIET_FEATURE,
	HF_QUIET_KINDS,
};

/* An asynchronous event that came, and what is left to do about it. */
struct hf_aer {
	struct hf_driver *drv;
	bool outstanding;
	bool came;
	uint32_t dw0;
};

/* What Identify says of one namespace. */
struct hf_scan {
	uint32_t phase; /* 0 when none is under way */
	int rc;         /* 0, or why it cannot be used */
	struct hf_ns_geometry geometry;
	struct hf_ns_identity identity;
	struct hf_error error;
	uint8_t identify[4096]; /* as the controller gave it */
};

struct hf_driver {
	struct hf_device *dev;
	struct hf_driver_options options;
	struct hf_log log;

	/* The outermost lock. The admin queue is reaped under it, so that
	 * control work sees completions one at a time. */
	pthread_mutex_t control;
	enum hf_driver_state state; /* atomic */
	struct hf_error failure;

	struct hf_ctrl ctrl;
	struct hf_ledger ledger;
	struct hf_io_limits limits;
	uint32_t tick; /* atomic; HF_TICK_MS each, or HF_TICK_ASLEEP */
	uint32_t now;  /* the same clock, which never sleeps */
	struct hf_retry_policy retry;
	bool retries_wait;     /* atomic: a queue has commands to send again */
	uint64_t retry_due_ns; /* when the next of them is due */

	struct hf_qpair *admin;
	struct hf_dma_block shadow; /* shadow doorbells; empty: none */
	struct hf_issuers issuers;
	struct hf_qpair **io; /* by queue identifier less one; NULL: none */
	uint32_t io_max;      /* granted and useful */
	uint32_t io_count;
	uint64_t *wanted; /* atomic: a bit for each CPU that asked */

	struct hf_list jobs;    /* one after the other; see also hf_keep */
	struct hf_job bring_up; /* in front of all others */
	bool bringing_up;
	struct hf_list namespaces; /* of struct hf_namespace */
	struct hf_aer aers[HF_AER_MAX];
	uint32_t aer_count;
	uint32_t aer_turn; /* whose event is looked at first */
	bool aer_job_queued;
	struct hf_job aer_job;
	struct hf_event_ring events;
	uint8_t *scratch;       /* 4096 bytes of the job that runs, and as many
				 * of the one that brings up */
	uint32_t changed[1024]; /* namespaces that an event named */
	uint32_t changed_count;
	struct hf_scan scan; /* of the namespace that a job identifies */
	uint32_t resets;
	struct hf_reset_note reset_notes[HF_RESET_NOTES]; /* the last of them */
	uint32_t aborts;
	uint32_t aborts_done;     /* the controller says that it did */
	uint32_t aborts_not_done; /* that it could not */
	uint32_t aborts_failed;   /* that this failed */
	struct hf_log_limit quiet[HF_QUIET_KINDS];
	uint64_t lost_interrupts; /* completions found without one */
	uint32_t sweep_tick;      /* of the last look for overdue commands */
	uint64_t sweep_submitted; /* commands that there ever were, then */
	bool abort_outstanding;
	uint32_t recoveries;   /* tries that failed, in a row */
	uint32_t flaps;        /* resets that followed one another closely */
	uint64_t recovered_ns; /* when the controller last came up */
	uint64_t lies;         /* atomic: completions that were not believed */
	bool suspect;          /* atomic: the device lied */
	bool saved;            /* stopped, for a successor */
	struct hf_steps save_steps;
	bool keepalive;                    /* atomic: it may be saved */
	enum hf_device_class device_class; /* AUTO: nothing is known */
	bool is_quiet;                     /* no admin command once it is up */
	bool draining;       /* nothing new is issued until drain_left is 0 */
	uint32_t drain_left; /* atomic: inherited I/O without an owner */
	uint32_t inherited_admin; /* a predecessor's admin commands */
	bool found_failed;        /* the controller, when it was taken over */
	bool admin_doubtful;      /* its doorbell may not have been rung */
	bool *io_doubtful;        /* the same for each I/O queue */
	bool unstoppable; /* it may touch memory for as long as it has power */
	bool removal_told;
	bool vanished;  /* its registers read as ones, and it was reset */
	bool must_tell; /* commands were ended, whose callers wait to be told */
	int end_waiting; /* not 0: what waits for its turn ends with this */
	bool over;       /* atomic: it failed, and everything has ended */

	struct hf_keep keep; /* who has descriptors kept for a successor */

	int epoll_fd; /* what hf_driver_fd() gives */
	int kick_fd;  /* eventfd: look at wanted, suspect, jobs */
	int timer_fd;

	/* Who waits for control work to go on; see hf_control_wait(). */
	pthread_mutex_t progress_lock;
	pthread_cond_t progress;
	int progress_fd; /* eventfd: somebody else has done control work */
	bool leader;
	bool leader_sleeps; /* and is to be told of it by progress_fd */

	struct hf_runtime *runtime; /* tier 6; NULL without threads */
};

/* Makes hf_driver_process() run soon. Any thread. */
void hf_driver_kick(struct hf_driver *drv);

static inline enum hf_driver_state hf_driver_state(const struct hf_driver *drv)
{
	return __atomic_load_n(&drv->state, __ATOMIC_ACQUIRE);
}

void hf_driver_set_state(struct hf_driver *drv, enum hf_driver_state state);

/* Failed for good, and nothing is under way any more? */
static inline bool hf_driver_is_over(const struct hf_driver *drv)
{
	return __atomic_load_n(&drv->over, __ATOMIC_ACQUIRE);
}

/* Puts a job at the end of the line. Takes the control lock. */
void hf_driver_queue_job(struct hf_driver *drv, struct hf_job *job);
/* The same with the control lock held. */
void hf_driver_queue_job_locked(struct hf_driver *drv, struct hf_job *job);

/* Ends every job that is in line. Control lock held. */
void hf_driver_cancel_jobs(struct hf_driver *drv, int result, const char *why);

/**
 * hf_control_wait() - block until control work has come to a point
 * @drv: the driver
 * @reached: asked without a lock; reads what is atomic
 * @arg: for @reached
 * @deadline_ns: as in base/clock.h
 *
 * One of those who wait, or the runtime's thread, leads: it runs
 * hf_driver_process(). The others sleep until it has.
 *
 * Return: 0, or -ETIMEDOUT.
 */
HF_MUST_CHECK int hf_control_wait(struct hf_driver *drv,
				  bool (*reached)(const void *arg),
				  const void *arg, uint64_t deadline_ns);

/* A job that waits on its own stack frame: queued, run, finished. */
HF_MUST_CHECK int hf_control_run_job(struct hf_driver *drv, struct hf_job *job,
				     struct hf_error *err);

/* hf_driver_fd() becomes readable with the next interrupt on @eventfd. */
HF_MUST_CHECK int hf_driver_watch(struct hf_driver *drv, int eventfd,
				  struct hf_error *err);

/* The controller is lost for good: nothing more is issued, and a job stops it;
 * then everything that is under way ends. Control lock held. */
void hf_driver_fail(struct hf_driver *drv, const struct hf_error *why);

/* The device lied on a queue: seen by the next hf_driver_process(). */
void hf_driver_lied(void *ctx, struct hf_qpair *qp, enum hf_qpair_lie lie,
		    const struct hf_cqe *cqe);
