/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "emu/namespaces.h"
#include "emu/reservation.h"

#define DEFAULT_BYTES (UINT64_C(64) << 20)

void hf_emu_namespace_options_init(struct hf_emu_namespace_options *options)
{
	memset(options, 0, sizeof(*options));
	options->size = sizeof(*options);
	options->media = HF_EMU_MEDIA_MEMORY;
	options->size_bytes = DEFAULT_BYTES;
	options->lba_bytes = 512;
	options->reservations = true;
}

/* FNV-1a: any hash does, it only has to spread. */
static uint64_t hash(uint64_t seed, const void *data, size_t len_bytes)
{
	const uint8_t *bytes = data;
	uint64_t h = seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len_bytes; i++) {
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	}
	return h ^ (h >> 29);
}

static void put_be64(uint8_t *to, uint64_t value)
{
	for (int i = 7; i >= 0; i--) {
		to[i] = (uint8_t)value;
		value >>= 8;
	}
}

static bool is_zero(const uint8_t id[16])
{
	static const uint8_t zeroes[16];

	return memcmp(id, zeroes, sizeof(zeroes)) == 0;
}

static void derive(uint8_t *to, const uint8_t *given, uint64_t base,
		   const char *what)
{
	if (!is_zero(given)) {
		memcpy(to, given, 16);
		return;
	}
	put_be64(to, hash(base, what, strlen(what)));
	put_be64(to + 8, hash(~base, what, strlen(what)));
}

static void set_ids(struct hf_emu_ns *ns, const char *serial,
		    const struct hf_emu_namespace_options *options,
		    uint32_t salt)
{
	const uint32_t tail[2] = {ns->nsid, salt};
	uint64_t base =
		hash(hash(0, serial, strlen(serial)), tail, sizeof(tail));

	put_be64(ns->ids.eui64,
		 options->eui64 != 0 ? options->eui64 : hash(base, "eui64", 5));
	derive(ns->ids.nguid, options->nguid, base, "nguid");
	derive(ns->ids.uuid, options->uuid, base, "uuid");
	if (is_zero(options->uuid)) {
		ns->ids.uuid[6] = (uint8_t)((ns->ids.uuid[6] & 0x0f) | 0x80);
		ns->ids.uuid[8] = (uint8_t)((ns->ids.uuid[8] & 0x3f) | 0x80);
	}
}

static int check_options(const struct hf_emu_namespace_options *o,
			 struct hf_error *err)
{
	if (o->size != sizeof(*o)) {
		return hf_error_set(err, -EINVAL,
				    "namespace options of %zu bytes, not %zu: "
				    "fill them with "
				    "hf_emu_namespace_options_init()",
				    o->size, sizeof(*o));
	}
	if (o->lba_bytes != 512 && o->lba_bytes != 4096) {
		return hf_error_set(err, -EINVAL,
				    "a namespace with blocks of %" PRIu32
				    " bytes: they have 512 or 4096",
				    o->lba_bytes);
	}
	if (o->size_bytes % o->lba_bytes != 0) {
		return hf_error_set(err, -EINVAL,
				    "a namespace of %" PRIu64
				    " bytes: the size has to be a multiple of "
				    "its blocks of %" PRIu32 " bytes",
				    o->size_bytes, o->lba_bytes);
	}
	if (o->media == HF_EMU_MEDIA_FILE && o->path == NULL) {
		return hf_error_set(err, -EINVAL,
				    "a namespace in a file has to say in "
				    "which: its path is missing");
	}
	return 0;
}

static int open_medium(struct hf_emu_ns *ns,
		       const struct hf_emu_namespace_options *o,
		       struct hf_error *err)
{
	switch (o->media) {
	case HF_EMU_MEDIA_MEMORY:
		return hf_emu_media_memory(&ns->medium, o->size_bytes, err);
	case HF_EMU_MEDIA_NULL:
		return hf_emu_media_null(&ns->medium, o->size_bytes, err);
	case HF_EMU_MEDIA_FILE: {
		const struct hf_emu_media_file_options file = {
			.path = o->path,
			.size_bytes = o->size_bytes,
			.block_bytes = o->lba_bytes,
			.create = o->create,
			.read_only = o->read_only,
		};
		return hf_emu_media_file(&ns->medium, &file, err);
	}
	}
	return hf_error_set(err, -EINVAL,
			    "a namespace on medium %d, which is none of "
			    "memory, file and null",
			    (int)o->media);
}

int hf_emu_ns_create(struct hf_emu_ns **out, const struct hf_emu *emu,
		     const struct hf_emu_namespace_options *options,
		     uint32_t nsid, uint32_t salt, struct hf_error *err)
{
	const struct hf_emu_options *ctrl = hf_emu_options_of(emu);
	int ret = check_options(options, err);

	if (ret != 0) {
		return ret;
	}

	struct hf_emu_ns *ns = calloc(1, sizeof(*ns));
	if (ns == NULL) {
		return hf_error_set(err, -ENOMEM, "no memory for a namespace");
	}
	ns->nsid = nsid;
	ns->lba_shift = options->lba_bytes == 4096 ? 12 : 9;
	ns->kind = options->media;
	ns->read_only = options->read_only;
	ns->noiob_blocks = options->noiob_blocks;
	ns->nawun_z = options->nawun_z;
	set_ids(ns, ctrl->serial != NULL ? ctrl->serial : "", options, salt);

	ret = open_medium(ns, options, err);
	/* The null medium forgets at once, a cache would remember. */
	if (ret == 0 && ctrl->vwc && !ns->read_only &&
	    ns->kind != HF_EMU_MEDIA_NULL) {
		ret = hf_emu_cache_create(&ns->cache, ns->medium);
	}
	if (ret == 0 && options->reservations) {
		ret = hf_reservations_create(&ns->reserve);
	}
	if (ret != 0) {
		if (ns->medium != NULL) {
			hf_error_set(err, ret, "no memory for a namespace");
		}
		hf_emu_ns_destroy(ns);
		return ret;
	}
	ns->blocks = hf_emu_media_size(ns->medium) >> ns->lba_shift;
	*out = ns;
	return 0;
}

void hf_emu_ns_destroy(struct hf_emu_ns *ns)
{
	if (ns == NULL) {
		return;
	}
	if (ns->medium != NULL) {
		/* There is nobody left to tell that it failed. */
		(void)hf_emu_ns_flush(ns);
	}
	hf_emu_cache_destroy(ns->cache);
	hf_emu_media_close(ns->medium);
	hf_reservations_destroy(ns->reserve);
	free(ns);
}

static void publish(struct hf_namespaces *all, uint32_t nsid,
		    struct hf_emu_ns *ns)
{
	__atomic_store_n(&all->table[nsid], ns, __ATOMIC_RELEASE);
	if (nsid > all->highest) {
		__atomic_store_n(&all->highest, nsid, __ATOMIC_RELEASE);
	}
}

static uint32_t lowest_free(const struct hf_namespaces *all)
{
	uint32_t nsid = 1;

	while (nsid <= all->nn && all->table[nsid] != NULL) {
		nsid++;
	}
	return nsid;
}

static int add_locked(struct hf_emu *emu, struct hf_namespaces *all,
		      const struct hf_emu_namespace_options *options,
		      uint32_t *nsid, struct hf_error *err)
{
	uint32_t id = options->nsid != 0 ? options->nsid : lowest_free(all);
	struct hf_emu_ns *ns;

	if (id > all->nn) {
		return hf_error_set(err, -ENOSPC,
				    "namespace %" PRIu32
				    ": the controller has room for %" PRIu32,
				    id, all->nn);
	}
	if (all->table[id] != NULL) {
		return hf_error_set(err, -EEXIST,
				    "namespace %" PRIu32
				    " is there already: remove or swap it, or "
				    "take another identifier",
				    id);
	}

	int ret = hf_emu_ns_create(&ns, emu, options, id, 0, err);
	if (ret != 0) {
		return ret;
	}
	publish(all, id, ns);
	*nsid = id;
	return 0;
}

int hf_emu_namespace_add(struct hf_emu *emu,
			 const struct hf_emu_namespace_options *options,
			 uint32_t *nsid, struct hf_error *err)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);
	uint32_t id = 0;

	pthread_mutex_lock(&all->lock);
	int ret = add_locked(emu, all, options, &id, err);
	pthread_mutex_unlock(&all->lock);
	if (ret != 0) {
		return ret;
	}
	if (nsid != NULL) {
		*nsid = id;
	}
	hf_emu_ns_changed(emu, id);
	return 0;
}

static int not_there(uint32_t nsid, struct hf_error *err)
{
	return hf_error_set(err, -ENOENT,
			    "the controller has no namespace %" PRIu32, nsid);
}

int hf_emu_namespace_remove(struct hf_emu *emu, uint32_t nsid,
			    struct hf_error *err)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);

	pthread_mutex_lock(&all->lock);
	struct hf_emu_ns *ns = hf_namespaces_get(all, nsid);
	if (ns != NULL) {
		publish(all, nsid, NULL);
		hf_emu_synchronize(emu);
	}
	pthread_mutex_unlock(&all->lock);
	if (ns == NULL) {
		return not_there(nsid, err);
	}

	hf_emu_ns_destroy(ns);
	hf_emu_ns_changed(emu, nsid);
	return 0;
}

/* Commands see the smaller of the two sizes until the medium has the new one.
 */
static int resize_locked(struct hf_emu *emu, struct hf_emu_ns *ns,
			 uint64_t size_bytes, struct hf_error *err)
{
	uint64_t old_bytes = hf_emu_ns_blocks(ns) << ns->lba_shift;
	uint64_t blocks = size_bytes >> ns->lba_shift;
	int ret = 0;

	if (size_bytes < old_bytes) {
		__atomic_store_n(&ns->blocks, blocks, __ATOMIC_RELEASE);
		hf_emu_synchronize(emu);
		/* What is in the cache beyond the end must not come back. */
		ret = hf_emu_ns_zero(ns, size_bytes, old_bytes - size_bytes,
				     true);
	}
	if (ret == 0) {
		ret = hf_emu_media_resize(ns->medium, size_bytes, err);
	} else {
		hf_error_set(err, ret,
			     "clearing what namespace %" PRIu32 " loses failed",
			     ns->nsid);
	}
	if (ret == 0) {
		__atomic_store_n(&ns->blocks, blocks, __ATOMIC_RELEASE);
	} else {
		__atomic_store_n(&ns->blocks, old_bytes >> ns->lba_shift,
				 __ATOMIC_RELEASE);
	}
	return ret;
}

int hf_emu_namespace_resize(struct hf_emu *emu, uint32_t nsid,
			    uint64_t size_bytes, struct hf_error *err)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);
	int ret;

	pthread_mutex_lock(&all->lock);
	struct hf_emu_ns *ns = hf_namespaces_get(all, nsid);
	if (ns == NULL) {
		ret = not_there(nsid, err);
	} else if (ns->read_only) {
		ret = hf_error_set(err, -EROFS,
				   "namespace %" PRIu32 " is read-only: its "
				   "size stays",
				   nsid);
	} else if (size_bytes == 0 ||
		   !hf_is_aligned(size_bytes, UINT64_C(1) << ns->lba_shift)) {
		ret = hf_error_set(err, -EINVAL,
				   "resizing namespace %" PRIu32 " to %" PRIu64
				   " bytes: the size has to be a multiple of "
				   "its blocks of %u bytes, and not 0",
				   nsid, size_bytes, 1u << ns->lba_shift);
	} else {
		ret = resize_locked(emu, ns, size_bytes, err);
	}
	pthread_mutex_unlock(&all->lock);
	if (ret == 0) {
		hf_emu_ns_changed(emu, nsid);
	}
	return ret;
}

/*
 * The new one is complete before the old one goes, so that a swap that fails
 * changes nothing. An image cannot be swapped for itself: it is locked.
 */
int hf_emu_namespace_swap(struct hf_emu *emu, uint32_t nsid,
			  const struct hf_emu_namespace_options *options,
			  struct hf_error *err)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);
	struct hf_emu_ns *fresh = NULL;
	int ret = 0;

	pthread_mutex_lock(&all->lock);
	struct hf_emu_ns *old = hf_namespaces_get(all, nsid);
	if (old == NULL) {
		ret = not_there(nsid, err);
	} else {
		ret = hf_emu_ns_create(&fresh, emu, options, nsid,
				       all->swaps + 1, err);
	}
	if (ret == 0) {
		all->swaps++;
		publish(all, nsid, fresh);
		hf_emu_synchronize(emu);
	}
	pthread_mutex_unlock(&all->lock);
	if (ret != 0) {
		return ret;
	}

	hf_emu_ns_destroy(old);
	hf_emu_ns_changed(emu, nsid);
	return 0;
}

uint32_t hf_emu_namespace_list(struct hf_emu *emu,
			       struct hf_emu_namespace_info *infos,
			       uint32_t max)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);
	uint32_t count = 0;

	pthread_mutex_lock(&all->lock);
	for (uint32_t nsid = 1; nsid <= all->highest; nsid++) {
		const struct hf_emu_ns *ns = all->table[nsid];

		if (ns == NULL) {
			continue;
		}
		if (count < max) {
			infos[count] = (struct hf_emu_namespace_info){
				.nsid = nsid,
				.lba_bytes = 1u << ns->lba_shift,
				.blocks = hf_emu_ns_blocks(ns),
				.media = ns->kind,
			};
		}
		count++;
	}
	pthread_mutex_unlock(&all->lock);
	return count;
}

/* Under the lock: whoever removes the namespace waits for it. */
static uint16_t reserve_as(struct hf_emu_ns *ns,
			   const struct hf_registrant *who, uint8_t opcode,
			   uint32_t cdw10, const uint64_t keys[2])
{
	if (ns == NULL) {
		return HF_STATUS_DNR(NVME_SC_INVALID_NS);
	}
	if (ns->reserve != NULL) {
		switch (opcode) {
		case nvme_cmd_resv_register:
			return hf_reservations_register(ns->reserve, who, cdw10,
							keys[0], keys[1]);
		case nvme_cmd_resv_acquire:
			return hf_reservations_acquire(ns->reserve, who, cdw10,
						       keys[0], keys[1]);
		case nvme_cmd_resv_release:
			return hf_reservations_release(ns->reserve, who, cdw10,
						       keys[0]);
		}
	}
	return HF_STATUS_DNR(NVME_SC_INVALID_OPCODE);
}

uint16_t hf_emu_reservation_as(struct hf_emu *emu, uint32_t nsid,
			       const uint8_t host_id[16], uint8_t opcode,
			       uint32_t cdw10, uint64_t current_key,
			       uint64_t second_key)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);
	const uint64_t keys[2] = {current_key, second_key};
	/* A controller of its own, that no other one has the number of. */
	struct hf_registrant who = {
		.cntlid = (uint16_t)(hf_emu_options_of(emu)->cntlid + 1),
	};

	memcpy(who.host_id, host_id, sizeof(who.host_id));
	pthread_mutex_lock(&all->lock);
	uint16_t status = reserve_as(hf_namespaces_get(all, nsid), &who, opcode,
				     cdw10, keys);
	pthread_mutex_unlock(&all->lock);
	return status;
}
