/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring of links inside their owners. Knows nothing of what it links. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct hf_list {
	struct hf_list *next;
	struct hf_list *prev;
};

#define hf_container_of(ptr, type, member)                                     \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void hf_list_init(struct hf_list *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool hf_list_empty(const struct hf_list *list)
{
	return list->next == list;
}

static inline void hf_list_push_back(struct hf_list *list, struct hf_list *link)
{
	link->prev = list->prev;
	link->next = list;
	list->prev->next = link;
	list->prev = link;
}

static inline void hf_list_push_front(struct hf_list *list,
				      struct hf_list *link)
{
	link->next = list->next;
	link->prev = list;
	list->next->prev = link;
	list->next = link;
}

/* The link ends up linked to itself, so that removing it twice is harmless. */
static inline void hf_list_remove(struct hf_list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	hf_list_init(link);
}

/* NULL when the list is empty. */
static inline struct hf_list *hf_list_pop_front(struct hf_list *list)
{
	if (hf_list_empty(list)) {
		return NULL;
	}

	struct hf_list *link = list->next;
	hf_list_remove(link);
	return link;
}

#define hf_list_for_each(link, list)                                           \
	for (struct hf_list *link = (list)->next; link != (list);              \
	     link = link->next)

/* As above; the body may remove the link it is given. */
#define hf_list_for_each_safe(link, list)                                      \
	for (struct hf_list *link = (list)->next, *link##_next = link->next;   \
	     link != (list); link = link##_next, link##_next = link->next)
