/* SPDX-License-Identifier: BSD-3-Clause */
/* The short way of an I/O: one command, its data in two pages at most that the
 * device reaches. What most I/O is. */
#pragma once

#include "namespace/io.h"

/**
 * hf_direct_submit() - issue what can go the short way
 * @qp: live, locked, and nothing waits in line
 * @ios: not yet checked
 * @count: entries in @ios
 *
 * Context: data path.
 * Return: how many, from the front, were issued. The next one is to go the
 * long way, which also says what is wrong with it; nothing has been done for
 * it.
 */
uint32_t hf_direct_submit(struct hf_qpair *qp, struct hf_io *const *ios,
			  uint32_t count);
