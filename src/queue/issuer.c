/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/issuer.h"

#include <errno.h>
#include <stdlib.h>

int hf_issuers_init(struct hf_issuers *issuers, uint32_t count,
		    void (*want)(void *ctx, uint32_t cpu), void *ctx)
{
	issuers->count = 0;
	issuers->each = calloc(count, sizeof(*issuers->each));
	if (issuers->each == NULL) {
		return -ENOMEM;
	}

	issuers->count = count;
	for (uint32_t cpu = 0; cpu < count; cpu++) {
		struct hf_issuer *issuer = &issuers->each[cpu];

		issuer->cpu = cpu;
		issuer->want = want;
		issuer->ctx = ctx;
		hf_list_init(&issuer->parked);
		pthread_mutex_init(&issuer->lock, NULL);
	}
	return 0;
}

void hf_issuers_fini(struct hf_issuers *issuers)
{
	for (uint32_t i = 0; i < issuers->count; i++) {
		pthread_mutex_destroy(&issuers->each[i].lock);
	}
	free(issuers->each);
	issuers->each = NULL;
	issuers->count = 0;
}

/* @waiter may be NULL, and then does not wait. */
static int ask_and_park(struct hf_issuer *issuer, struct hf_waiter *waiter)
{
	int rc = waiter != NULL ? 0 : -EAGAIN;
	bool ask = false;

	pthread_mutex_lock(&issuer->lock);
	if (issuer->dead != 0) {
		rc = issuer->dead;
	} else if (issuer->qp != NULL) {
		rc = -EEXIST;
	} else {
		if (waiter != NULL) {
			hf_list_push_back(&issuer->parked, &waiter->link);
		}
		ask = !issuer->wanted;
		issuer->wanted = true;
	}
	pthread_mutex_unlock(&issuer->lock);

	if (ask) {
		issuer->want(issuer->ctx, issuer->cpu);
	}
	return rc;
}

int hf_issuer_park(struct hf_issuer *issuer, struct hf_waiter *waiter)
{
	return ask_and_park(issuer, waiter);
}

int hf_issuer_ask(struct hf_issuer *issuer)
{
	return ask_and_park(issuer, NULL);
}

void hf_issuer_set(struct hf_issuer *issuer, struct hf_qpair *qp)
{
	struct hf_list *link;

	/*
	 * Under both locks, so that nothing that comes after can get in front
	 * of what has been waiting.
	 */
	pthread_mutex_lock(&issuer->lock);
	hf_qpair_lock(qp);
	while ((link = hf_list_pop_front(&issuer->parked)) != NULL) {
		hf_list_push_back(&qp->waiting, link);
	}
	__atomic_store_n(&issuer->qp, qp, __ATOMIC_RELEASE);
	issuer->wanted = false;
	if (issuer->made != NULL) {
		issuer->made(issuer->made_ctx, qp);
	}
	hf_qpair_resume(qp);
	hf_qpair_unlock(qp);
	pthread_mutex_unlock(&issuer->lock);
}

void hf_issuer_tell(struct hf_issuer *issuer,
		    void (*made)(void *made_ctx, struct hf_qpair *qp),
		    void *made_ctx)
{
	pthread_mutex_lock(&issuer->lock);
	issuer->made = made;
	issuer->made_ctx = made_ctx;
	if (made != NULL && issuer->qp != NULL) {
		made(made_ctx, issuer->qp);
	}
	pthread_mutex_unlock(&issuer->lock);
}

void hf_issuer_clear(struct hf_issuer *issuer)
{
	pthread_mutex_lock(&issuer->lock);
	__atomic_store_n(&issuer->qp, NULL, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&issuer->lock);
}

void hf_issuer_cancel_parked(struct hf_issuer *issuer, int result)
{
	struct hf_list *link;

	do {
		pthread_mutex_lock(&issuer->lock);
		link = hf_list_pop_front(&issuer->parked);
		pthread_mutex_unlock(&issuer->lock);
		if (link != NULL) {
			struct hf_waiter *waiter =
				hf_container_of(link, struct hf_waiter, link);

			waiter->cancel(waiter, result);
		}
	} while (link != NULL);
}

void hf_issuer_kill(struct hf_issuer *issuer, int result)
{
	pthread_mutex_lock(&issuer->lock);
	issuer->dead = result;
	pthread_mutex_unlock(&issuer->lock);
	hf_issuer_cancel_parked(issuer, result);
}
