/* SPDX-License-Identifier: BSD-3-Clause */
/* How holdfast says that something went wrong. Nothing of NVMe but statuses. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "holdfast/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "Not about one queue, command, namespace": the fields of hf_error below. */
#define HF_ERROR_NONE (-1)

/**
 * struct hf_error - what a control call failed on
 * @code: what the call returned: a negative errno, or the NVMe status word
 * @qid: queue the failure is about, or HF_ERROR_NONE
 * @cid: command identifier, or HF_ERROR_NONE
 * @opcode: opcode of the command that failed, or HF_ERROR_NONE
 * @nsid: namespace, or HF_ERROR_NONE
 * @message: one sentence: the step, the device, what was seen, what to do
 *
 * The caller owns it and may pass NULL to any call that takes one. It is
 * written only when the call fails.
 */
struct hf_error {
	int code;
	int32_t qid;
	int32_t cid;
	int32_t opcode;
	int64_t nsid;
	char message[488];
};

/**
 * hf_status_text() - an NVMe status word in words
 * @status: status word as holdfast returns it: status code in bits 7:0, type
 *          in 10:8, CRD in 12:11, More in 13, Do Not Retry in 14
 * @buf: receives the text, always terminated
 * @len_bytes: room in @buf
 *
 * "Media and Data Integrity: Unrecovered Read Error (281h), do not retry".
 *
 * Context: any thread; never blocks.
 * Return: @buf.
 */
HF_API char *hf_status_text(uint16_t status, char *buf, size_t len_bytes);

/**
 * hf_result_text() - what a call returned, in words
 * @result: 0, a negative errno, or a positive NVMe status word
 * @buf: receives the text, always terminated
 * @len_bytes: room in @buf
 *
 * Context: any thread; never blocks.
 * Return: @buf.
 */
HF_API char *hf_result_text(int result, char *buf, size_t len_bytes);

#ifdef __cplusplus
}
#endif
