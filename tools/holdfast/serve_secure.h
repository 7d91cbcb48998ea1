/* SPDX-License-Identifier: BSD-3-Clause */
/* That the keeper of a serving process holds what a successor needs, at any
 * time. Knows not how it is put. */
#pragma once

#include "serve_owner.h"

/* Names in a set. */
#define LOAD_NAME   "serve-load"
#define SHARED_NAME "serve-shared"

/* What is this program's own in a set. */
int serve_secure_add(const struct serve_owner *owner, struct hf_carry *carry,
		     struct hf_error *err);

/* From now on the keeper, if there is one, has new memory before it is used. */
int serve_secure_begin(struct serve_owner *owner, struct hf_error *err);

/* All of it to the keeper, if there is one; before the load issues anything,
 * unless the keeper has the same from the last owner. */
int serve_secure(struct serve_owner *owner);

/* The keeper's process has ended, or does not answer, or it is time to look for
 * another one, or to ask it again, or that has come to an end: once one takes
 * the set, all is as before. What needs new memory fails meanwhile; without one
 * a death of this process would lose the device. */
void serve_secure_keeper_ended(struct serve_owner *owner);
void serve_secure_keeper_is_silent(struct serve_owner *owner);
void serve_secure_keeper_again(struct serve_owner *owner);
void serve_secure_keeper_answered(struct serve_owner *owner);

/* Finds out whether the keeper, if there is one, answers; for what is said of
 * it the next time. */
void serve_secure_look(struct serve_owner *owner);
