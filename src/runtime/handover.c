/* SPDX-License-Identifier: BSD-3-Clause */
/* What a live owner hears and says, where a successor asks it for its device.
 * Knows no device. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "runtime/carry_wire.h"
#include "runtime/keeper_wire.h"

static bool is_request(const void *message, size_t len_bytes,
		       enum hf_keeper_op op)
{
	struct hf_keeper_request request;

	if (len_bytes != sizeof(request)) {
		return false;
	}
	memcpy(&request, message, sizeof(request));
	return request.magic == HF_KEEPER_MAGIC &&
	       request.version == HF_KEEPER_VERSION && request.op == op;
}

bool hf_handover_asked(const void *message, size_t len_bytes)
{
	return is_request(message, len_bytes, HF_KEEPER_GET) ||
	       hf_handover_rest_asked(message, len_bytes);
}

bool hf_handover_rest_asked(const void *message, size_t len_bytes)
{
	return is_request(message, len_bytes, HF_KEEPER_GET_REST);
}

bool hf_handover_preview_asked(const void *message, size_t len_bytes)
{
	return is_request(message, len_bytes, HF_KEEPER_PREVIEW);
}

int hf_handover_give(int socket, const struct hf_carry *carry, int refusal,
		     struct hf_error *err)
{
	uint64_t deadline = hf_deadline_ms(HF_KEEPER_TIMEOUT_MS);
	const struct hf_keeper_answer answer = {
		.magic = HF_KEEPER_MAGIC,
		.version = HF_KEEPER_VERSION,
		.result = carry != NULL ? 0 : refusal,
	};
	int rc = hf_wire_write_wait(socket, &answer, sizeof(answer), NULL, 0,
				    deadline);

	if (rc != 0) {
		return hf_error_set(err, rc,
				    "the successor cannot be answered: %s",
				    strerror(-rc));
	}
	return carry != NULL ? hf_wire_out(carry, 0, socket, deadline, err) : 0;
}

/* One message, in the best of cases, instead of three: each of them is one for
 * which the successor is woken. */
int hf_handover_give_rest(int socket, const struct hf_carry *carry,
			  const struct hf_carry *shown, struct hf_error *err)
{
	uint32_t same = hf_carry_same(carry, shown);

	if (same == 0) {
		return hf_handover_give(socket, carry, 0, err);
	}
	return hf_wire_out(carry, same, socket,
			   hf_deadline_ms(HF_KEEPER_TIMEOUT_MS), err);
}
