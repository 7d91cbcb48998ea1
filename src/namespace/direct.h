/* SPDX-License-Identifier: BSD-3-Clause */
/* The short way of an I/O: one command, its data in two pages at most that the
 * device reaches. What most I/O is. */
#pragma once

#include "namespace/io.h"

/**
 * hf_direct_submit() - issue an I/O the short way, if it can go that way
 * @qp: live, locked, and nothing waits in line
 * @io: not yet checked
 *
 * Context: data path.
 * Return: false when it is to go the long way, which also says what is wrong
 * with it; nothing has been done then.
 */
bool hf_direct_submit(struct hf_qpair *qp, struct hf_io *io);
