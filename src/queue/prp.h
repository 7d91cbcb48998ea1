/* SPDX-License-Identifier: BSD-3-Clause */
/* Describes data to the device as PRP entries. Knows where memory is, not what
 * is in it. NVM Express Base Specification, "Physical Region Page Entry and
 * List". */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "device/iova_map.h"
#include "queue/pool.h"

/* A stretch of a list of buffers. */
struct hf_data {
	const struct iovec *iov;
	uint32_t iov_count;
	uint64_t offset; /* of the stretch, in the list */
	uint32_t len_bytes;
};

struct hf_prps {
	uint64_t prp1;
	uint64_t prp2;
	uint16_t first_page; /* chain of pool pages that the command owns */
	uint16_t page_count;
	uint16_t list_pages; /* of which these, at the front, hold the list */
};

/**
 * hf_prp_direct() - describe data where it lies
 * @prps: to fill
 * @data: not empty
 * @map: where the device sees memory
 * @pool: gives the pages for the list
 *
 * Context: data path; the caller owns @pool.
 * Return: 0; -EFAULT when PRPs cannot describe it, or the device does not
 * reach it; -EAGAIN when the pool has no page for the list.
 */
int hf_prp_direct(struct hf_prps *prps, const struct hf_data *data,
		  const struct hf_iova_map *map, struct hf_pool *pool);

/**
 * hf_prp_bounce() - describe pool pages that stand in for the data
 * @prps: to fill
 * @len_bytes: length of the data, 1 or more
 * @pool: gives the pages for the data and the list
 *
 * Context: data path; the caller owns @pool.
 * Return: 0, or -EAGAIN.
 */
int hf_prp_bounce(struct hf_prps *prps, uint32_t len_bytes,
		  struct hf_pool *pool);

/* Pool pages that a bounce of so many bytes takes, lists and all. */
uint32_t hf_prp_bounce_pages(uint32_t len_bytes);

/* Between the data and the pages that stand in for it. */
void hf_prp_copy_in(const struct hf_prps *prps, const struct hf_data *data,
		    const struct hf_pool *pool);
void hf_prp_copy_out(const struct hf_prps *prps, const struct hf_data *data,
		     const struct hf_pool *pool);
