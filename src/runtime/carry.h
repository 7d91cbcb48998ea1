/* SPDX-License-Identifier: BSD-3-Clause */
/* The set of descriptors that a successor needs, as the program sees it. Knows
 * no device, and not how a set travels. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/spare.h"
#include "device/fdset.h"
#include "driver/keep.h"
#include "holdfast/servicing.h"

enum {
	HF_CARRY_OWN_MAX = 8,
};

/* Which file it is; @ino is 0 where that cannot be told. */
struct hf_carry_file {
	dev_t dev;
	ino_t ino;
};

/*
 * @owns: the descriptors are the set's, and closed with it. In a set of a
 * driver, the first @of_device descriptors are the device's, as it had them
 * after so many @fds_changes; @own tells of the next few.
 */
struct hf_carry {
	struct hf_fdset set;
	bool owns;
	struct hf_keep *keep; /* whose call it was made for, or NULL */
	uint32_t of_device;
	uint64_t fds_changes;
	struct hf_carry_file own[HF_CARRY_OWN_MAX];
	struct hf_spare *spare; /* for the driver's control thread, or NULL */
};

/* An empty set, or NULL. */
struct hf_carry *hf_carry_new(bool owns);

/* Lets @to have what was prepared for @from. Of @to, the first @same
 * descriptors were in @from. */
void hf_carry_move_prepared(struct hf_carry *to, uint32_t same,
			    struct hf_carry *from);

/* How many of the first descriptors of @carry are those of @shown, a set that
 * the same driver made before; NULL was none. */
uint32_t hf_carry_same(const struct hf_carry *carry,
		       const struct hf_carry *shown);

/* May a descriptor, or a set, be called so? @room: of the buffer it is in. */
bool hf_carry_name_is_valid(const char *name, uint32_t room);

/* Is this what hf_fdset_put_text() makes? @len_bytes is without the end. */
bool hf_carry_text_is_valid(const char *text, uint32_t len_bytes);

/* The name of the memfd that a set's text travels in, beside its descriptors,
 * where nothing but descriptors can. */
#define HF_CARRY_TEXT "text"
/* Takes that memfd out of a set, and the text out of it. @what: what it did
 * not do, where it is not there or not as it was left. */
HF_MUST_CHECK int hf_carry_take_text(struct hf_carry *carry, const char *what,
				     struct hf_error *err);
