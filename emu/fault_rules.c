/* SPDX-License-Identifier: BSD-3-Clause */
/* Adding, ending and listing fault rules. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/error.h"
#include "emu/core.h"
#include "emu/faults.h"

/* The structure may come from anywhere: what is used as a count is checked. */
static int check_fault(const struct hf_emu_fault *fault, struct hf_error *err)
{
	if (fault->size != sizeof(*fault)) {
		return hf_error_set(err, -EINVAL,
				    "a fault rule of %zu bytes, not %zu: fill "
				    "it with hf_emu_fault_init()",
				    fault->size, sizeof(*fault));
	}

	bool bad = fault->edit_count > HF_EMU_FAULT_EDITS ||
		   fault->patch_count > HF_EMU_FAULT_PATCHES ||
		   (unsigned int)fault->site > HF_EMU_FAULT_NOW;
	for (uint32_t i = 0; !bad && i < fault->edit_count; i++) {
		bad = fault->edits[i].dword > 15;
	}
	for (uint32_t i = 0; !bad && i < fault->patch_count; i++) {
		bad = fault->patches[i].len_bytes == 0 ||
		      fault->patches[i].len_bytes > 8;
	}
	if (bad || fault->event_type > 7 ||
	    ((fault->match & HF_EMU_FAULT_MATCH_EVERY) != 0 &&
	     fault->every == 0)) {
		return hf_error_set(err, -EINVAL,
				    "a fault rule whose site, every, event "
				    "type, edits or patches are out of range");
	}
	return 0;
}

static struct hf_fault_rule *append(struct hf_faults *all)
{
	if (all->count == all->room) {
		uint32_t room = HF_MAX(all->room * 2, 8u);
		struct hf_fault_rule *rules =
			reallocarray(all->rules, room, sizeof(*rules));

		if (rules == NULL) {
			return NULL;
		}
		all->rules = rules;
		all->room = room;
	}

	struct hf_fault_rule *rule = &all->rules[all->count];
	all->count++;
	memset(rule, 0, sizeof(*rule));
	rule->id = all->next_id;
	all->next_id++;
	return rule;
}

static int add_locked(struct hf_faults *all, const struct hf_emu_fault *fault,
		      uint32_t *id, struct hf_error *err)
{
	if (all->count >= HF_FAULT_RULES_MAX) {
		return hf_error_set(err, -ENOSPC,
				    "there are %u fault rules already: remove "
				    "some",
				    HF_FAULT_RULES_MAX);
	}

	struct hf_fault_rule *rule = append(all);
	if (rule == NULL) {
		return hf_error_set(err, -ENOMEM, "no memory for a fault rule");
	}
	rule->fault = *fault;
	rule->random = fault->seed;
	*id = rule->id;
	hf_faults_rearm(all);
	return 0;
}

/* What happens at once. Returns how often it did. */
static uint64_t do_now(struct hf_emu *emu, const struct hf_emu_fault *fault)
{
	uint64_t count = (fault->match & HF_EMU_FAULT_MATCH_COUNT) != 0
				 ? HF_MIN(fault->count, UINT32_MAX)
				 : 1;

	if ((fault->actions & HF_EMU_FAULT_DO_EVENT) != 0) {
		for (uint64_t i = 0; i < count; i++) {
			hf_emu_event(emu, fault->event_type, fault->event_info,
				     fault->event_log_id);
		}
	}
	if ((fault->actions & HF_EMU_FAULT_DO_CFS) != 0) {
		hf_emu_fatal(emu, "a fault rule says so");
	}
	if ((fault->actions & HF_EMU_FAULT_DO_GONE) != 0) {
		hf_emu_gone(emu);
	}
	return count;
}

static struct hf_fault_rule *find(struct hf_faults *all, uint32_t id)
{
	for (uint32_t i = 0; i < all->count; i++) {
		if (all->rules[i].id == id) {
			return &all->rules[i];
		}
	}
	return NULL;
}

int hf_emu_fault_add_rule(struct hf_emu *emu, const struct hf_emu_fault *fault,
			  uint32_t *id, struct hf_error *err)
{
	struct hf_faults *all = hf_emu_faults_of(emu);
	uint32_t new_id = 0;
	int ret = check_fault(fault, err);

	if (ret != 0) {
		return ret;
	}

	pthread_mutex_lock(&all->lock);
	ret = add_locked(all, fault, &new_id, err);
	pthread_mutex_unlock(&all->lock);
	if (ret != 0) {
		return ret;
	}
	if (fault->site == HF_EMU_FAULT_NOW) {
		/* With no lock held: it goes to the core. */
		uint64_t hits = do_now(emu, fault);

		pthread_mutex_lock(&all->lock);
		struct hf_fault_rule *rule = find(all, new_id);
		if (rule != NULL) {
			rule->hits = hits;
		}
		pthread_mutex_unlock(&all->lock);
	}
	if (id != NULL) {
		*id = new_id;
	}
	return 0;
}

int hf_emu_fault_add(struct hf_emu *emu, const char *text, uint32_t *id,
		     struct hf_error *err)
{
	struct hf_emu_fault fault;
	int ret = hf_emu_fault_parse(&fault, text, err);

	return ret != 0 ? ret : hf_emu_fault_add_rule(emu, &fault, id, err);
}

int hf_emu_fault_remove(struct hf_emu *emu, uint32_t id)
{
	struct hf_faults *all = hf_emu_faults_of(emu);

	pthread_mutex_lock(&all->lock);
	struct hf_fault_rule *rule = find(all, id);
	if (rule != NULL) {
		struct hf_fault_rule *end = &all->rules[all->count];

		memmove(rule, rule + 1,
			(size_t)(end - rule - 1) * sizeof(*rule));
		all->count--;
		hf_faults_rearm(all);
	}
	pthread_mutex_unlock(&all->lock);
	if (rule == NULL) {
		return -ENOENT;
	}
	hf_emu_release_held(emu, id);
	return 0;
}

void hf_emu_fault_clear(struct hf_emu *emu)
{
	struct hf_faults *all = hf_emu_faults_of(emu);

	pthread_mutex_lock(&all->lock);
	all->count = 0;
	hf_faults_rearm(all);
	pthread_mutex_unlock(&all->lock);
	hf_emu_release_held(emu, 0);
}

uint32_t hf_emu_fault_release(struct hf_emu *emu, uint32_t id)
{
	return hf_emu_release_held(emu, id);
}

uint64_t hf_emu_fault_hits(struct hf_emu *emu, uint32_t id)
{
	struct hf_faults *all = hf_emu_faults_of(emu);

	pthread_mutex_lock(&all->lock);
	const struct hf_fault_rule *rule = find(all, id);
	uint64_t hits = rule != NULL ? rule->hits : 0;
	pthread_mutex_unlock(&all->lock);
	return hits;
}

static struct json_object *rule_json(const struct hf_fault_rule *rule)
{
	struct json_object *o = json_object_new_object();
	char text[HF_EMU_FAULT_TEXT_BYTES];

	hf_emu_fault_format(&rule->fault, text, sizeof(text));
	json_object_object_add(o, "id", json_object_new_int64(rule->id));
	json_object_object_add(o, "text", json_object_new_string(text));
	json_object_object_add(o, "hits", json_object_new_uint64(rule->hits));
	return o;
}

char *hf_emu_fault_list(struct hf_emu *emu)
{
	struct hf_faults *all = hf_emu_faults_of(emu);
	struct json_object *array = json_object_new_array();

	pthread_mutex_lock(&all->lock);
	for (uint32_t i = 0; i < all->count; i++) {
		json_object_array_add(array, rule_json(&all->rules[i]));
	}
	pthread_mutex_unlock(&all->lock);

	const char *text =
		json_object_to_json_string_ext(array, JSON_C_TO_STRING_SPACED);
	char *copy = text != NULL ? strdup(text) : NULL;
	json_object_put(array);
	return copy;
}
