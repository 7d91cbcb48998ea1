/* SPDX-License-Identifier: BSD-3-Clause */
/* A vfio-user server: sockets, who is served, and when. Knows no message. The
 * calls are in holdfast/emu_serve.h. */
#pragma once

#include "holdfast/emu_serve.h"

struct json_object;

/* The counters and options, for the control socket; NULL without memory. The
 * reference is the caller's. */
struct json_object *hf_vfus_server_inspect(struct hf_emu_server *server);
