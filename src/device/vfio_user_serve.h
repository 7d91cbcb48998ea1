/* SPDX-License-Identifier: BSD-3-Clause */
/* What a server asks of its client: bytes of the memory that it was given and
 * cannot map. Knows no request of our own. */
#pragma once

#include <stdint.h>

#include "device/vfio_user_conn.h"

/**
 * hf_vfu_serve() - answer the command that stands in conn->in
 * @conn: the connection; its lock is held
 * @deadline_ns: when the answer must have gone out
 *
 * A command that we do not know, or that asks for memory which the server was
 * not given, gets an error reply; nothing of ours is touched.
 *
 * Return: 0, or what hf_vfu_socket_send() says.
 */
HF_MUST_CHECK int hf_vfu_serve(struct hf_vfu_conn *conn, uint64_t deadline_ns);
