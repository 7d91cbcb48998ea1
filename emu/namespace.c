/* SPDX-License-Identifier: BSD-3-Clause */
#include "emu/namespace.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/error.h"
#include "emu/namespaces.h"

#define LBA_FORMATS      2
#define RESCAP_ALL       0xff /* all types, persistence, IEKEY as in 1.3 */
#define DLFEAT_ZEROES    0x09 /* reads zeroes; Write Zeroes takes DEAC */
#define NSFEAT_ATOMICS   (1 << 1)
#define NSATTR_PROTECTED 1

int hf_namespaces_create(struct hf_namespaces **namespaces, uint32_t nn)
{
	struct hf_namespaces *all = calloc(1, sizeof(*all));

	if (all == NULL) {
		return -ENOMEM;
	}
	all->table = calloc((size_t)nn + 1, sizeof(*all->table));
	if (all->table == NULL) {
		free(all);
		return -ENOMEM;
	}
	all->nn = nn;
	pthread_mutex_init(&all->lock, NULL);
	*namespaces = all;
	return 0;
}

void hf_namespaces_destroy(struct hf_namespaces *namespaces)
{
	if (namespaces == NULL) {
		return;
	}
	for (uint32_t nsid = 1; nsid <= namespaces->highest; nsid++) {
		hf_emu_ns_destroy(namespaces->table[nsid]);
	}
	pthread_mutex_destroy(&namespaces->lock);
	free(namespaces->table);
	free(namespaces);
}

struct hf_emu_ns *hf_emu_ns_find(struct hf_emu *emu, uint32_t nsid)
{
	return hf_namespaces_get(hf_emu_namespaces_of(emu), nsid);
}

uint32_t hf_emu_ns_next(struct hf_emu *emu, uint32_t nsid)
{
	const struct hf_namespaces *all = hf_emu_namespaces_of(emu);
	uint32_t last = __atomic_load_n(&all->highest, __ATOMIC_ACQUIRE);

	while (nsid < last) {
		nsid++;
		if (hf_namespaces_get(all, nsid) != NULL) {
			return nsid;
		}
	}
	return 0;
}

void hf_emu_ns_identify(const struct hf_emu_ns *ns, struct nvme_id_ns *id)
{
	uint64_t blocks = hf_emu_ns_blocks(ns);

	memset(id, 0, sizeof(*id));
	hf_put_le64(&id->nsze, blocks);
	hf_put_le64(&id->ncap, blocks);
	hf_put_le64(&id->nuse, blocks);
	id->nlbaf = LBA_FORMATS - 1;
	id->flbas = ns->lba_shift == 12 ? 1 : 0;
	id->dlfeat = DLFEAT_ZEROES;
	if (ns->reserve != NULL) {
		id->nmic = 1; /* other hosts may share it */
		id->rescap = RESCAP_ALL;
	}
	if (ns->nawun_z != 0) {
		id->nsfeat |= NSFEAT_ATOMICS;
		hf_put_le16(&id->nawun, ns->nawun_z);
		hf_put_le16(&id->nawupf, ns->nawun_z);
		hf_put_le16(&id->nacwu, ns->nawun_z);
	}
	hf_put_le16(&id->noiob, ns->noiob_blocks);
	hf_put_le64(id->nvmcap, blocks << ns->lba_shift);
	id->nsattr = ns->read_only ? NSATTR_PROTECTED : 0;
	memcpy(id->nguid, ns->ids.nguid, sizeof(id->nguid));
	memcpy(id->eui64, ns->ids.eui64, sizeof(id->eui64));
	id->lbaf[0].ds = 9;
	id->lbaf[1].ds = 12;
}

void hf_emu_ns_ids(const struct hf_emu_ns *ns, struct hf_emu_ns_ids *ids)
{
	*ids = ns->ids;
}

int hf_emu_ns_read(struct hf_emu_ns *ns, uint64_t offset,
		   const struct iovec *iov, unsigned int iov_count)
{
	if (ns->cache == NULL) {
		return hf_emu_media_read(ns->medium, offset, iov, iov_count);
	}
	return hf_emu_cache_read(ns->cache, offset, iov, iov_count);
}

int hf_emu_ns_write(struct hf_emu_ns *ns, uint64_t offset,
		    const struct iovec *iov, unsigned int iov_count,
		    bool through)
{
	if (ns->cache == NULL) {
		return hf_emu_media_write(ns->medium, offset, iov, iov_count);
	}
	return hf_emu_cache_write(ns->cache, offset, iov, iov_count, through);
}

int hf_emu_ns_zero(struct hf_emu_ns *ns, uint64_t offset, uint64_t len_bytes,
		   bool deallocate)
{
	if (ns->cache == NULL) {
		return hf_emu_media_zero(ns->medium, offset, len_bytes,
					 deallocate);
	}
	return hf_emu_cache_zero(ns->cache, offset, len_bytes, deallocate);
}

int hf_emu_ns_flush(struct hf_emu_ns *ns)
{
	if (ns->read_only) {
		return 0;
	}
	if (ns->cache == NULL) {
		return hf_emu_media_flush(ns->medium);
	}
	return hf_emu_cache_flush(ns->cache);
}

int hf_emu_ns_flush_all(struct hf_emu *emu)
{
	int first = 0;

	for (uint32_t nsid = hf_emu_ns_next(emu, 0); nsid != 0;
	     nsid = hf_emu_ns_next(emu, nsid)) {
		struct hf_emu_ns *ns = hf_emu_ns_find(emu, nsid);
		int ret = ns != NULL ? hf_emu_ns_flush(ns) : 0;

		first = first != 0 ? first : ret;
	}
	return first;
}

int hf_namespaces_flush(struct hf_emu *emu)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);

	pthread_mutex_lock(&all->lock);
	int ret = hf_emu_ns_flush_all(emu);
	pthread_mutex_unlock(&all->lock);
	return ret;
}

void hf_namespaces_power_fail(struct hf_emu *emu)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);

	pthread_mutex_lock(&all->lock);
	for (uint32_t nsid = 1; nsid <= all->highest; nsid++) {
		struct hf_emu_ns *ns = all->table[nsid];

		if (ns != NULL && ns->cache != NULL) {
			hf_emu_cache_lose(ns->cache);
		}
		if (ns != NULL && ns->reserve != NULL) {
			hf_reservations_power_fail(ns->reserve);
		}
	}
	pthread_mutex_unlock(&all->lock);
}

void hf_namespaces_reset(struct hf_emu *emu)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);

	pthread_mutex_lock(&all->lock);
	for (uint32_t nsid = 1; nsid <= all->highest; nsid++) {
		struct hf_emu_ns *ns = all->table[nsid];

		if (ns != NULL && ns->reserve != NULL) {
			hf_reservations_reset(ns->reserve);
		}
	}
	pthread_mutex_unlock(&all->lock);
}

static struct json_object *inspect_one(const struct hf_emu_ns *ns)
{
	static const char hex[] = "0123456789abcdef";
	struct json_object *o = json_object_new_object();
	char nguid[2 * sizeof(ns->ids.nguid) + 1] = "";

	for (size_t i = 0; i < sizeof(ns->ids.nguid); i++) {
		nguid[2 * i] = hex[ns->ids.nguid[i] >> 4];
		nguid[2 * i + 1] = hex[ns->ids.nguid[i] & 15];
	}
	json_object_object_add(o, "nsid", json_object_new_int64(ns->nsid));
	json_object_object_add(o, "medium",
			       json_object_new_string(ns->medium->ops->name));
	json_object_object_add(o, "blocks",
			       json_object_new_uint64(hf_emu_ns_blocks(ns)));
	json_object_object_add(o, "lba_bytes",
			       json_object_new_int64(1 << ns->lba_shift));
	json_object_object_add(o, "nguid", json_object_new_string(nguid));
	json_object_object_add(o, "read_only",
			       json_object_new_boolean(ns->read_only));
	json_object_object_add(
		o, "unflushed_blocks",
		json_object_new_uint64(
			ns->cache != NULL ? hf_emu_cache_dirty(ns->cache) : 0));
	json_object_object_add(
		o, "reserved",
		json_object_new_boolean(ns->reserve != NULL &&
					hf_reservations_held(ns->reserve)));
	return o;
}

struct json_object *hf_namespaces_inspect(struct hf_emu *emu)
{
	struct hf_namespaces *all = hf_emu_namespaces_of(emu);
	struct json_object *array = json_object_new_array();

	pthread_mutex_lock(&all->lock);
	for (uint32_t nsid = 1; nsid <= all->highest; nsid++) {
		if (all->table[nsid] != NULL) {
			json_object_array_add(array,
					      inspect_one(all->table[nsid]));
		}
	}
	pthread_mutex_unlock(&all->lock);
	return array;
}
