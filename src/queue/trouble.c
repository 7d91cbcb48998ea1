/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue/trouble.h"

#include "base/clock.h"

struct hf_trouble_error *hf_trouble_error_add(struct hf_trouble *trouble)
{
	struct hf_trouble_error *error =
		&trouble->errors[trouble->error_count % HF_TROUBLE_ERRORS];

	trouble->error_count++;
	error->when_ns = hf_now_ns();
	return error;
}

void hf_trouble_refused_add(struct hf_trouble *trouble, enum hf_qpair_lie why,
			    const struct hf_cqe *cqe)
{
	struct hf_trouble_refused *refused =
		&trouble->refused[trouble->refused_count % HF_TROUBLE_REFUSED];

	trouble->refused_count++;
	trouble->lies[why]++;
	refused->when_ns = hf_now_ns();
	refused->cqe = *cqe;
	refused->why = why;
}

const char *hf_trouble_lie_name(enum hf_qpair_lie lie)
{
	switch (lie) {
	case HF_LIE_UNKNOWN_COMMAND:
		return "unknown_command";
	case HF_LIE_STALE_COMMAND:
		return "stale_command";
	case HF_LIE_WRONG_QUEUE:
		return "wrong_queue";
	case HF_LIE_HEAD:
		return "head";
	case HF_LIE_COUNT:
		break;
	}
	return "unknown";
}
